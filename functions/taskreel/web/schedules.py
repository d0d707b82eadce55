"""The API of jobs at times: delayed jobs, recurring jobs, and other times for scheduled jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.requests import Request
from fastapi.responses import Response
from pydantic import Field, model_validator

from taskreel.app.caller import Caller
from taskreel.app.jobs.submit import LONGEST_SCHEDULE
from taskreel.app.schedules import recurring_jobs as use_cases
from taskreel.app.schedules.recurring_jobs import Recurrence
from taskreel.app.schedules.reschedule import reschedule_job
from taskreel.app.services import Services
from taskreel.domain.cron import CronSchedule, list_faults
from taskreel.domain.errors import InvalidError
from taskreel.domain.recurring_job import (
    Overlap,
    RecurrenceState,
    RecurringJob,
    RecurringRun,
)
from taskreel.domain.value import Value
from taskreel.jobtypes.fields import Moment
from taskreel.jobtypes.job_type import JobType
from taskreel.web.auth import AuthenticatedRequest
from taskreel.web.http import JsonResponse, check_query, parse_idempotency_key
from taskreel.web.inner_requests import find_data_faults, parse_data
from taskreel.web.job_submission import (
    SubmissionBody,
    build_request,
    find_requested_type,
    respond_with_job,
)
from taskreel.web.openapi import (
    ONCE,
    document_body,
    document_created,
    document_submission,
)
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import JobView, View, build_job_view, is_absent
from taskreel.web.route_parameters import AllUsers, Authenticated, Submitting, json_body

router = APIRouter(prefix="/api/jobs", tags=["schedules"])

#: Ten years in milliseconds, the farthest that a job may be scheduled.
_LONGEST_DELAY = LONGEST_SCHEDULE // timedelta(milliseconds=1)
_RUNS_AHEAD = 5


class StartTime(Value):
    """`{delay}` in milliseconds from now, or `{runAt}`."""

    delay: int | None = Field(default=None, ge=0, le=_LONGEST_DELAY, strict=True)
    run_at: Moment | None = None

    @model_validator(mode="after")
    def _require_one(self) -> StartTime:
        if (self.delay is None) == (self.run_at is None):
            raise ValueError("give either delay, in milliseconds, or runAt")
        return self

    def resolve(self, now: datetime) -> datetime:
        """The time that is meant."""
        if self.run_at is not None:
            return self.run_at
        return now + timedelta(milliseconds=self.delay or 0)


class DelayedJob(StartTime):
    """A job that starts later: `data` is the request that `POST /api/jobs/{jobType}` takes."""

    job_type: str
    data: dict[str, Any]


class RecurrenceOptions(Value):
    """`overlap` decides about a run that is due while the job of an earlier one has not ended.

    `skip` leaves it out, `queue` makes it after that job's end, `replace` cancels that job.
    """

    skip_cache: bool = False
    overlap: Overlap = Overlap.SKIP
    start_at: Moment | None = None
    end_at: Moment | None = None


class RecurringJobOrder(Value):
    """A recurring job: `data` is submitted as `jobType` at each time of `cronExpression`.

    The expression has the five fields of cron, or is one of @hourly, @daily, @weekly, @monthly and
    @yearly; its times are those of `timeZone`.
    """

    job_type: str
    data: dict[str, Any]
    cron_expression: str = Field(min_length=1, max_length=200)
    time_zone: str = Field(default="UTC", min_length=1, max_length=100)
    options: RecurrenceOptions = RecurrenceOptions()


class RecurringRunView(View):
    """A run: due at `dueAt`, made at `at`. A skipped one names the job that had not ended."""

    due_at: datetime
    at: datetime
    result: str
    job_id: str | None = Field(exclude_if=is_absent)
    reason: str | None = Field(exclude_if=is_absent)

    @classmethod
    def of(cls, run: RecurringRun) -> RecurringRunView:
        """The view of a run."""
        return cls(**dict(run))


class RecurringJobView(View):
    """A recurring job, its next five runs, and its newest twenty."""

    recurring_job_id: str
    user_id: str
    job_type: str
    data: dict[str, Any]
    cron_expression: str
    time_zone: str
    #: The expression in English.
    schedule: str
    overlap: str
    skip_cache: bool
    state: RecurrenceState
    #: Why the service has paused it, and what to do.
    pause_reason: str | None = Field(exclude_if=is_absent)
    start_at: datetime | None = Field(exclude_if=is_absent)
    end_at: datetime | None = Field(exclude_if=is_absent)
    next_runs: list[datetime]
    runs: list[RecurringRunView]
    #: Numbers of runs since it was created.
    submitted: int
    skipped: int
    refused: int
    project_id: str | None = Field(exclude_if=is_absent)
    created_at: datetime
    updated_at: datetime


class RecurringJobPage(View):
    """Recurring jobs, newest first; pass `nextCursor` as `cursor` to get the next page."""

    recurring_jobs: list[RecurringJobView]
    next_cursor: str | None


# ── Delayed jobs ─────────────────────────────────────────────────────────────────────────────────


@router.post(
    "/delayed",
    status_code=202,
    summary="Create a job that starts later",
    responses={**document_created("JobView"), **document_problems("not_found")},
    openapi_extra=document_submission(
        DelayedJob,
        {"jobType": "image-generation", "data": {"prompt": "A sunset"}, "delay": 300_000},
    ),
)
async def create_delayed_job(
    order: Annotated[
        DelayedJob, json_body(DelayedJob, find_more=lambda body, _: find_data_faults(body))
    ],
    submitter: Submitting,
) -> Response:
    """Like `POST /api/jobs/{jobType}` with `scheduleAt`; `delay` is in milliseconds."""
    context = submitter.context
    job_type = find_requested_type(order.job_type)
    body = parse_data(job_type, order.data)
    if body.submission.schedule_at is not None:
        raise InvalidError.at("data.scheduleAt", "give delay or runAt instead")
    start = order.resolve(context.services.clock.now())
    submission = body.submission.model_copy(update={"schedule_at": start})
    request = build_request(submitter, job_type, SubmissionBody(submission, body.ignored))
    return await respond_with_job(submitter, context.caller, request)


@router.post(
    "/{job_type}/{job_id}/reschedule",
    summary="Give a scheduled job another time",
    response_model=JobView,
    responses=document_problems("conflict"),
    openapi_extra=document_body(StartTime, {"delay": 60_000}),
)
async def change_start(
    request: Request,
    job_type: str,
    job_id: str,
    context: Authenticated,
    start: Annotated[StartTime, json_body(StartTime)],
) -> Response:
    """`{"delay": 0}` runs it now. Its deadlines move with it."""
    check_query(request)
    services = context.services
    run_at = start.resolve(services.clock.now())
    job = await reschedule_job(services, context.caller, job_id, job_type, run_at)
    return JsonResponse(await build_job_view(services, job, context.base_url))


def _find_faults(body: Mapping[str, Any], _services: Services) -> list[InvalidError]:
    """The faults of a recurring job's request and times, where other fields are wrong."""
    cron, zone = body.get("cronExpression"), body.get("timeZone", "UTC")
    found = find_data_faults(body)
    if isinstance(cron, str) and isinstance(zone, str):
        found += list_faults(cron, zone)
    return found


