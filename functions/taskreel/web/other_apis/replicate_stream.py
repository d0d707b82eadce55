"""A prediction's stream: each file or text as soon as there is one, the progress, and the end.

The clients open the URL without a token (JavaScript) or with one (Python): the link itself is the
permission, as that of a file is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

from fastapi.sse import format_sse_event
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from taskreel.app.caller import Caller
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.results import collect_data
from taskreel.app.live import job_scope
from taskreel.app.live.job_reader import JobReader
from taskreel.domain.artifact import Artifact
from taskreel.domain.errors import NotFoundError, StoreError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from taskreel.web.auth import ApiContext
from taskreel.web.other_apis.replicate_prediction import (
    PredictionLinks,
    build_logs,
    describe_error,
    name_stream,
)

#: Proxies close connections on which nothing moves for half a minute or more.
_HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = format_sse_event(comment="keep-alive")
_FINISHED = frozenset({UnitState.DONE, UnitState.FAILED})


async def stream_prediction(request: Request) -> Response:
    """Server-sent events `output`, `logs`, `error` and `done`."""
    context = ApiContext.of(request)
    services, query = context.services, request.query_params
    job_id = request.path_params["job_id"]
    expires, signature = query.get("expires", ""), query.get("signature", "")
    context.file_links().check(name_stream(job_id), expires, signature, services.clock.now())
    job = await load_job(services.store, job_id)
    if job is None:
        raise NotFoundError(f"There is no prediction {job_id} any more.")
    live = context.live()
    events = _Events(PredictionLinks(context.file_links(), services, job).link_file)
    async with AsyncExitStack() as connection:
        connection.enter_context(live.limits.hold(job.user_id))
        reader = await connection.enter_async_context(JobReader(live.feed))
        scope = job_scope.Scope(job_scope.ScopeKind.JOB, job_id)
        opened = await job_scope.open_scope(services, Caller(user_id=job.user_id), scope, job)
        await reader.add(opened, None, with_current=True)
        # The response closes the connection.
        return _StreamResponse(_send_events(reader, events, job), connection.pop_all())


class _StreamResponse(StreamingResponse):
    """Streams the events; `connection` is closed at the end, whichever side ends it."""

    def __init__(self, content: AsyncGenerator[bytes], connection: AsyncExitStack) -> None:
        headers = {
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            "Access-Control-Allow-Origin": "*",
        }
        super().__init__(content, headers=headers, media_type="text/event-stream")
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond."""
        async with self._connection:
            await super().__call__(scope, receive, send)


async def _send_events(reader: JobReader, events: _Events, job: Job) -> AsyncGenerator[bytes]:
    for event in events.list_new(job):
        yield event
    while not job.status.final:
        try:
            async with asyncio.timeout(_HEARTBEAT_SECONDS):
                change = await reader.read()
        except TimeoutError:
            yield _HEARTBEAT
            continue
        except StoreError:
            return
        if change is None:
            return  # the process stops
        job = change.job
        for event in events.list_new(job):
            yield event


class _Events:
    """The events of one stream. Both clients need an id in each; Python drops those without."""

    def __init__(self, link: Callable[[Artifact], str]) -> None:
        self._link = link
        self._sent = 0
        self._files = 0
        self._logs = ""

    def list_new(self, job: Job) -> Iterator[bytes]:
        """The events of what the job has that was not sent yet."""
        logs = build_logs(job)
        if logs != self._logs:
            self._logs = logs
            yield self._format("logs", logs.rstrip("\n"))
        files = _list_finished_files(job)
        for file in files[self._files :]:
            yield self._format("output", self._link(file))
        self._files = max(self._files, len(files))
        if job.status.final:
            yield from self._end(job)

    def _end(self, job: Job) -> Iterator[bytes]:
        if job.has_result and not self._files and (facts := collect_data(job)):
            text = facts.get("text")
            yield self._format("output", text if isinstance(text, str) else _dump(facts))
        reason = {}
        if job.status is Status.CANCELLED:
            reason = {"reason": "canceled"}
        elif job.status is not Status.COMPLETED:
            yield self._format("error", _dump({"detail": describe_error(job)}))
            reason = {"reason": "error"}
        yield self._format("done", _dump(reason))

    def _format(self, event: str, data: str) -> bytes:
        self._sent += 1
        return format_sse_event(event=event, id=str(self._sent), data_str=data)


def _list_finished_files(job: Job) -> list[Artifact]:
    """The files of the units that have ended, up to the first that has not: the result's order."""
    files: list[Artifact] = []
    for unit in job.units:
        if unit.state not in _FINISHED and not job.status.final:
            break
        files.extend(unit.artifacts)
    return files


def _dump(value: dict[str, Any]) -> str:
    return to_json(value).decode()
