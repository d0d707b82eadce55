"""The API of flow control: a job's position, and the limit on a user's active jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.flow.queue_position import find_position
from taskreel.app.jobs.user_limits import UserLimit, read_user_limit, set_user_limit
from taskreel.domain.job_status import Status
from taskreel.domain.value import Value
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.queue_views import QueueView, build_queue_view
from taskreel.web.responses import View
from taskreel.web.route_parameters import (
    Authenticated,
    AuthenticatedAdmin,
    RequestedJob,
    json_body,
)

router = APIRouter(tags=["flow control"])


class PositionView(QueueView):
    """A job's position. `ahead` stops at 1,000, where `aheadText` is `1,000+`.

    The times are in seconds from now: half of the jobs take at most `p50`, nine of ten at most
    `p90`. They are null for a job that waits for other jobs or has ended, and as long as no job of
    the type has been completed.
    """

    job_id: str
    job_type: str
    status: Status
    #: One sentence, while the job waits for room.
    reason: str | None


class UserLimitView(View):
    """The jobs that a user may run at a time, and those that run and wait now.

    `activeJobs` is null where there are no limits; `tier` is the one of the user's last token;
    `isOwn` tells that an administrator has set it for this user.
    """

    user_id: str
    tier: str | None
    active_jobs: int | None
    is_own: bool
    active: int
    waiting: int


class UserLimitOrder(Value):
    """A user's own limit on active jobs; null is the limit of the tier again."""

    active_jobs: int | None = Field(ge=1, le=100_000, strict=True)
    reason: str = Field(default="", max_length=500)


async def read_position(found: RequestedJob) -> Response:
    """Cheap at any number of jobs; read it again to follow it."""
    job = found.job
    position = await find_position(found.context.services, job)
    waits = job.status is Status.THROTTLED and job.error is not None
    view = PositionView(
        **dict(build_queue_view(position)),
        job_id=job.job_id,
        job_type=job.job_type,
        status=job.status,
        reason=job.error.message if waits and job.error else None,
    )
    return JsonResponse(view)


router.add_api_route(
    "/api/queue/{job_id}/position",
    read_position,
    summary="The jobs ahead of a job, and when it will start and end",
    response_model=PositionView,
)


@router.get(
    "/api/limits", summary="How many jobs you may run at a time", response_model=UserLimitView
)
async def read_own_limit(request: Request, context: Authenticated) -> Response:
    """Jobs above the limit are accepted and wait."""
    check_query(request)
    caller = context.caller
    limit = await read_user_limit(context.services, caller.user_id, caller.tier)
    return JsonResponse(_build_limit_view(limit))


@router.get(
    "/api/limits/{user_id}",
    summary="How many jobs a user may run at a time (admin)",
    response_model=UserLimitView,
    responses=document_problems("forbidden"),
)
async def read_limit_of(request: Request, user_id: str, context: AuthenticatedAdmin) -> Response:
    """A user who has never submitted has the limit of the tier `free`."""
    check_query(request)
    return JsonResponse(_build_limit_view(await read_user_limit(context.services, user_id)))


@router.put(
    "/api/limits/{user_id}",
    summary="Set how many jobs a user may run at a time (admin)",
    response_model=UserLimitView,
    responses=document_problems("forbidden"),
    openapi_extra=document_body(UserLimitOrder, {"activeJobs": 20, "reason": "A launch"}),
)
async def put_limit_of(
    request: Request,
    user_id: str,
    context: AuthenticatedAdmin,
    order: Annotated[UserLimitOrder, json_body(UserLimitOrder)],
) -> Response:
    """Waiting jobs for which it makes room start at once. Recorded in the audit log."""
    check_query(request)
    limit = await set_user_limit(
        context.services, context.caller, user_id, order.active_jobs, order.reason
    )
    return JsonResponse(_build_limit_view(limit))


def _build_limit_view(limit: UserLimit) -> UserLimitView:
    account = limit.account
    return UserLimitView(
        user_id=account.user_id,
        tier=account.tier,
        active_jobs=limit.active_jobs,
        is_own=account.max_active is not None,
        active=max(account.active, 0),
        waiting=max(account.waiting, 0),
    )