# ── Recurring jobs ───────────────────────────────────────────────────────────────────────────────


@router.post(
    "/recurring",
    status_code=201,
    summary="Submit a request again and again, at the times of a cron expression",
    response_model=RecurringJobView,
    responses=document_problems("conflict", "forbidden", "idempotency_key_reused", "not_found"),
    openapi_extra={
        **document_body(
            RecurringJobOrder,
            {
                "jobType": "image-generation",
                "data": {"prompt": "The picture of the day"},
                "cronExpression": "0 9 * * MON-FRI",
                "timeZone": "Europe/Berlin",
            },
        ),
        **ONCE,
    },
)
async def create_recurring_job(
    request: Request,
    context: Authenticated,
    order: Annotated[RecurringJobOrder, json_body(RecurringJobOrder, find_more=_find_faults)],
) -> Response:
    """Each run is a job of its own, which costs what such a job costs.

    A time that was missed is made up for once. Changes of the clocks follow Debian's cron.
    """
    check_query(request)
    job_type = find_requested_type(order.job_type)
    body = _check_parts(job_type, order)
    recurring = await use_cases.create_recurring_job(
        context.services,
        context.caller,
        Recurrence(
            job_type=job_type,
            submission=body.submission,
            cron_expression=order.cron_expression,
            time_zone=order.time_zone,
            overlap=order.options.overlap,
            skip_cache=order.options.skip_cache,
            start_at=order.options.start_at,
            end_at=order.options.end_at,
            idempotency_key=parse_idempotency_key(request.headers.get("idempotency-key")),
        ),
    )
    return _respond(context, recurring, HTTPStatus.CREATED)


