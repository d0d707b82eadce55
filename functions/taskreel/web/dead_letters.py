"""The API of dead letters: kinds of failures, and another round for many failed jobs at once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from taskreel.app.records.dead_letters import (
    MOST_READ,
    DeadLetterFilter,
    OpenGroup,
    RedriveOutcome,
    list_groups,
    list_user_groups,
    redrive_jobs,
)
from taskreel.domain.errors import ForbiddenError
from taskreel.domain.value import Value
from taskreel.jobtypes.fields import Moment
from taskreel.web.http import JsonResponse, check_query
from taskreel.web.job_reads import JobTypeName
from taskreel.web.openapi import document_body
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View, is_absent
from taskreel.web.route_parameters import Authenticated, json_body

router = APIRouter(prefix="/api/jobs/dead-letters", tags=["dead letters"])


class DeadLettersQuery(Value):
    """The groups of one job type, up to `limit` of them; `userId` is for admins."""

    model_config = ConfigDict(defer_build=False)  # FastAPI builds none of its own

    job_type: JobTypeName | None = None
    user_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    limit: int = Field(default=20, ge=1, le=100)


class Redrive(Value):
    """The failed jobs to retry: at least one filter, and `limit`, the most that are retried.

    With `dryRun` nothing is changed: the answer says what would be.
    """

    fingerprint: str | None = Field(default=None, min_length=1, max_length=64)
    job_type: JobTypeName | None = None
    user_id: str | None = Field(default=None, min_length=1, max_length=256)
    code: str | None = Field(default=None, min_length=1, max_length=100)
    created_after: Moment | None = None
    created_before: Moment | None = None
    limit: int = Field(ge=1, le=100)
    dry_run: bool = False


class DeadLetterGroupView(View):
    """Failures of one kind: `seen` so often, of which `open` jobs are failed still."""

    fingerprint: str
    job_type: str
    code: str
    message: str
    served_by: str | None
    step: str | None = Field(exclude_if=is_absent)
    seen: int
    open: int
    first_seen_at: datetime
    last_seen_at: datetime
    #: The newest of them.
    job_ids: list[str]


class DeadLettersView(View):
    """The kinds of failures, the newest first; of one user, among their newest `countedUpTo`."""

    groups: list[DeadLetterGroupView]
    counted_up_to: int | None = Field(default=None, exclude_if=is_absent)


class RefusedJobView(View):
    """A failed job that is not retried, and why."""

    job_id: str
    reason: str


class RedriveView(View):
    """The jobs that were retried, or would be, the credits that they hold, and the others."""

    dry_run: bool
    eligible: int
    cost: int
    job_ids: list[str]
    refused: list[RefusedJobView]


@router.get(
    "",
    summary="Failed jobs, grouped by the kind of their failure",
    response_model=DeadLettersView,
    responses=document_problems("forbidden"),
)
async def read_dead_letters(
    wanted: Annotated[DeadLettersQuery, Query()], context: Authenticated
) -> Response:
    """Your own; for an admin those of all users, or of the one that `userId` names.

    `GET /api/jobs/{jobType}/{jobId}/history` has every attempt of one job.
    """
    services, caller = context.services, context.caller
    user_id = wanted.user_id or (None if caller.admin else caller.user_id)
    if user_id is None:
        groups, counted = await list_groups(services, wanted.job_type, wanted.limit), None
    elif user_id == caller.user_id or caller.admin:
        groups = await list_user_groups(services, user_id, wanted.job_type, wanted.limit)
        counted = MOST_READ
    else:
        raise ForbiddenError("Only an admin may read the failures of other users.")
    views = [build_group_view(one) for one in groups]
    return JsonResponse(DeadLettersView(groups=views, counted_up_to=counted))


@router.post(
    "/redrive",
    summary="Retry the failed jobs that a filter means",
    response_model=RedriveView,
    responses=document_problems("forbidden", "not_found"),
    openapi_extra=document_body(
        Redrive, {"fingerprint": "3f9a2c71d05b8e64", "limit": 50, "dryRun": True}
    ),
)
async def redrive_dead_letters(
    request: Request,
    context: Authenticated,
    wanted: Annotated[Redrive, json_body(Redrive)],
) -> Response:
    """Your own jobs; for an admin those of all users. Their owners pay for it.

    Each gets new attempts under its id, as by `retry`; a job that has been retried meanwhile is not
    retried again.
    """
    check_query(request)
    caller = context.caller
    user_id = wanted.user_id or (None if caller.admin else caller.user_id)
    if user_id not in {None, caller.user_id} and not caller.admin:
        raise ForbiddenError("Only an admin may retry the jobs of other users.")
    fields = wanted.model_dump(exclude={"limit", "dry_run", "user_id"})
    outcomes = await redrive_jobs(
        context.services,
        caller,
        DeadLetterFilter(**fields, user_id=user_id),
        limit=wanted.limit,
        dry_run=wanted.dry_run,
    )
    return JsonResponse(build_redrive_view(outcomes, dry_run=wanted.dry_run))


def build_group_view(found: OpenGroup) -> DeadLetterGroupView:
    """A group as it is sent."""
    fields = dict(found.group) | {"job_ids": list(found.group.job_ids), "open": found.open}
    return DeadLetterGroupView(**fields)


def build_redrive_view(outcomes: list[RedriveOutcome], *, dry_run: bool) -> RedriveView:
    """The outcomes of a redrive."""
    taken = [one for one in outcomes if one.reason is None]
    return RedriveView(
        dry_run=dry_run,
        eligible=len(taken),
        cost=sum(one.cost for one in taken),
        job_ids=[one.job.job_id for one in taken],
        refused=[
            RefusedJobView(job_id=one.job.job_id, reason=one.reason)
            for one in outcomes
            if one.reason is not None
        ],
    )
