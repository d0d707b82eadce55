"""The API of bulk operations: one action on every job that a filter means, in the background."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from taskreel.app.operations.orders import (
    BulkOrder,
    Forecast,
    abort_operation,
    find_operation,
    forecast_operation,
    list_operations,
    start_operation,
)
from taskreel.domain.job_status import Status
from taskreel.domain.operation import BulkAction, BulkOperation, JobFilter, OperationState
from taskreel.domain.value import Value
from taskreel.jobtypes.fields import Moment
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.job_reads import JobTypeName, check_text, split_words
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View, is_absent
from taskreel.web.route_parameters import Authenticated, json_body

router = APIRouter(prefix="/api/operations", tags=["bulk operations"])

#: The most jobs on which one operation acts.
MOST_JOBS = 100_000
_Id = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(check_text)]


class JobFilterOrder(Value):
    """The jobs that are meant: at least one of these. Jobs that pipelines made never are."""

    status: Annotated[tuple[Status, ...], BeforeValidator(split_words)] = ()
    job_type: JobTypeName | None = None
    project_id: _Id | None = None
    user_id: _Id | None = None
    provider: _Id | None = None
    text: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(check_text)] | None = (
        None
    )
    created_after: Moment | None = None
    created_before: Moment | None = None


class OperationOrder(Value):
    """An action on up to `limit` of the jobs that the filter means, the newest first.

    `cancel` ends those that have not ended, `retry` gives failed ones another round, `replay` makes
    a new job of each, with `edit` (a JSON merge patch) applied to its payload, and `delete` removes
    ended ones. With `dryRun` nothing is changed: the answer tells what would be.
    """

    action: BulkAction
    filter: JobFilterOrder
    limit: int = Field(ge=1, le=MOST_JOBS)
    edit: dict[str, Any] | None = None
    dry_run: bool = False
    reason: str = Field(default="", max_length=500)


class OperationsQuery(Value):
    """A page of operations."""

    model_config = ConfigDict(defer_build=False)  # FastAPI builds none of its own

    limit: int = Field(default=20, ge=1, le=100)
    cursor: Annotated[str, Field(max_length=2000)] | None = None


class RefusedByOperationView(View):
    """A job on which the action is not carried out, and why."""

    job_id: str
    reason: str


class ForecastView(View):
    """The forecast of an operation: the numbers of jobs, the credits, and why not the others.

    A dry run judges 500 jobs at most: `complete` tells if those were all.
    """

    dry_run: bool = True
    seen: int
    eligible: int
    refused: int
    cost: int
    complete: bool
    #: The reasons, with the number of jobs of each.
    reasons: dict[str, int]
    refused_jobs: list[RefusedByOperationView]


class OperationView(View):
    """An operation and its progress; it names the first fifty jobs that it refused.

    `cost` is what the changed jobs hold. Jobs are counted when their step is stored, ten at
    a time: those of a step that a crash interrupts may be changed and not counted.
    """

    operation_id: str
    user_id: str
    action: BulkAction
    filter: dict[str, Any]
    edit: dict[str, Any] | None = Field(exclude_if=is_absent)
    limit: int
    reason: str
    state: OperationState
    seen: int
    changed: int
    refused: int
    cost: int
    refused_jobs: list[RefusedByOperationView]
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = Field(exclude_if=is_absent)


class OperationsPage(View):
    """Operations, newest first; pass `nextCursor` as `cursor` to get the next page."""

    operations: list[OperationView]
    next_cursor: str | None


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    summary="Cancel, retry, replay or delete every job that a filter means",
    response_model=OperationView | ForecastView,
    responses={200: {"model": ForecastView}, **document_problems("forbidden")},
    openapi_extra=document_body(
        OperationOrder,
        {
            "action": "replay",
            "filter": {"status": ["FAILED"], "jobType": "image-generation"},
            "edit": {"provider": "openai"},
            "limit": 500,
            "dryRun": True,
        },
    ),
)
async def post_operation(
    request: Request,
    context: Authenticated,
    wanted: Annotated[OperationOrder, json_body(OperationOrder)],
) -> Response:
    """Your own jobs; for an admin those of all users, unless the filter names one.

    It runs in the background and goes on after a crash. Jobs that are created later are not meant.
    An admin's operations are recorded in the audit log.
    """
    check_query(request)
    order = BulkOrder(
        action=wanted.action,
        filter=JobFilter(**dict(wanted.filter)),
        limit=wanted.limit,
        edit=wanted.edit,
        reason=wanted.reason,
    )
    if wanted.dry_run:
        forecast = await forecast_operation(context.services, context.caller, order)
        return JsonResponse(build_forecast_view(forecast))
    operation = await start_operation(context.services, context.caller, order)
    response = JsonResponse(build_operation_view(operation), HTTPStatus.ACCEPTED)
    response.headers["Location"] = f"/api/operations/{operation.operation_id}"
    return response


@router.get("", summary="Your bulk operations", response_model=OperationsPage)
async def read_operations(
    wanted: Annotated[OperationsQuery, Query()], context: Authenticated
) -> Response:
    """Newest first."""
    page = await list_operations(
        context.services, context.caller, limit=wanted.limit, cursor=wanted.cursor
    )
    views = [build_operation_view(one) for one in page.rows]
    return JsonResponse(OperationsPage(operations=views, next_cursor=page.cursor))


@router.get(
    "/{operation_id}", summary="A bulk operation and its progress", response_model=OperationView
)
async def read_operation(request: Request, operation_id: str, context: Authenticated) -> Response:
    """Read it again to follow it."""
    check_query(request)
    found = await find_operation(context.services, context.caller, operation_id)
    return JsonResponse(build_operation_view(found))


@router.post(
    "/{operation_id}/abort", summary="Abort a bulk operation", response_model=OperationView
)
async def post_abort(request: Request, operation_id: str, context: Authenticated) -> Response:
    """It stops after the ten jobs that it is at. What it has changed stays changed."""
    check_query(request)
    found = await abort_operation(context.services, context.caller, operation_id)
    return JsonResponse(build_operation_view(found))


def build_forecast_view(found: Forecast) -> ForecastView:
    """A dry run as it is sent."""
    return ForecastView(
        seen=found.seen,
        eligible=found.eligible,
        refused=found.refused,
        cost=found.cost,
        complete=found.complete,
        reasons=dict(found.reasons),
        refused_jobs=[RefusedByOperationView(**dict(one)) for one in found.refused_jobs],
    )


def build_operation_view(operation: BulkOperation) -> OperationView:
    """An operation as it is sent."""
    fields = {name: getattr(operation, name) for name in OperationView.model_fields}
    fields["filter"] = {
        name: value for name, value in operation.filter.document().items() if value not in ((), [])
    }
    fields["refused_jobs"] = [RefusedByOperationView(**dict(one)) for one in operation.refused_jobs]
    return OperationView(**fields)
