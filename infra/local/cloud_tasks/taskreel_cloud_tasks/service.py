"""A complete Cloud Tasks emulator: engine, journal and servers, started and stopped as one."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import uvicorn

from taskreel_cloud_tasks.api_methods import ApiMethods
from taskreel_cloud_tasks.browser_guard import BrowserGuard
from taskreel_cloud_tasks.clock import Clock, RealClock, VirtualClock
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.engine_context import Sender
from taskreel_cloud_tasks.journal import Journal, MemoryJournal, SqliteJournal
from taskreel_cloud_tasks.messages import Queue
from taskreel_cloud_tasks.queues_file import apply_queues
from taskreel_cloud_tasks.rest_app import RestApp
from taskreel_cloud_tasks.task_tokens import TaskTokens

if TYPE_CHECKING:
    from taskreel_cloud_tasks.grpc_server import GrpcServer


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceConfig:
    """The parts to start. A port of None starts no server, 0 takes any free port."""

    host: str = "127.0.0.1"
    rest_port: int | None = 0
    grpc_port: int | None = None
    allowed_hosts: Sequence[str] = ()
    """Names in the Host header of the REST API beside addresses and localhost."""
    data: Path | None = None
    """The SQLite file; without one everything is in memory."""
    queues: Sequence[Queue] = ()
    """Created or updated at the start (see `load_queues`)."""
    virtual_clock: bool = False
    oidc_issuer: str = ""
    """Issuer of tokens and discovery document; the REST server's address by default."""
    grace_s: float = 5.0
    """Seconds a running attempt may take when the service closes."""
    sender: Sender | None = None
    """Receives the deliveries instead of HTTP, for tests."""
    engine: EngineConfig = field(default_factory=EngineConfig)


class LocalCloudTasks:
    """The emulator in the caller's event loop: `async with LocalCloudTasks(config) as service:`."""

    def __init__(self, config: ServiceConfig | None = None) -> None:
        self.config = config or ServiceConfig()
        self.rest_port: int | None = None
        self.grpc_port: int | None = None
        self.engine: Engine
        self.api: ApiMethods
        self.rest_app: RestApp
        self._rest: list[RestServer] = []
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
        self.api = ApiMethods(self.engine)
        self.rest_app = RestApp(self.api)
        try:
            await self._start_servers()
        except BaseException:
            await self._stop_servers()
            raise
        tokens.issuer = self.config.oidc_issuer or self.rest_url
        return self

    @property
    def rest_url(self) -> str:
        """The URL of the REST server, as seen from this machine."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - not bound, only replaced
        host = loopback.get(self.config.host, self.config.host)
        return f"http://{host}:{self.rest_port}"

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop_servers()

    async def _start_servers(self) -> None:
        self.engine.start()
        self.api.load()
        await apply_queues(self.engine, self.config.queues)
        if self.config.rest_port is not None:
            self.rest_port = await self._start_rest(self.config.rest_port)
            keys_port = _issuer_port(self.config.oidc_issuer)
            if keys_port is not None and keys_port != self.rest_port:
                await self._start_rest(keys_port)
        if self.config.grpc_port is not None:
            from taskreel_cloud_tasks.grpc_server import GrpcServer

            self._grpc = GrpcServer(self.api, self.config.host, self.config.grpc_port)
            self.grpc_port = await self._grpc.start()

    async def _start_rest(self, port: int) -> int:
        issuer = urlsplit(self.config.oidc_issuer).hostname
        hosts = [*self.config.allowed_hosts, *([issuer] if issuer else [])]
        server = RestServer(BrowserGuard(self.rest_app, hosts), self.config.host, port)
        found = await server.start()
        self._rest.append(server)
        return found

    async def _stop_servers(self) -> None:
        """Stop the servers first, so that no calls arrive while the engine closes."""
        if self._grpc is not None:
            await self._grpc.stop()
        for server in self._rest:
            await server.stop()
        await self.engine.close(self.config.grace_s)


class RestServer:
    """Serves an ASGI application on a port, without installing signal handlers."""

    def __init__(self, app: BrowserGuard, host: str, port: int) -> None:
        self._host, self._port = host, port
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,  # longer than clients reuse a connection
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._listener: socket.socket | None = None

    async def start(self) -> int:
        """Listen and return the port.

        Uvicorn's own `serve` would install signal handlers and poll ten times a second for its end.
        """
        self._listener = _bind_socket(self._host, self._port)
        port: int = self._listener.getsockname()[1]
        self._server.config.load()
        self._server.lifespan = self._server.config.lifespan_class(self._server.config)
        await self._server.startup(sockets=[self._listener])
        return port

    async def stop(self) -> None:
        """Stop listening and finish running requests."""
        if self._listener is not None:
            await self._server.shutdown(sockets=[self._listener])


def _bind_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket created with IPPROTO_TCP.

    Without that asyncio leaves Nagle's algorithm on, and each response takes 40 ms more.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}"
        ) from None
    return listener


def _issuer_port(issuer: str) -> int | None:
    """Return the port at which an issuer's keys are read, if it can be one of this machine.

    An issuer behind https is somebody else's server, and one without a port is only a name.
    """
    parts = urlsplit(issuer)
    return parts.port if parts.scheme == "http" else None
