"""Workers that receive the tasks: a real HTTP server, or a function under virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httptools

from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from taskreel_cloud_tasks.delivery_history import HandlerResponse, OutgoingRequest
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.http_client import SendError
from taskreel_cloud_tasks.journal import Journal
from taskreel_cloud_tasks.messages import HttpRequest, Queue, Task

LOCATION = "projects/demo/locations/us-central1"
QUEUE = f"{LOCATION}/queues/jobs"


def http_task(**fields: object) -> Task:
    """A task that posts to nowhere in particular."""
    fields.setdefault("http_request", HttpRequest(url="http://worker.test/run", body=b"{}"))
    return Task(**fields)  # type: ignore[arg-type]


@dataclass
class Scripted:
    """A sender that answers by a script at once, and records the time of each request."""

    clock: VirtualClock
    answers: deque[int | HandlerResponse | SendError] = field(default_factory=deque)
    otherwise: int = 200
    sent: list[tuple[float, OutgoingRequest]] = field(default_factory=list)
    hold: asyncio.Event | None = None
    """While set but not signalled, requests stay unanswered."""
    running: int = 0
    most_running: int = 0

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        self.sent.append((self.clock.now() / SECOND, request))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.running -= 1
        answer = self.answers.popleft() if self.answers else self.otherwise
        if isinstance(answer, SendError):
            raise answer
        return answer if isinstance(answer, HandlerResponse) else HandlerResponse(answer, {})

    def times(self) -> list[float]:
        """Return the times of the requests, in seconds since the first."""
        first = self.sent[0][0]
        return [round(at - first, 6) for at, _ in self.sent]

    def header(self, name: str) -> list[str | None]:
        """Return the value of a header in each request."""
        return [dict(request.headers).get(name) for _, request in self.sent]


@dataclass
class Bench:
    """An engine under virtual time with one queue and a scripted worker."""

    engine: Engine
    worker: Scripted

    async def create(self, **fields: object) -> str:
        entry = await self.engine.create_task(QUEUE, http_task(**fields))
        return f"{QUEUE}/tasks/{entry.id}"

    async def advance(self, seconds: float) -> None:
        await self.engine.advance(timedelta(seconds=seconds), grace_s=0.02)


async def make_bench(
    config: EngineConfig | None = None,
    journal: Journal | None = None,
    clock: VirtualClock | None = None,
) -> Bench:
    clock = clock or VirtualClock()
    worker = Scripted(clock)
    engine = Engine(config, clock=clock, journal=journal, sender=worker)
    engine.start()
    if QUEUE not in {queue.name for queue in engine.list_queues(LOCATION)}:
        await engine.create_queue(LOCATION, Queue(name=QUEUE))
    return Bench(engine, worker)


@dataclass
class Seen:
    """A request as a real worker received it, with the header names as written."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Worker:
    """A real HTTP server that answers by a script: a status, or a status and headers."""

    url: str = ""
    answers: deque[int | tuple[int, dict[str, str]]] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    _waiters: list[tuple[int, asyncio.Future[None]]] = field(default_factory=list)

    def answer(self, request: Seen) -> bytes:
        self.seen.append(request)
        for count, waiter in self._waiters:
            if len(self.seen) >= count and not waiter.done():
                waiter.set_result(None)
        answer = self.answers.popleft() if self.answers else 200
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        lines = [
            f"HTTP/1.1 {status} Scripted",
            "Content-Length: 0",
            *(f"{key}: {value}" for key, value in headers.items()),
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    async def received(self, count: int) -> list[Seen]:
        """Wait for `count` requests and return them."""
        if len(self.seen) < count:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((count, waiter))
            await asyncio.wait_for(waiter, 60)
        return self.seen


class Connection(asyncio.Protocol):
    """A connection of the worker; the parser calls the `on_…` methods."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._parser: Any = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._seen = Seen(self._parser.get_method().decode(), url.decode())

    def on_header(self, name: bytes, value: bytes) -> None:
        self._seen.headers[name.decode()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._seen.body += body

    def on_message_complete(self) -> None:
        self._transport.write(self._worker.answer(self._seen))


@asynccontextmanager
async def serving() -> AsyncIterator[Worker]:
    worker = Worker()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(worker), "127.0.0.1", 0
    )
    worker.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield worker
    finally:
        server.close()
