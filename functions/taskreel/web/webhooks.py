"""The API of client webhooks: endpoints, their keys, deliveries, and sending again."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.webhooks import deliveries as deliveries_of
from taskreel.app.webhooks import endpoints as use_cases
from taskreel.app.webhooks.endpoints import EndpointChanges, NewEndpoint
from taskreel.app.webhooks.job_deliveries import find_job_deliveries
from taskreel.domain.client_webhook import KEY_OVERLAP, DeliveryState
from taskreel.domain.value import Value
from taskreel.domain.webhook_events import Signature
from taskreel.jobtypes.fields import Moment
from taskreel.web.endpoint_orders import EndpointOrder, EndpointPatch, find_url_fault
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.route_parameters import AllUsers, Authenticated, RequestedJob, json_body
from taskreel.web.webhook_views import (
    DeliveryPage,
    DeliveryView,
    EndpointPage,
    EndpointView,
    KeysView,
    SentAgainView,
    build_delivery_view,
    build_endpoint_view,
    build_key_views,
)

router = APIRouter(prefix="/api", tags=["webhooks"])

_WEEK_SECONDS = 7 * 86_400


class KeyRotation(Value):
    """`overlapSeconds`: how long the present key signs beside the new one; a day unless given."""

    signature: Signature | None = None
    overlap_seconds: int = Field(
        default=int(KEY_OVERLAP.total_seconds()), ge=0, le=_WEEK_SECONDS, strict=True
    )


class DeliveryRange(Value):
    """The deliveries made between `since` and `until`: the failed ones, unless `state` differs."""

    since: Moment
    until: Moment | None = None
    state: DeliveryState = DeliveryState.FAILED


# ── Endpoints ────────────────────────────────────────────────────────────────────────────────────


@router.post(
    "/webhook-endpoints",
    status_code=201,
    summary="Create a webhook endpoint",
    response_model=EndpointView,
    responses=document_problems("conflict", "forbidden"),
    openapi_extra=document_body(
        EndpointOrder,
        {"url": "https://example.com/hooks/taskreel", "events": ["job.completed", "job.failed"]},
    ),
)
async def create_endpoint(
    request: Request,
    context: Authenticated,
    order: Annotated[EndpointOrder, json_body(EndpointOrder, find_more=find_url_fault)],
) -> Response:
    """It gets the events of jobs that are submitted from now on, signed by Standard Webhooks.

    Of a project it gets the events of your own jobs.
    """
    check_query(request)
    endpoint = await use_cases.create_endpoint(
        context.services,
        context.caller,
        NewEndpoint(
            url=order.url,
            events=tuple(order.events),
            project_id=order.project_id,
            description=order.description,
            signature=order.signature,
        ),
    )
    view = build_endpoint_view(context.services, endpoint, with_keys=True)
    return JsonResponse(view, HTTPStatus.CREATED)


@router.get(
    "/webhook-endpoints",
    summary="Your webhook endpoints",
    response_model=EndpointPage,
    responses=document_problems("forbidden"),
)
async def list_endpoints(
    request: Request,
    context: Authenticated,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
    *,
    all_users: AllUsers = False,
) -> Response:
    """Newest first. `allUsers=true` lists those of everybody, for admins."""
    check_query(request, "limit", "cursor", "allUsers")
    services = context.services
    page = await use_cases.list_endpoints(
        services, context.caller, limit=limit, cursor=cursor, all_users=all_users
    )
    views = [build_endpoint_view(services, endpoint) for endpoint in page.rows]
    return JsonResponse(EndpointPage(endpoints=views, next_cursor=page.cursor))


@router.get(
    "/webhook-endpoints/{endpoint_id}", summary="A webhook endpoint", response_model=EndpointView
)
async def read_endpoint(request: Request, endpoint_id: str, context: Authenticated) -> Response:
    """`default` is the one whose keys sign the webhooks that jobs name by `webhookUrl`."""
    check_query(request)
    endpoint = await use_cases.find_endpoint(context.services, context.caller, endpoint_id)
    return JsonResponse(build_endpoint_view(context.services, endpoint))


@router.patch(
    "/webhook-endpoints/{endpoint_id}",
    summary="Change, enable or disable a webhook endpoint",
    response_model=EndpointView,
    responses=document_problems("conflict"),
    openapi_extra=document_body(EndpointPatch, {"enabled": True}),
)
async def change_endpoint(
    request: Request,
    endpoint_id: str,
    context: Authenticated,
    patch: Annotated[EndpointPatch, json_body(EndpointPatch, find_more=find_url_fault)],
) -> Response:
    """Other events are those of jobs that are submitted from now on."""
    check_query(request)
    wanted = EndpointChanges(
        url=patch.url,
        events=None if patch.events is None else tuple(patch.events),
        description=patch.description,
        enabled=patch.enabled,
    )
    endpoint = await use_cases.change_endpoint(
        context.services, context.caller, endpoint_id, wanted
    )
    return JsonResponse(build_endpoint_view(context.services, endpoint))


@router.delete(
    "/webhook-endpoints/{endpoint_id}",
    summary="Delete a webhook endpoint",
    response_model=EndpointView,
)
async def delete_endpoint(request: Request, endpoint_id: str, context: Authenticated) -> Response:
    """Messages that wait for another try are not sent any more."""
    check_query(request)
    endpoint = await use_cases.delete_endpoint(context.services, context.caller, endpoint_id)
    return JsonResponse(build_endpoint_view(context.services, endpoint))


@router.get(
    "/webhook-endpoints/{endpoint_id}/keys",
    summary="The keys of a webhook endpoint",
    response_model=KeysView,
)
async def read_keys(request: Request, endpoint_id: str, context: Authenticated) -> Response:
    """The newest first. `default` has the keys for `webhookUrl`."""
    check_query(request)
    endpoint = await use_cases.find_endpoint(context.services, context.caller, endpoint_id)
    return JsonResponse(KeysView(keys=build_key_views(context.services, endpoint)))


@router.post(
    "/webhook-endpoints/{endpoint_id}/keys",
    status_code=201,
    summary="Replace the key of a webhook endpoint",
    response_model=KeysView,
    responses=document_problems("conflict"),
    openapi_extra=document_body(KeyRotation, {"overlapSeconds": 86_400}, required=False),
)
async def rotate_key(
    request: Request,
    endpoint_id: str,
    context: Authenticated,
    rotation: Annotated[KeyRotation, json_body(KeyRotation, absent=b"{}")],
) -> Response:
    """Messages carry both signatures until the replaced key expires."""
    check_query(request)
    endpoint = await use_cases.rotate_key(
        context.services,
        context.caller,
        endpoint_id,
        rotation.signature,
        timedelta(seconds=rotation.overlap_seconds),
    )
    keys = build_key_views(context.services, endpoint)
    return JsonResponse(KeysView(keys=keys), HTTPStatus.CREATED)


# ── Deliveries ───────────────────────────────────────────────────────────────────────────────────


@router.post(
    "/webhook-endpoints/{endpoint_id}/test",
    status_code=202,
    summary="Send a test event",
    response_model=DeliveryView,
    responses=document_problems("conflict"),
)
async def send_test(request: Request, endpoint_id: str, context: Authenticated) -> Response:
    """A `webhook.test` event; read its delivery for the answer."""
    check_query(request)
    endpoint = await use_cases.find_endpoint(context.services, context.caller, endpoint_id)
    delivery = await deliveries_of.send_test(context.services, context.caller, endpoint)
    return JsonResponse(build_delivery_view(delivery), HTTPStatus.ACCEPTED)


@router.get(
    "/webhook-endpoints/{endpoint_id}/deliveries",
    summary="The deliveries to a webhook endpoint",
    response_model=DeliveryPage,
)
async def list_deliveries(
    request: Request,
    endpoint_id: str,
    context: Authenticated,
    state: DeliveryState | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
) -> Response:
    """Newest first, with every try; they are retained for 30 days."""
    check_query(request, "state", "limit", "cursor")
    endpoint = await use_cases.find_endpoint(context.services, context.caller, endpoint_id)
    page = await deliveries_of.list_deliveries(
        context.services, endpoint, state=state, limit=limit, cursor=cursor
    )
    views = [build_delivery_view(delivery) for delivery in page.rows]
    return JsonResponse(DeliveryPage(deliveries=views, next_cursor=page.cursor))


@router.post(
    "/webhook-endpoints/{endpoint_id}/redeliver",
    status_code=202,
    summary="Send the deliveries of a range of time again",
    response_model=SentAgainView,
    openapi_extra=document_body(DeliveryRange, {"since": "2026-11-26T00:00:00Z"}),
)
async def send_range_again(
    request: Request,
    endpoint_id: str,
    context: Authenticated,
    wanted: Annotated[DeliveryRange, json_body(DeliveryRange)],
) -> Response:
    """With their ids and bodies as they were; at most a thousand at a time."""
    check_query(request)
    endpoint = await use_cases.find_endpoint(context.services, context.caller, endpoint_id)
    counts = await deliveries_of.send_range_again(
        context.services,
        context.caller,
        endpoint,
        state=wanted.state,
        since=wanted.since,
        until=wanted.until,
    )
    view = SentAgainView(sent=counts["sent"], skipped=counts["skipped"], more=bool(counts["more"]))
    return JsonResponse(view, HTTPStatus.ACCEPTED)


@router.get(
    "/webhook-deliveries/{delivery_id}", summary="A webhook's delivery", response_model=DeliveryView
)
async def read_delivery(request: Request, delivery_id: str, context: Authenticated) -> Response:
    """The message, its tries and their answers."""
    check_query(request)
    delivery = await deliveries_of.find_delivery(context.services, context.caller, delivery_id)
    return JsonResponse(build_delivery_view(delivery))


@router.post(
    "/webhook-deliveries/{delivery_id}/redeliver",
    status_code=202,
    summary="Send a webhook again",
    response_model=DeliveryView,
    responses=document_problems("conflict"),
)
async def send_again(request: Request, delivery_id: str, context: Authenticated) -> Response:
    """With its id and body as they were, and all its tries again."""
    check_query(request)
    found = await deliveries_of.find_delivery(context.services, context.caller, delivery_id)
    delivery = await deliveries_of.send_again(context.services, context.caller, found.delivery_id)
    return JsonResponse(build_delivery_view(delivery), HTTPStatus.ACCEPTED)


async def read_job_deliveries(found: RequestedJob) -> Response:
    """Those of its newest changes, the oldest first, with every try."""
    deliveries = await find_job_deliveries(found.context.services, found.job)
    views = [build_delivery_view(delivery) for delivery in deliveries]
    return JsonResponse(DeliveryPage(deliveries=views, next_cursor=None))


router.add_api_route(
    "/jobs/{job_type}/{job_id}/webhooks",
    read_job_deliveries,
    summary="The webhooks of a job",
    response_model=DeliveryPage,
)
