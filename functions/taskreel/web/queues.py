"""The API of queue management, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field

from taskreel.app.queues.clear_queue import clear_queue, preview_clear
from taskreel.app.queues.pause_queue import ControlledQueue, set_pause
from taskreel.domain.value import Value
from taskreel.web.auth import AuthenticatedRequest
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.job_submission import find_requested_type
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View, is_absent
from taskreel.web.route_parameters import AuthenticatedAdmin, json_body

router = APIRouter(prefix="/api/jobs/queues", tags=["queues"])


class QueueOrder(Value):
    """The reason, for the audit log. The body may be omitted."""

    reason: str = Field(default="", max_length=500)


class QueueControlView(View):
    """A queue: if it is paused, its tasks that wait or run, and the newest order for it."""

    job_type: str
    queue: str
    paused: bool
    depth: int
    ordered_by: str | None = Field(exclude_if=is_absent)
    ordered_at: datetime | None = Field(exclude_if=is_absent)
    reason: str | None = Field(exclude_if=is_absent)


class ClearedView(View):
    """The numbers of jobs that were cancelled and that run and go on, and the credits refunded.

    `more`: others still wait; send the request again. With `dryRun` nothing was changed: the
    numbers are those that clearing it at that moment would have given.
    """

    queue: str
    dry_run: bool
    cancelled: int
    running: int
    refunded: int
    more: bool


REASON_BODY = {
    "requestBody": {
        **document_body(QueueOrder, {"reason": "The provider is down"})["requestBody"],
        "required": False,
    }
}
Order = Annotated[QueueOrder, json_body(QueueOrder, absent=b"{}")]


@router.post(
    "/{job_type}/pause",
    summary="Start no jobs of a type until its queue is resumed (admin)",
    response_model=QueueControlView,
    responses=document_problems("forbidden"),
    openapi_extra=REASON_BODY,
)
async def pause_queue(
    request: Request, job_type: str, context: AuthenticatedAdmin, order: Order
) -> Response:
    """Jobs are still accepted, and running ones go on. It survives restarts; repeating it is safe.

    Recorded in the audit log.
    """
    return await _set_pause(request, job_type, context, order, paused=True)


@router.post(
    "/{job_type}/resume",
    summary="Start the jobs of a type again (admin)",
    response_model=QueueControlView,
    responses=document_problems("forbidden"),
    openapi_extra=REASON_BODY,
)
async def resume_queue(
    request: Request, job_type: str, context: AuthenticatedAdmin, order: Order
) -> Response:
    """Recorded in the audit log. Repeating it is safe."""
    return await _set_pause(request, job_type, context, order, paused=False)


@router.delete(
    "/{job_type}/clear",
    summary="Cancel the jobs of a type that wait (admin)",
    response_model=ClearedView,
    responses=document_problems("forbidden"),
    openapi_extra=REASON_BODY,
)
async def clear_queued_jobs(
    request: Request,
    job_type: str,
    context: AuthenticatedAdmin,
    order: Order,
    *,
    dry_run: Annotated[bool, Query(alias="dryRun")] = False,
) -> Response:
    """Cancels jobs that are QUEUED, THROTTLED, SCHEDULED or RETRYING, and releases their credits.

    Running jobs go on, and so do recurring jobs and jobs that are BLOCKED by others. One request
    cancels up to 1,000; pause the queue first if new ones arrive. `dryRun=true` only tells what
    it would do. Recorded in the audit log.
    """
    check_query(request, "dryRun")
    name = find_requested_type(job_type).name
    if dry_run:
        cleared = await preview_clear(context.services, name)
    else:
        cleared = await clear_queue(context.services, context.caller, name, order.reason)
    return JsonResponse(
        ClearedView(
            queue=cleared.queue,
            dry_run=dry_run,
            cancelled=cleared.cancelled,
            running=cleared.running,
            refunded=cleared.refunded,
            more=cleared.more,
        )
    )


async def _set_pause(
    request: Request,
    job_type: str,
    context: AuthenticatedRequest,
    order: QueueOrder,
    *,
    paused: bool,
) -> Response:
    check_query(request)
    name = find_requested_type(job_type).name
    found = await set_pause(
        context.services, context.caller, name, paused=paused, reason=order.reason
    )
    return JsonResponse(_build_view(name, found))


def _build_view(job_type: str, found: ControlledQueue) -> QueueControlView:
    control = found.control
    return QueueControlView(
        job_type=job_type,
        queue=found.stats.queue,
        paused=found.stats.paused,
        depth=found.stats.depth,
        ordered_by=control.user_id if control else None,
        ordered_at=control.at if control else None,
        reason=(control.reason or None) if control else None,
    )
