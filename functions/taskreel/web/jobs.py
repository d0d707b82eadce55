"""The jobs API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT
from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import to_json
from starlette.responses import StreamingResponse

from taskreel.app.caller import Caller
from taskreel.app.jobs.cancel import cancel_job as cancel
from taskreel.app.jobs.job_store import decode_job
from taskreel.app.jobs.queries import Filters, find_job, list_jobs
from taskreel.app.jobs.retry import retry_job as retry
from taskreel.app.jobs.submit import JobRequest as SubmitRequest
from taskreel.app.jobs.submit import quote_job
from taskreel.app.jobs.submit import submit_job as submit
from taskreel.app.services import Services
from taskreel.domain.errors import ConflictError, NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType, Submission
from taskreel.web.http import (
    answer,
    check_query,
    idempotency_key,
    read_submission,
    services_of,
    validate_only,
    wait_seconds,
)
from taskreel.web.openapi import plain
from taskreel.web.schemas import JobsPage, JobView, Problem, ProgressView, ResultView
from taskreel.web.views import error_view, job_view, progress_view, result_view

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

_KEEP_ALIVE_SECONDS = 15.0

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "Why it cannot be done"}
}


async def caller_of(request: Request) -> Caller:
    """Who calls; every handler that shows or changes anything asks."""
    caller: Caller = await request.app.state.authenticator.caller(
        request.headers.get("authorization")
    )
    return caller


# ── Submit ───────────────────────────────────────────────────────────────────────────────────────


async def submit_job(request: Request) -> Response:
    """`POST /api/jobs/{job_type}`. A plain route: it reads its own body, and every job passes here."""
    name = request.path_params["job_type"]
    job_type = JOB_TYPES.get(name)
    if job_type is None:
        raise NotFoundError(
            f"There is no job type {name!r}. There are: {', '.join(JOB_TYPES)}.",
            jobTypes=list(JOB_TYPES),
        )
    return await submit_as(request, job_type, await read_submission(request, job_type))


router.add_route("/api/jobs/{job_type}", submit_job, methods=["POST"], include_in_schema=False)


async def submit_as(
    request: Request,
    job_type: JobType[Any],
    submission: Submission,
    more: Callable[[Job], Mapping[str, Any]] = lambda _job: {},
) -> Response:
    """Submit what was read of the request. `more` adds what another route's answer names differently."""
    wanted = SubmitRequest(
        job_type=job_type, submission=submission, idempotency_key=idempotency_key(request)
    )
    return await create(request, await caller_of(request), wanted, more)


async def create(
    request: Request,
    owner: Caller,
    wanted: SubmitRequest,
    more: Callable[[Job], Mapping[str, Any]] = lambda _job: {},
) -> Response:
    """The new job, or with `validateOnly` what it would cost."""
    services = services_of(request)
    if validate_only(request):
        return await _quote(services, owner, wanted)
    submitted = await submit(services, owner, wanted)
    wait = wait_seconds(request)
    job = await _ended_within(services, submitted.job, wait)
    view = await job_view(services, job, request.app.state.base_url)
    view |= more(job)
    headers = {"Location": view["urls"]["self"]}
    if submitted.repeated:
        headers["Idempotency-Replayed"] = "true"
    if wait:
        headers["Preference-Applied"] = f"wait={wait:g}"
    return answer(view, HTTPStatus.OK if job.status.final else HTTPStatus.ACCEPTED, headers)


async def _quote(services: Services, caller: Caller, wanted: SubmitRequest) -> Response:
    found = await quote_job(services, caller, wanted)
    affordable = found.cost <= found.account.available
    balance = {"available": found.account.available, "sufficient": affordable}
    steps = {
        name: {"servedBy": plan.served_by, "usd": plan.usd}
        for name, plan in found.plan.steps.items()
    }
    plan = {
        "servedBy": found.plan.served_by,
        "usd": found.plan.usd,
        **({"steps": steps} if steps else {}),
    }
    return answer({"valid": True, "cost": found.cost, "credits": balance, **plan})


# ── Read ─────────────────────────────────────────────────────────────────────────────────────────


@router.get("/types", summary="Every job type: its request, price and an example")
async def types() -> Response:
    """No token is needed."""
    return answer({"jobTypes": [_type_view(job_type) for job_type in JOB_TYPES.values()]})


def _type_view(job_type: JobType[Any]) -> dict[str, Any]:
    return {
        "jobType": job_type.name,
        "summary": job_type.summary,
        "price": job_type.price,
        "capability": job_type.capability,
        "maxAttempts": job_type.retry.max_attempts,
        "timeoutSeconds": job_type.timeout.total_seconds(),
        "schema": plain(job_type.submission.model_json_schema(by_alias=True)),
        "example": dict(job_type.example),
    }


@router.get("/health", summary="Whether the service and its store answer")
async def health(request: Request) -> Response:
    """One read of the store; no token is needed."""
    await services_of(request).store.get("health", "probe")
    return answer({"status": "ok", "store": "ok"})


def _known_type(name: str) -> str:
    if name not in JOB_TYPES:
        raise ValueError(f"there is no job type {name!r}; there are: {', '.join(JOB_TYPES)}")
    return name


