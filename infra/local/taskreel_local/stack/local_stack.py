"""The whole of Taskreel on this machine: queues in this process, the functions in server processes beside it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlsplit

import httpx

from taskreel_local.emulators.cloudtasks.engine import EngineConfig
from taskreel_local.emulators.cloudtasks.queues_file import load_queues
from taskreel_local.emulators.cloudtasks.service import LocalCloudTasks, ServiceConfig
from taskreel_local.stack.data_folder import DataFolder

ROOT = Path(__file__).resolve().parents[4]
MAIN = ROOT / "functions" / "main.py"
QUEUES = ROOT / "infra" / "queues.yaml"

_START_SECONDS = 60.0
_STOP_SECONDS = 8.0
_SWEEP_SECONDS = 5.0
_RESTART_SECONDS = 0.5


class StackError(Exception):
    """The stack cannot start; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """What to start."""

    data: Path
    host: str = "127.0.0.1"
    #: 0 is any free port.
    port: int = 0
    servers: int = 2
    #: Queues without rate limits, for benchmarks.
    unthrottled: bool = False
    #: Speak to the local Cloud Tasks over Google's gRPC API, as in the cloud.
    cloud_tasks: bool = False
    #: Firestore's emulator and the local Cloud Storage instead of the embedded store and files; implies cloud_tasks.
    google_emulators: bool = False
    #: A file of settings, `NAME=value` a line: the API alone runs here, on the project that the file names.
    cloud: Path | None = None
    log_format: str = "text"
    #: Settings of the servers that win over the stack's own.
    environ: Mapping[str, str] = field(default_factory=dict)


class Stack:
    """`async with Stack(config) as stack:` answers at `stack.url` until it leaves."""

    def __init__(self, config: StackConfig) -> None:
        self.config = config
        self.data = DataFolder(config.data)
        self.url = ""
        self._secrets = self.data.secrets()
        self._lock: IO[str] | None = None
        self._listener: socket.socket | None = None
        self._servers: list[_Server] = []
        self._tasks: LocalCloudTasks
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    async def reload(self) -> None:
        """Replace the server processes, one after the other, so that the port is always answered."""
        for server in self._servers:
            await server.stop()
            await server.start()
        await self._ready()

    async def _start(self) -> None:
        self._take_folder()
        self._listener = self._listen()
        self._exit.callback(self._listener.close)
        port = self._listener.getsockname()[1]
        self.url = f"http://{self.config.host}:{port}"
        if self._over_grpc:
            # The servers are forked to run another program: gRPC has nothing to save, and need not say so.
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        if self.config.cloud is None:
            self._tasks = await self._exit.enter_async_context(LocalCloudTasks(self._queues()))
            environ = self._environ({**self._local(), **self._google()})
        else:
            environ = self._environ(read_settings(self.config.cloud))
        self._servers = [_Server(self._listener, environ) for _ in range(self.config.servers)]
        for server in self._servers:
            await server.start()
            self._exit.push_async_callback(server.stop)
        await self._ready()
        if self.config.cloud is None:
            sweeping = asyncio.create_task(self._sweep())
            self._exit.callback(sweeping.cancel)
        # Leaves first: no new deliveries while the servers give their leases back.
        self._exit.push_async_callback(self._stop_servers)
        self.data.announce(self.url)

    def _listen(self) -> socket.socket:
        """On the port that is asked for; where any will do, on the one of last time, which waiting tasks name."""
        before = urlsplit(self.data.url() or "").port
        if self.config.port == 0 and before is not None:
            with contextlib.suppress(StackError):
                return _listen(self.config.host, before)
        return _listen(self.config.host, self.config.port)

    def _take_folder(self) -> None:
        """One stack a data folder: two would dispatch each task twice."""
        self._lock = self.data.lock.open("a+")
        self._exit.callback(self._lock.close)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(
                f"Another stack runs on {self.data.root}. Stop it, or choose another folder: --data DIR"
            ) from None

    def _queues(self) -> ServiceConfig:
        return ServiceConfig(
            rest_port=0,
            grpc_port=0 if self._over_grpc else None,
            data=self.data.tasks,
            queues=load_queues(QUEUES, PARENT),
            engine=EngineConfig(unthrottled=self.config.unthrottled),
        )

    def _environ(self, where: Mapping[str, str]) -> dict[str, str]:
        """The servers' environment: `where` the jobs, tasks and files are, and what holds wherever they are."""
        own = {
            "SCRATCH_DIR": str(self.data.scratch),
            "API_BASE_URL": self.url,
            "JWT_SECRET": self._secrets.jwt,
            "LOG_FORMAT": self.config.log_format,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "functions"), str(ROOT / "infra" / "local")]),
            **where,
        }
        return {
            **own,
            **{k: v for k, v in os.environ.items() if k not in own or k in _OVERRIDABLE},
            **self.config.environ,
        }

    def _local(self) -> dict[str, str]:
        """Everything on this machine."""
        return {
            "STORE_URL": f"sqlite:///{self.data.store}",
            "TASKS_URL": f"embedded:http://127.0.0.1:{self._tasks.rest_port}",
            "BLOBS_URL": f"file:///{self.data.files}",
            "PROCESSOR_URL": self.url,
            "INTERNAL_API_KEY": self._secrets.internal,
            "FILES_SECRET": self._secrets.files,
            "STAND_IN_PROVIDER": "studio",
            "INITIAL_CREDITS": "100",
        }

    @property
    def _over_grpc(self) -> bool:
        return self.config.cloud_tasks or self.config.google_emulators

    def _google(self) -> dict[str, str]:
        """The settings that send the Google adapters to this machine."""
        found: dict[str, str] = {}
        if self._over_grpc:
            _, project, _, location = PARENT.split("/")
            found["TASKS_URL"] = (
                f"cloudtasks://{project}/{location}?emulator=127.0.0.1:{self._tasks.grpc_port}"
            )
        if self.config.google_emulators:
            from taskreel_local.emulators.google_emulators import (
                firestore_emulator,
                storage_emulator,
            )

            firestore = self._exit.enter_context(firestore_emulator())
            storage = self._exit.enter_context(storage_emulator([BUCKET], folder=self.data.files))
            key = self.data.root / "signing-key.json"
            key.touch(mode=0o600)
            key.write_text(json.dumps(storage.signing_key))
            found["STORE_URL"] = f"firestore://{project}?emulator={firestore}"
            found["BLOBS_URL"] = f"gs://{BUCKET}?emulator={storage.url}"
            found["SIGNING_KEY_FILE"] = str(key)
        return found

    async def _ready(self) -> None:
        """Wait until the API answers."""
        async with asyncio.timeout(_START_SECONDS), httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await client.get(f"{self.url}/api/jobs/health")
                    if answer.status_code == httpx.codes.OK:
                        return
                if all(server.ended for server in self._servers):
                    raise StackError("The servers ended as they started; their log above says why.")
                await asyncio.sleep(0.02)

    async def _sweep(self) -> None:
        """What Cloud Scheduler does in the cloud, more often."""
        headers = {"X-Internal-Api-Key": self._secrets.internal}
        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await client.post(f"{self.url}/tasks/sweep", headers=headers)
                await asyncio.sleep(_SWEEP_SECONDS)

    async def _stop_servers(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers))


#: What a developer may set in the environment to change the stack.
_OVERRIDABLE = frozenset({"INITIAL_CREDITS", "STAND_IN_PROVIDER", "LOG_FORMAT"})
PARENT = "projects/taskreel-local/locations/us-central1"
BUCKET = "taskreel-local"


class _Server:
    """One server process, started again when it dies."""

    def __init__(self, listener: socket.socket, environ: Mapping[str, str]) -> None:
        self._listener = listener
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def ended(self) -> bool:
        """Whether the process is not there now."""
        return self._process is None or self._process.returncode is not None

    async def start(self) -> None:
        """Start it, and keep it started."""
        await self._spawn()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Let it give back its leases and answer what it was asked; then insist."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        if self._process is None or self.ended:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _spawn(self) -> None:
        descriptor = self._listener.fileno()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "taskreel_local.stack.server_main",
            str(descriptor),
            env=dict(self._environ),
            stdin=asyncio.subprocess.PIPE,  # its end tells the process that the stack is gone
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C is for the stack, which stops its servers in order
        )

    async def _watch(self) -> None:
        while self._process is not None:
            await self._process.wait()
            await asyncio.sleep(_RESTART_SECONDS)
            await self._spawn()


def _listen(host: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise StackError(
            f"Cannot listen on {host}:{port} ({error.strerror}). Choose another port: --port 8081"
        ) from None
    listener.set_inheritable(True)
    return listener


def read_settings(path: Path) -> dict[str, str]:
    """The settings of a file that a shell could source; raises StackError."""
    try:
        words = shlex.split(path.read_text("utf-8"), comments=True)
    except FileNotFoundError:
        raise StackError(f"There is no {path}. scripts/setup-local-auth.sh writes it.") from None
    return dict(word.split("=", 1) for word in words if "=" in word)  # `export` may stand before


async def sources_changed() -> AsyncIterator[None]:
    """Once for each burst of changes to the deployed code."""
    from watchfiles import PythonFilter, awatch

    async for _changes in awatch(MAIN.parent, watch_filter=PythonFilter()):
        yield
