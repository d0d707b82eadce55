"""Changes of jobs as server-sent events, and as answers to long polling."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack

from fastapi.sse import format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from taskreel.app.live.job_feed import JobChange
from taskreel.app.live.job_reader import JobReader
from taskreel.app.live.job_scope import OpenScope, ScopeKind
from taskreel.app.services import Services
from taskreel.domain.errors import StoreError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.stream_position import StreamPosition
from taskreel.web.job_rows import build_job_row
from taskreel.web.live.regular_check import RegularCheck
from taskreel.web.responses import JobView, View, build_job_view

#: Proxies close connections on which nothing moves for half a minute or more.
HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = format_sse_event(comment="keep-alive")
#: Jobs of which a stream remembers the status it has shown.
_MOST_REMEMBERED = 512
_MOST_EVENTS = 100


class JobEvent(View):
    """One event: `status` (a new one), `progress`, or `snapshot`, and the job as it is now.

    `id` is the position behind it. A `snapshot` follows a gap that cannot be filled event by event.
    """

    id: str
    event: str
    job: JobView


class JobEvents(View):
    """The answer to long polling; pass `position` as `after` to get what comes next."""

    events: list[JobEvent]
    position: str


class EventSequence:
    """The events of one reader of one scope; a job's first event has its status."""

    def __init__(
        self,
        reader: JobReader,
        opened: OpenScope,
        services: Services,
        base_url: str,
        *,
        summary: bool = False,
    ) -> None:
        self.reader = reader
        self._source = opened.source
        self._is_one_job = opened.scope.kind is ScopeKind.JOB
        self._services = services
        self._base_url = base_url
        self._has_summary = summary
        self._statuses: dict[str, Status] = {}

    @property
    def position(self) -> StreamPosition:
        """Behind the last event that was built."""
        return self.reader.positions[self._source]

    def has_ended(self, change: JobChange) -> bool:
        """True behind the last event of a single job."""
        return self._is_one_job and change.job.status.final

    async def build(self, change: JobChange) -> JobEvent:
        """The event of a change; of a single job with all of it, else as lists show it."""
        job = change.job
        event = "progress" if self._statuses.get(job.job_id) is job.status else "status"
        self._statuses.pop(job.job_id, None)
        self._statuses[job.job_id] = job.status
        if len(self._statuses) > _MOST_REMEMBERED:
            del self._statuses[next(iter(self._statuses))]
        return JobEvent(
            id=str(change.position),
            event="snapshot" if change.is_snapshot else event,
            job=await self._build_view(job),
        )

    async def _build_view(self, job: Job) -> JobView:
        if self._is_one_job:
            return await build_job_view(self._services, job, self._base_url)
        return await build_job_row(self._services, job, self._base_url, summary=self._has_summary)


class EventStreamResponse(StreamingResponse):
    """Streams the events; `connection` is closed at the end, whichever side ends it.

    FastAPI's own EventSourceResponse has heartbeats, but no check of rights at each, and no end
    with the token or the process: of `fastapi.sse` the format of an event is used.
    """

    def __init__(
        self,
        sequence: EventSequence,
        first: JobChange | None,
        connection: AsyncExitStack,
        *,
        expires_at: float,
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> None:
        """`may_go_on` is asked at each heartbeat: a reader may have lost the right to read."""
        super().__init__(
            _stream_events(sequence, first, expires_at, may_go_on),
            media_type="text/event-stream",
            # Some proxies collect what they pass on; this asks them not to.
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._connection = connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond."""
        async with self._connection:
            await super().__call__(scope, receive, send)


async def _stream_events(
    sequence: EventSequence,
    first: JobChange | None,
    expires_at: float,
    may_go_on: Callable[[], Awaitable[bool]],
) -> AsyncGenerator[bytes]:
    if first is None:
        # An id at once: a client that is cut off before the first change goes on from here.
        yield format_sse_event(event="ready", id=str(sequence.position), data_str="{}")
    else:
        yield await _build_event(sequence, first)
        if sequence.has_ended(first):
            return
    rights = RegularCheck(HEARTBEAT_SECONDS)
    while True:
        try:
            # Where jobs change all the time, too: no stream outlives its right for long.
            if rights.take_turn() and not await may_go_on():
                return  # a client that connects again gets the reason
            async with asyncio.timeout(min(rights.seconds_left, expires_at - time.time())):
                change = await sequence.reader.read()
        except TimeoutError:
            if time.time() >= expires_at:
                yield format_sse_event(event="expired", data_str='{"code":"token_expired"}')
                return
            yield _HEARTBEAT
            continue
        except StoreError:
            return  # the client connects again, and goes on where it was
        if change is None:
            return  # the process stops
        yield await _build_event(sequence, change)
        if sequence.has_ended(change):
            return


async def _build_event(sequence: EventSequence, change: JobChange) -> bytes:
    event = await sequence.build(change)
    data = event.job.to_json().decode()
    return format_sse_event(event=event.event, id=event.id, data_str=data)


async def collect_events(
    sequence: EventSequence, first: JobChange | None, seconds: float
) -> JobEvents:
    """Wait so long for events; return all that have come."""
    change = first
    if change is None:
        try:
            async with asyncio.timeout(seconds):
                change = await sequence.reader.read()
        except TimeoutError:
            change = None
    events: list[JobEvent] = []
    while change is not None and len(events) < _MOST_EVENTS:
        events.append(await sequence.build(change))
        change = sequence.reader.read_waiting() if len(events) < _MOST_EVENTS else None
    return JobEvents(events=events, position=str(sequence.position))
