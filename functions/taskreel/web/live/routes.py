"""The routes of live updates: events of a job and of all own jobs, and tokens for EventSource."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from taskreel.app.jobs.queries import find_job
from taskreel.app.live.job_reader import JobReader
from taskreel.app.live.job_scope import (
    OWN_JOBS,
    Scope,
    ScopeKind,
    may_still_read,
    open_scope,
)
from taskreel.domain.errors import InvalidError
from taskreel.domain.job import Job
from taskreel.domain.stream_position import StreamPosition
from taskreel.web.auth import ApiContext
from taskreel.web.http import JsonResponse, check_query, parse_wait_seconds
from taskreel.web.live.event_stream import (
    EventSequence,
    EventStreamResponse,
    JobEvents,
    collect_events,
)
from taskreel.web.openapi_problems import document_problems
from taskreel.web.responses import View
from taskreel.web.route_parameters import Authenticated
from taskreel.web.stream_tokens import ExpiringCaller

router = APIRouter(tags=["live updates"])

_PARAMETERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "after",
            "in": "query",
            "description": "Go on behind this event: its `id`, or the `position` of an answer.",
            "schema": {"type": "string", "maxLength": 160},
        },
        {
            "name": "token",
            "in": "query",
            "description": "A token of `POST /api/stream-tokens`, for a client without headers.",
            "schema": {"type": "string"},
        },
        {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "As `after`; an EventSource sends it by itself.",
            "schema": {"type": "string"},
        },
        {
            "name": "Prefer",
            "in": "header",
            "description": "`wait=N`: answer once with JSON, as soon as there are events, "
            "within N seconds (60 at most).",
            "schema": {"type": "string"},
        },
    ]
}
_SUMMARY = {
    "name": "summary",
    "in": "query",
    "description": "`true`: each job with its `summary`, as in the list of jobs.",
    "schema": {"type": "string", "enum": ["true", "false"]},
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": JobEvents,
        "description": "Server-sent events, or JSON with `Prefer: wait=N`",
        # Without a type: OpenAPI 3.1 does not say if a schema is that of the stream or an event.
        "content": {"text/event-stream": {"schema": {"description": "A stream of events"}}},
    },
    204: {"description": "The job has ended, and `after` is behind its last event"},
    **document_problems("too_many_connections"),
}


class StreamTokenView(View):
    """A token for `?token=` of the routes of events, and when it expires."""

    token: str
    expires_at: datetime


@router.post(
    "/api/stream-tokens",
    status_code=201,
    summary="A short-lived token for an EventSource, which cannot send headers",
    response_model=StreamTokenView,
)
async def create_stream_token(request: Request, context: Authenticated) -> Response:
    """It reads events with your rights, and nothing else."""
    token, expires_at = ApiContext.of(request).stream_tokens().issue(context.caller)
    return JsonResponse(StreamTokenView(token=token, expires_at=expires_at), HTTPStatus.CREATED)


@router.get(
    "/api/jobs/events",
    summary="The changes of all your jobs as server-sent events",
    responses=_ANSWERS,
    openapi_extra={"parameters": [_SUMMARY, *_PARAMETERS["parameters"]]},
)
async def stream_own_events(request: Request) -> Response:
    """First `ready` with an id, then each change; list your jobs after `ready`."""
    expiring = await authenticate_stream(request, "summary")
    summary = _read_summary(request)
    return await _respond(request, expiring, OWN_JOBS, None, summary=summary)


async def stream_job_events(request: Request) -> Response:
    """The job now, then each change; `status` for a new status, else `progress`."""
    expiring = await authenticate_stream(request)
    path = request.path_params
    services = ApiContext.of(request).services
    job = await find_job(services, expiring.caller, path["job_id"], path.get("job_type"))
    return await _respond(request, expiring, Scope(ScopeKind.JOB, job.job_id), job)


for _prefix in ("/api/jobs/{job_id}", "/api/jobs/{job_type}/{job_id}"):
    router.add_api_route(
        f"{_prefix}/events",
        stream_job_events,
        summary="The job's changes as server-sent events, until it ends",
        responses=_ANSWERS,
        openapi_extra=_PARAMETERS,
    )


async def authenticate_stream(request: Request, *parameters: str) -> ExpiringCaller:
    """The caller by a stream token in the URL, else by the Authorization header.

    `parameters` are those of the route, beside those of every stream.
    """
    context = ApiContext.of(request)
    check_query(request, "after", "token", *parameters)
    token = request.query_params.get("token")
    if token is not None:
        return context.stream_tokens().verify(token)
    header = request.headers.get("authorization")
    return ExpiringCaller(*await context.authenticator.authenticate_until(header))


async def _respond(
    request: Request,
    expiring: ExpiringCaller,
    scope: Scope,
    job: Job | None,
    *,
    summary: bool = False,
) -> Response:
    context = ApiContext.of(request)
    live = context.live()
    position = _read_position(request)
    wait_seconds = parse_wait_seconds(request.headers.get("prefer"))
    async with AsyncExitStack() as connection:
        connection.enter_context(live.limits.hold(expiring.caller.user_id))
        reader = await connection.enter_async_context(JobReader(live.feed))
        opened = await open_scope(context.services, expiring.caller, scope, job)
        await reader.add(opened, position, with_current=True)
        sequence = EventSequence(
            reader, opened, context.services, context.base_url, summary=summary
        )
        first = reader.read_waiting()
        if wait_seconds:
            has_ended = job is not None and job.status.final
            seconds = 0 if has_ended or position is None else wait_seconds
            return JsonResponse(await collect_events(sequence, first, seconds))
        if first is None and job is not None and job.status.final:
            # An EventSource connects again and again, until it is answered so.
            return Response(status_code=HTTPStatus.NO_CONTENT)
        # The response closes the connection.
        return EventStreamResponse(
            sequence,
            first,
            connection.pop_all(),
            expires_at=expiring.expires_at,
            may_go_on=partial(may_still_read, context.services, expiring.caller, opened),
        )


def _read_summary(request: Request) -> bool:
    given = request.query_params.get("summary", "false")
    if given not in {"true", "false"}:
        raise InvalidError.at("summary", "must be true or false")
    return given == "true"


def _read_position(request: Request) -> StreamPosition | None:
    """The place to go on from. A header that is not ours is ignored: a browser sends it alone."""
    after = request.query_params.get("after")
    header = request.headers.get("last-event-id", "")
    if after is not None:
        position = StreamPosition.parse(after)
        if position is None:
            message = "must be the `id` of an event or the `position` of an answer, unchanged"
            raise InvalidError.at("after", message)
        return StreamPosition.parse(header) or position
    return StreamPosition.parse(header)
