"""A gateway and the API on a real port, over a store in memory, and the stock client in Node."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from installed_programs import share_npm_packages
from simulation.world import JWT_SECRET, World, running
from taskreel import wiring
from taskreel.app.live.job_feed import JobFeed
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.ports import Transaction
from taskreel.store_collections import JOBS
from taskreel.web.auth import Authenticator, TokenRules
from taskreel.web.live import event_stream, socket_gateway
from taskreel.web.live.socket_gateway import SocketGateway
from taskreel.web.live_context import ConnectionLimits, LiveContext
from taskreel.web.other_apis import followed_jobs

CLIENT = Path(__file__).with_name("socket_client.mjs")
PACKAGES = ["socket.io-client@4"]


@pytest.fixture(scope="session")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the released client, unmodified."""
    with share_npm_packages(tmp_path_factory, "socket-io", *PACKAGES, programs=[CLIENT]) as folder:
        yield folder


@dataclass
class Client:
    """A running client and what it has printed."""

    process: asyncio.subprocess.Process
    printed: list[dict[str, Any]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.printed.append(json.loads(line))
            self._news.set()

    @property
    def updates(self) -> list[dict[str, Any]]:
        return [one["update"] for one in self.printed if "update" in one]

    @property
    def acks(self) -> list[dict[str, Any]]:
        return [one["ack"] for one in self.printed if "ack" in one]

    async def wait_for(self, is_enough: Callable[[], bool], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not is_enough():
                self._news.clear()
                await self._news.wait()

    async def wait_until_any(self, seconds: float) -> None:
        await self.wait_for(lambda: bool(self.printed), seconds)

    async def wait_until_printed(self, key: str) -> dict[str, Any]:
        await self.wait_for(lambda: any(key in one for one in self.printed))
        return next(one for one in self.printed if key in one)


@dataclass
class Live:
    """The world's jobs, and a server for live updates."""

    world: World
    server: uvicorn.Server
    listener: socket.socket
    task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    async def wait_for_jobs(self, user: str) -> None:
        """Wait until an outside client has submitted a job as the user."""
        client = self.world.as_user(user)
        async with asyncio.timeout(60):
            while not (await client.get("/api/jobs")).json()["jobs"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # the client is another process

    async def put(self, *jobs: Job) -> None:
        """Store jobs in one commit."""

        async def write(tx: Transaction) -> None:
            for job in jobs:
                tx.set(JOBS, job.job_id, job)

        await self.world.services.store.transaction(write)


async def _route(scope: Scope, receive: Receive, send: Send) -> None:
    app = wiring.gateway() if scope["path"].startswith("/socket.io/") else wiring.api()
    await app(scope, receive, send)


def start_server(
    listener: socket.socket, app: ASGIApp = _route
) -> tuple[uvicorn.Server, asyncio.Task[None]]:
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    return server, asyncio.create_task(server.serve(sockets=[listener.dup()]))


@pytest.fixture
async def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    async with running(tmp_path, monkeypatch, cors_origins="*") as world:
        listener = socket.create_server(("127.0.0.1", 0))
        server, task = start_server(listener)
        made = Live(world, server, listener, task)
        yield made
        await wiring.live().feed.close()
        made.server.should_exit = True
        if made.task is not None:
            await made.task
        listener.close()


@asynccontextmanager
async def running_gateway(services: Services, *, send_buffer: int = 0) -> AsyncIterator[int]:
    """Run a gateway alone, as another instance, over these services; yield its port."""
    feed = JobFeed(services)
    gateway = SocketGateway(
        LiveContext(feed, ConnectionLimits()), Authenticator(TokenRules(secret=JWT_SECRET))
    )
    listener = socket.create_server(("127.0.0.1", 0))
    if send_buffer:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    server, task = start_server(listener, gateway.app)
    yield listener.getsockname()[1]
    await feed.close()
    server.should_exit = True
    await task
    listener.close()


@pytest.fixture
def world(live: Live) -> World:
    return live.world


@pytest.fixture
def ada(world: World) -> httpx.AsyncClient:
    """A user's client."""
    return world.as_user("ada")


@pytest.fixture
def rights_checked_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product checks each 15 seconds."""
    soon = 0.05
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", soon)
    monkeypatch.setattr(socket_gateway, "RIGHTS_SECONDS", soon)
    monkeypatch.setattr(followed_jobs, "RIGHTS_SECONDS", soon)


@pytest.fixture
async def connect(
    node_project: Path,
) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Start stock clients; they end with the test."""
    started: list[tuple[Client, asyncio.Task[None]]] = []

    async def start(url: str, **options: Any) -> Client:
        process = await asyncio.create_subprocess_exec(
            "node",
            "socket_client.mjs",
            url,
            json.dumps(options),
            cwd=node_project,
            stdout=asyncio.subprocess.PIPE,
        )
        client = Client(process)
        started.append((client, asyncio.create_task(client.read())))
        return client

    yield start
    for client, reading in started:
        with suppress(ProcessLookupError):  # one that is refused ends by itself
            client.process.kill()
        await client.process.wait()
        await reading


@asynccontextmanager
async def restarted(live: Live) -> AsyncIterator[None]:
    """End the server, and all that the gateway knows; within the block nobody listens."""
    await wiring.live().feed.close()
    live.server.should_exit = True
    live.server.force_exit = True
    if live.task is not None:
        await live.task
    wiring.live.cache_clear()
    wiring._key_callers.cache_clear()
    wiring.gateway.cache_clear()
    wiring.api.cache_clear()
    yield
    live.server, live.task = start_server(live.listener)