@router.get(
    "/recurring",
    summary="Your recurring jobs",
    response_model=RecurringJobPage,
    responses=document_problems("forbidden"),
)
async def list_recurring_jobs(
    request: Request,
    context: Authenticated,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: str | None = None,
    *,
    all_users: AllUsers = False,
    project_id: Annotated[str | None, Query(alias="projectId", max_length=128)] = None,
) -> Response:
    """Newest first. `projectId` lists those of all members and API keys of a project, for members.

    `allUsers=true` lists those of everybody, for admins.
    """
    check_query(request, "limit", "cursor", "allUsers", "projectId")
    services = context.services
    page = await use_cases.list_recurring_jobs(
        services,
        context.caller,
        limit=limit,
        cursor=cursor,
        all_users=all_users,
        project_id=project_id,
    )
    now = services.clock.now()
    views = [build_recurring_view(recurring, now) for recurring in page.rows]
    return JsonResponse(RecurringJobPage(recurring_jobs=views, next_cursor=page.cursor))


@router.get(
    "/recurring/{recurring_job_id}",
    summary="A recurring job, its next runs and its history",
    response_model=RecurringJobView,
)
async def read_recurring_job(
    request: Request, recurring_job_id: str, context: Authenticated
) -> Response:
    """The newest twenty runs."""
    return await _respond_after(use_cases.find_recurring_job, request, context, recurring_job_id)


@router.post(
    "/recurring/{recurring_job_id}/pause",
    summary="Make no more runs until it is resumed",
    response_model=RecurringJobView,
    responses=document_problems("forbidden"),
)
async def pause_recurring_job(
    request: Request, recurring_job_id: str, context: Authenticated
) -> Response:
    """Safe to repeat."""
    return await _respond_after(use_cases.pause_recurring_job, request, context, recurring_job_id)


@router.post(
    "/recurring/{recurring_job_id}/resume",
    summary="Make runs again",
    response_model=RecurringJobView,
    responses=document_problems("conflict", "forbidden"),
)
async def resume_recurring_job(
    request: Request, recurring_job_id: str, context: Authenticated
) -> Response:
    """Runs that it missed while it was paused are omitted. Safe to repeat."""
    return await _respond_after(use_cases.resume_recurring_job, request, context, recurring_job_id)


@router.post(
    "/recurring/{recurring_job_id}/take-over",
    summary="Make a recurring job of a project your own",
    response_model=RecurringJobView,
    responses=document_problems("conflict", "forbidden"),
)
async def take_over_recurring_job(
    request: Request, recurring_job_id: str, context: Authenticated
) -> Response:
    """For admins of its project. Its next runs are yours: with your files, tier and credits.

    One that was paused because its API key had been revoked goes on. Safe to repeat.
    """
    return await _respond_after(
        use_cases.take_over_recurring_job, request, context, recurring_job_id
    )


@router.delete(
    "/recurring/{recurring_job_id}",
    summary="Delete a recurring job",
    response_model=RecurringJobView,
    responses=document_problems("forbidden"),
)
async def delete_recurring_job(
    request: Request, recurring_job_id: str, context: Authenticated
) -> Response:
    """The jobs that it has submitted stay."""
    return await _respond_after(use_cases.delete_recurring_job, request, context, recurring_job_id)


def _check_parts(job_type: JobType[Any], order: RecurringJobOrder) -> SubmissionBody:
    """The request in `data`. Raises InvalidError that lists all wrong fields, also of the times."""
    found: list[InvalidError] = []
    body = None
    try:
        body = parse_data(job_type, order.data)
    except InvalidError as error:
        found.append(error)
    found += list_faults(order.cron_expression, order.time_zone)
    if body is None or found:
        raise InvalidError.join(found)
    return body


async def _respond_after(
    act: Callable[[Services, Caller, str], Awaitable[RecurringJob]],
    request: Request,
    context: AuthenticatedRequest,
    id_: str,
) -> Response:
    """Do something with a recurring job, and show it as it is then."""
    check_query(request)
    return _respond(context, await act(context.services, context.caller, id_))


def _respond(
    context: AuthenticatedRequest, recurring: RecurringJob, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    return JsonResponse(build_recurring_view(recurring, context.services.clock.now()), status)


def build_recurring_view(recurring: RecurringJob, now: datetime) -> RecurringJobView:
    """The view of a recurring job at the time `now`."""
    schedule = CronSchedule(recurring.cron_expression, recurring.time_zone)
    next_runs: list[datetime] = []
    if recurring.state is RecurrenceState.ACTIVE and recurring.next_run_at is not None:
        first = recurring.next_run_at
        times = [first, *schedule.next_times(max(first, now), _RUNS_AHEAD - 1)]
        end_at = recurring.end_at
        next_runs = [time for time in times if end_at is None or time <= end_at]
    fields = dict(recurring) | {
        "data": recurring.payload,
        "schedule": schedule.words,
        "next_runs": next_runs,
        # The newest first.
        "runs": [RecurringRunView.of(run) for run in reversed(recurring.runs)],
    }
    return RecurringJobView(**fields)
