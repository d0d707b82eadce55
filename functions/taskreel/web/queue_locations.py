"""The API of the locations of the queues, for administrators."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.queues.drain_location import LocationState, read_locations, set_drain
from taskreel.web.auth import AuthenticatedRequest
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.openapi_problems import document_problems
from taskreel.web.queues import REASON_BODY, Order, QueueOrder
from taskreel.web.responses import View, is_absent
from taskreel.web.route_parameters import AuthenticatedAdmin

router = APIRouter(prefix="/api/jobs/queues/locations", tags=["queues"])


class LocationView(View):
    """A location of the queues; `depth` is null while it does not answer.

    `drained`: it gets no new tasks. The newest order for it, if there is one.
    """

    location: str
    drained: bool
    depth: int | None
    ordered_by: str | None = Field(exclude_if=is_absent)
    ordered_at: datetime | None = Field(exclude_if=is_absent)
    reason: str | None = Field(exclude_if=is_absent)


class LocationsView(View):
    """The locations, the one that gets the tasks first; none where queues are in memory."""

    locations: list[LocationView]


@router.get(
    "",
    summary="List the locations of the queues (admin)",
    response_model=LocationsView,
    responses=document_problems("forbidden"),
)
async def list_locations(request: Request, context: AuthenticatedAdmin) -> Response:
    """A task goes to the first location that takes it and is not drained."""
    check_query(request)
    found = await read_locations(context.services)
    return JsonResponse(LocationsView(locations=[build_location_view(one) for one in found]))


@router.post(
    "/{location}/drain",
    summary="Send no new tasks to a location (admin)",
    response_model=LocationView,
    responses=document_problems("forbidden", "not_found", "conflict"),
    openapi_extra=REASON_BODY,
)
async def drain_location(
    request: Request, location: str, context: AuthenticatedAdmin, order: Order
) -> Response:
    """Followed within 15 seconds. The tasks there are delivered. Recorded in the audit log."""
    return await _set_drain(request, location, context, order, drained=True)


@router.post(
    "/{location}/resume",
    summary="Send new tasks to a location again (admin)",
    response_model=LocationView,
    responses=document_problems("forbidden", "not_found"),
    openapi_extra=REASON_BODY,
)
async def resume_location(
    request: Request, location: str, context: AuthenticatedAdmin, order: Order
) -> Response:
    """Recorded in the audit log. Repeating it is safe."""
    return await _set_drain(request, location, context, order, drained=False)


async def _set_drain(
    request: Request,
    location: str,
    context: AuthenticatedRequest,
    order: QueueOrder,
    *,
    drained: bool,
) -> Response:
    check_query(request)
    found = await set_drain(
        context.services, context.caller, location, drained=drained, reason=order.reason
    )
    return JsonResponse(build_location_view(found))


def build_location_view(found: LocationState) -> LocationView:
    """The location as it is sent."""
    control = found.control
    return LocationView(
        location=found.location,
        drained=found.drained,
        depth=found.depth,
        ordered_by=control.user_id if control else None,
        ordered_at=control.at if control else None,
        reason=(control.reason or None) if control else None,
    )