class JobsQuery(Value):
    """How `GET /api/jobs` is narrowed and paged; `parentId` is a pipeline's jobs, `userId` for admins."""

    model_config = ConfigDict(defer_build=False)  # FastAPI builds none of its own

    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = None
    status: Status | None = None
    job_type: Annotated[str, AfterValidator(_known_type)] | None = None
    project_id: str | None = None
    parent_id: str | None = None
    user_id: str | None = None


@router.get("", summary="Your jobs, newest first", responses={200: {"model": JobsPage}, **PROBLEMS})
async def jobs(request: Request, wanted: Annotated[JobsQuery, Query()]) -> Response:
    """A page, and `nextCursor` for the one after it."""
    services, caller = services_of(request), await caller_of(request)
    filters = Filters(**wanted.model_dump(exclude={"limit", "cursor"}))
    page = await list_jobs(services, caller, filters, limit=wanted.limit, cursor=wanted.cursor)
    views = [
        await job_view(services, job, request.app.state.base_url, sign=False) for job in page.rows
    ]
    return answer({"jobs": views, "nextCursor": page.cursor})


async def _show_job(request: Request, job: Job) -> Response:
    services = services_of(request)
    job = await _ended_within(services, job, wait_seconds(request))
    return answer(await job_view(services, job, request.app.state.base_url))


async def _show_progress(_request: Request, job: Job) -> Response:
    return answer(progress_view(job))


async def _show_result(request: Request, job: Job) -> Response:
    services = services_of(request)
    job = await _ended_within(services, job, wait_seconds(request))
    if job.status is Status.COMPLETED:
        return answer(await result_view(services, job))
    text = (
        "ended without a result"
        if job.status.final
        else "has no result yet; follow its events, or ask with Prefer: wait=30"
    )
    raise ConflictError(
        f"The job is {job.status} and {text}.",
        code="no_result",
        jobStatus=job.status,
        error=error_view(job),
    )


async def _show_events(request: Request, job: Job) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = _events(services_of(request), job, request.app.state.base_url)
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def _read_routes(
    suffix: str,
    show: Callable[[Request, Job], Awaitable[Response]],
    summary: str,
    model: type[Value] | None,
) -> None:
    """The same under the job's id alone and under its type."""

    async def by_id(request: Request, job_id: str) -> Response:
        return await show(
            request, await find_job(services_of(request), await caller_of(request), job_id)
        )

    async def by_type(request: Request, job_type: str, job_id: str) -> Response:
        return await show(
            request,
            await find_job(services_of(request), await caller_of(request), job_id, job_type),
        )

    answers: dict[int | str, dict[str, Any]] = {200: {"model": model}} if model else {}
    responses = {**answers, **PROBLEMS}
    for path, endpoint in (("/{job_id}", by_id), ("/{job_type}/{job_id}", by_type)):
        router.add_api_route(
            path + suffix, endpoint, methods=["GET"], summary=summary, responses=responses
        )


for _suffix, _show, _summary, _model in (
    ("/progress", _show_progress, "How far the job is", ProgressView),
    ("/result", _show_result, "What the job made, under fresh URLs", ResultView),
    ("/events", _show_events, "The job's changes as server-sent events, until it ends", None),
    ("", _show_job, "The job", JobView),
):
    _read_routes(_suffix, _show, _summary, _model)


async def _events(services: Services, job: Job, base_url: str) -> AsyncIterator[bytes]:
    """`status` on a change of status, else `progress`; each carries the whole job, so that none is needed twice."""
    status: Status | None = None
    changes = aiter(services.store.watch("jobs", job.job_id))
    following = asyncio.ensure_future(anext(changes))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=_KEEP_ALIVE_SECONDS)
            if not done:
                yield KEEPALIVE_COMMENT
                continue
            document = following.result()
            if document is None:
                return
            current = decode_job(document)
            kind = "progress" if current.status is status else "status"
            status = current.status
            view = await job_view(services, current, base_url)
            yield f"event: {kind}\ndata: ".encode() + to_json(view) + b"\n\n"
            if current.status.final:
                return
            following = asyncio.ensure_future(anext(changes))
    finally:
        following.cancel()


async def _ended_within(services: Services, job: Job, seconds: float) -> Job:
    """The job as soon as it has ended, or as it is when the time is up."""
    if seconds <= 0 or job.status.final:
        return job
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timedelta(seconds=seconds).total_seconds()):
            async for document in services.store.watch("jobs", job.job_id):
                job = decode_job(document) if document else job
                if job.status.final:
                    break
    return job


# ── Change ───────────────────────────────────────────────────────────────────────────────────────


@router.delete(
    "/{job_type}/{job_id}",
    summary="Cancel the job and release its hold",
    responses={200: {"model": JobView}},
)
async def cancel_job(request: Request, job_type: str, job_id: str) -> Response:
    """A second call is harmless."""
    services = services_of(request)
    job = await cancel(services, await caller_of(request), job_id, job_type)
    return answer(await job_view(services, job, request.app.state.base_url))


@router.post(
    "/{job_type}/{job_id}/retry",
    status_code=202,
    summary="Try a failed job again, under the same id",
    responses={202: {"model": JobView}},
)
async def retry_job(request: Request, job_type: str, job_id: str) -> Response:
    """New attempts, and a new hold."""
    check_query(request)
    services = services_of(request)
    job = await retry(services, await caller_of(request), job_id, job_type)
    return answer(await job_view(services, job, request.app.state.base_url), HTTPStatus.ACCEPTED)
