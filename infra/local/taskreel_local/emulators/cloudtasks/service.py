"""A whole local Cloud Tasks: engine, journal and doors, started and stopped together."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import uvicorn

from taskreel_local.emulators.cloudtasks.api_methods import Api
from taskreel_local.emulators.cloudtasks.clock import Clock, RealClock, VirtualClock
from taskreel_local.emulators.cloudtasks.dispatcher import Sender
from taskreel_local.emulators.cloudtasks.engine import Engine, EngineConfig
from taskreel_local.emulators.cloudtasks.journal import Journal, MemoryJournal, SqliteJournal
from taskreel_local.emulators.cloudtasks.messages import Queue
from taskreel_local.emulators.cloudtasks.queues_file import apply_queues
from taskreel_local.emulators.cloudtasks.rest_app import RestApp
from taskreel_local.emulators.cloudtasks.task_tokens import TaskTokens

if TYPE_CHECKING:
    from taskreel_local.emulators.cloudtasks.grpc_server import GrpcServer


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """What to start. A port of None is a door that stays shut, 0 is any free port."""

    host: str = "127.0.0.1"
    rest_port: int | None = 0
    grpc_port: int | None = None
    data: Path | None = None
    """The SQLite file; without one everything is in memory."""
    queues: Sequence[Queue] = ()
    """Created at the start, or updated where they exist (see `load_queues`)."""
    virtual_clock: bool = False
    oidc_issuer: str = ""
    """In the tokens and the discovery document; the REST door's own address unless given."""
    grace_s: float = 5.0
    """How long a dispatch under way may take when the service closes."""
    sender: Sender | None = None
    """Takes the deliveries instead of HTTP: a function in a test."""
    engine: EngineConfig = field(default_factory=EngineConfig)


class LocalCloudTasks:
    """`async with LocalCloudTasks(ServiceConfig(…)) as service:` runs in the caller's event loop."""

    def __init__(self, config: ServiceConfig | None = None) -> None:
        self.config = config or ServiceConfig()
        self.rest_port: int | None = None
        self.grpc_port: int | None = None
        self.engine: Engine
        self.api: Api
        self.rest_app: RestApp
        self._rest: RestServer | None = None
        self._grpc: GrpcServer | None = None

    async def __aenter__(self) -> Self:
        journal: Journal = SqliteJournal(self.config.data) if self.config.data else MemoryJournal()
        clock: Clock = VirtualClock() if self.config.virtual_clock else RealClock()
        tokens = TaskTokens(journal)
        self.engine = Engine(
            self.config.engine,
            clock=clock,
            journal=journal,
            tokens=tokens,
            sender=self.config.sender,
        )
        self.api = Api(self.engine)
        self.rest_app = RestApp(self.api)
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        tokens.issuer = self.config.oidc_issuer or self.rest_url
        return self

    @property
    def rest_url(self) -> str:
        """Where the REST door is, as seen from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.config.host, self.config.host)  # noqa: S104
        return f"http://{host}:{self.rest_port}"

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def _open(self) -> None:
        self.engine.start()
        await apply_queues(self.engine, self.config.queues)
        if self.config.rest_port is not None:
            self._rest = RestServer(self.rest_app, self.config.host, self.config.rest_port)
            self.rest_port = await self._rest.open()
        if self.config.grpc_port is not None:
            from taskreel_local.emulators.cloudtasks.grpc_server import GrpcServer

            self._grpc = GrpcServer(self.api, self.config.host, self.config.grpc_port)
            self.grpc_port = await self._grpc.open()

    async def _close(self) -> None:
        """Doors first, so that nothing new comes in while the engine ends."""
        if self._grpc is not None:
            await self._grpc.close()
        if self._rest is not None:
            await self._rest.close()
        await self.engine.close(self.config.grace_s)


class RestServer:
    """An ASGI application on a port, without taking the process's signals."""

    def __init__(self, app: RestApp, host: str, port: int) -> None:
        self._host, self._port = host, port
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,  # longer than any client keeps its side: none meets the closing
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._listener: socket.socket | None = None

    async def open(self) -> int:
        """Listen; the result is the port.

        Uvicorn's own `serve` would take the process's signals and look ten times a second whether it should end.
        """
        self._listener = _listen(self._host, self._port)
        port: int = self._listener.getsockname()[1]
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[self._listener])
        return port

    async def close(self) -> None:
        """Stop listening, finish what is being answered."""
        if self._listener is not None:
            await self._server.shutdown(sockets=[self._listener])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket that says it is TCP: else asyncio leaves Nagle on, and each answer takes 40 ms more."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener
