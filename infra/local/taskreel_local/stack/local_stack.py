"""Taskreel on this machine: one server process, which this one starts, watches and restarts.

With `cloud_tasks` the queues are a local Cloud Tasks in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, NoReturn, Self
from urllib.parse import urlsplit

from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import DEV_USER
from taskreel_local.stack.exported_settings import (
    OVERRIDABLE,
    OVERRIDABLE_LOCALLY,
    find_other_signer,
    find_token_claims,
    list_settings,
)
from taskreel_local.stack.repository_paths import QUEUES, ROOT
from taskreel_local.stack.server_process import ServerProcess, bind_socket
from taskreel_local.stack.settings_file import read_settings
from taskreel_local.stack.stack_error import StackError
from taskreel_local.stack.start_checks import check_settings, check_store_key

if TYPE_CHECKING:
    import httpx

    from taskreel_cloud_tasks.service import LocalCloudTasks

_START_SECONDS = 60.0
_SWEEP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """Options of a stack."""

    data: Path
    host: str = "127.0.0.1"
    #: 0 takes any free port.
    port: int = 0
    #: None: two; one where they share the SQLite store, which a single process owns.
    servers: int | None = None
    #: Ignore the queues' rate limits, for benchmarks.
    unthrottled: bool = False
    #: Call the Cloud Tasks emulator over Google's gRPC API, as in the cloud.
    cloud_tasks: bool = False
    #: Use the emulators of Firestore and Cloud Storage instead of SQLite and files; implies
    #: `cloud_tasks`.
    google_emulators: bool = False
    #: The file of the limits of flow control; None: no limits, for benchmarks.
    limits: Path | None = None
    #: A settings file: only the API runs here, on the Google Cloud project of the file.
    cloud: Path | None = None
    #: Encrypt prompts, payloads and results from now on, by a key in the data folder.
    encrypt: bool = False
    log_format: str = "text"
    #: Environment variables of the servers; they override the stack's own.
    environ: Mapping[str, str] = field(default_factory=dict)


class Stack:
    """Serves the API at `url` within `async with Stack(config) as stack:`."""

    def __init__(
        self, config: StackConfig, while_starting: Callable[[], None] = lambda: None
    ) -> None:
        """`while_starting` is called once, while the servers start: imports there cost no time."""
        self.config = config
        self._while_starting = while_starting
        self.data = DataFolder(config.data)
        self.url = ""
        self._secrets = self.data.load_secrets()
        self._lock: IO[str] | None = None
        self._listener: socket.socket | None = None
        self._servers: list[ServerProcess] = []
        #: The local Cloud Tasks, where the queues are not in the server.
        self._tasks: LocalCloudTasks | None = None
        self._exit = contextlib.AsyncExitStack()
        #: The setting by which the servers refuse the folder's own tokens, if one does.
        self.other_signer: str | None = None
        #: The servers' environment, and its variables that are this process's own.
        self._environ: Mapping[str, str] = {}
        self._exported: Mapping[str, str] = {}
        self._failed = asyncio.Event()
        self._failure = ""
        #: True when a server has refused its settings or its store's key.
        self._is_refused = False
        self._is_ready = False

    async def __aenter__(self) -> Self:
        try:
            await self._start_all()
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

    @property
    def taken(self) -> list[str]:
        """The names of the settings that the servers have from the environment."""
        return list_settings(self._exported)

    async def wait_for_failure(self) -> NoReturn:
        """Wait until a part of the stack ends that cannot be replaced. Raises StackError."""
        await self._failed.wait()
        if self._is_refused:
            await self._raise_refusal()
        raise StackError(self._failure)

    def _note_refusal(self) -> None:
        self._is_refused = True
        if self._is_ready:  # a start says so itself
            self._failed.set()

    async def _raise_refusal(self) -> NoReturn:
        """Raise the StackError for which a server has ended."""
        await check_store_key(check_settings(self._environ))
        raise StackError(
            "The servers have refused their settings, or the key of the store, and both are right "
            "by now. Start the stack again."
        )

    async def _watch_firestore(self, process: subprocess.Popen[bytes]) -> None:
        """Report the end of the Firestore emulator: its data were in its memory."""
        code = await asyncio.to_thread(process.wait)
        self._failure = (
            f"The Firestore emulator has ended (exit code {code}), and its data with it: they were "
            "in memory only. Start the stack again."
        )
        self._failed.set()

    async def reload(self) -> None:
        """Restart the server processes one by one, so that one always serves the port.

        Raises StackError if none answers then: they go on starting, and may be reloaded again.
        """
        self._is_ready = self._is_refused = False
        for server in self._servers:
            await server.stop()
            await server.start()
        await self._wait_until_ready()

    async def _start_all(self) -> None:
        self._lock_folder()
        self.data.check_store()
        self.data.remove_partial_files()
        last_address = urlsplit(self.data.read_url() or "").netloc
        self._listener = self._bind_listener()
        self._exit.callback(self._listener.close)
        port = self._listener.getsockname()[1]
        self.url = f"http://{self.config.host}:{port}"
        if self._over_grpc:
            # The servers are other programs: gRPC need not prepare for forks, or warn of them.
            os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        if self.config.cloud is None:
            if self._over_grpc:
                self._tasks = await self._start_cloud_tasks(last_address)
            environ = self._server_environ({**self._local_settings(), **self._emulator_settings()})
        else:
            environ = self._server_environ(read_settings(self.config.cloud))
        if self.config.encrypt and not environ.get("ENCRYPTION_KEY"):
            # After that check: a new key beside an encrypted store would hide that its own is lost.
            await check_store_key(check_settings(environ))
            self.data.create_encryption_key()
            environ |= self._encryption_settings()
        self._environ = environ
        self._servers = [
            ServerProcess(self._listener, environ, self._note_refusal)
            for _ in range(self._count_servers())
        ]
        for server in self._servers:
            await server.start()
            self._exit.push_async_callback(server.stop)
        self._while_starting()
        await self._wait_until_ready()
        self.data.write_token_claims(find_token_claims(environ))
        self.other_signer = find_other_signer(environ, self._secrets.jwt)
        if self._tasks is not None:
            sweeping = asyncio.create_task(self._call_sweep())
            self._exit.callback(sweeping.cancel)
        # Runs first when the stack stops: no new deliveries while the servers release their leases.
        self._exit.push_async_callback(self._stop_servers)
        self.data.write_url(self.url)

    def _bind_listener(self) -> socket.socket:
        """Listen on the configured port; for 0 prefer the last port, which waiting tasks call."""
        last_port = urlsplit(self.data.read_url() or "").port
        if self.config.port == 0 and last_port is not None:
            with contextlib.suppress(StackError):
                return bind_socket(self.config.host, last_port)
        return bind_socket(self.config.host, self.config.port)

    def _lock_folder(self) -> None:
        """Lock the data folder: two stacks on it would dispatch each task twice."""
        self._lock = self.data.lock_file.open("a+")
        self._exit.callback(self._lock.close)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(
                f"Another stack runs on {self.data.root}. "
                "Stop it, or choose another folder: --data DIR"
            ) from None

    def _count_servers(self) -> int:
        """Several only where they do not share the SQLite store, which has one owner."""
        several = self.config.google_emulators or self.config.cloud is not None
        return (self.config.servers or 2) if several else 1

    async def _start_cloud_tasks(self, last_address: str) -> LocalCloudTasks:
        """Start the local Cloud Tasks. Raises StackError.

        Tasks name the processor, not its port: after a start with another port they, and the key
        that they carry, go to this stack and not to the program that has the old port now.
        """
        from taskreel_cloud_tasks.engine_config import EngineConfig
        from taskreel_cloud_tasks.queues_file import load_queues
        from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

        here = urlsplit(self.url).netloc
        addresses = {urlsplit(PROCESSOR).netloc: here}
        if last_address:
            # Tasks of an earlier release name the port.
            addresses[last_address] = here
        queues = LocalCloudTasks(
            ServiceConfig(
                rest_port=0,
                grpc_port=0,
                data=self.data.tasks_file,
                queues=load_queues(QUEUES, find_parent(os.environ)),
                engine=EngineConfig(unthrottled=self.config.unthrottled, addresses=addresses),
            )
        )
        try:
            return await self._exit.enter_async_context(queues)
        except OSError as error:
            raise StackError(f"The queues cannot start: {error}") from None

    @property
    def cloud_tasks_url(self) -> str | None:
        """The base URL of the local Cloud Tasks' REST API; None where the server has the queues."""
        return None if self._tasks is None else f"http://127.0.0.1:{self._tasks.rest_port}/"

    def _server_environ(self, where: Mapping[str, str]) -> dict[str, str]:
        """Return the servers' environment; `where` are the settings of store, queues and files."""
        own = {
            "SCRATCH_DIR": str(self.data.scratch_folder),
            "API_BASE_URL": self.url,
            # A front end in development has a server of its own, on some port of this machine.
            "CORS_ORIGINS": "http://localhost:*,http://127.0.0.1:*",
            "JWT_SECRET": self._secrets.jwt,
            "LOG_FORMAT": self.config.log_format,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "functions"), str(ROOT / "infra" / "local")]),
            **where,
        }
        self._exported = {
            name: value
            for name, value in os.environ.items()
            if name not in own or name in self._overridable
        }
        return {**own, **self._exported, **self.config.environ}

    def _local_settings(self) -> dict[str, str]:
        """Return the settings of the embedded store, queues and files."""
        return {
            "STORE_URL": f"sqlite:///{self.data.store_file}",
            "TASKS_URL": f"embedded:///{QUEUES}{'?unthrottled' if self.config.unthrottled else ''}",
            "BLOBS_URL": f"file:///{self.data.files_folder}",
            "PROCESSOR_URL": PROCESSOR,
            "INTERNAL_API_KEY": self._secrets.internal,
            "FILES_SECRET": self._secrets.files,
            "EXTRA_PROVIDERS": "taskreel_local.studio:PROVIDERS",
            "STAND_IN_PROVIDER": "studio",
            "INITIAL_CREDITS": "100",
            **({} if self.config.limits is None else {"LIMITS": str(self.config.limits)}),
            **self._guest_settings(),
            **self._encryption_settings(),
            # After a kill of everything, whatever was lost goes on within a quarter of a minute.
            "LEASE_SECONDS": "8",
            "HEARTBEAT_SECONDS": "2",
            "RESCUE_AFTER_SECONDS": "8",
        }

    def _encryption_settings(self) -> dict[str, str]:
        """A folder with a key is always encrypted: without it nothing could be read."""
        key = self.data.find_encryption_key()
        return {} if key is None else {"ENCRYPTION_KEY": key}

    def _guest_settings(self) -> dict[str, str]:
        """Let the documented socket.io client connect without a token, from this machine only."""
        is_local = self.config.host in {"127.0.0.1", "::1", "localhost"}
        return {"LIVE_GUEST_USER": DEV_USER} if is_local else {}

    @property
    def _overridable(self) -> frozenset[str]:
        """The settings that the environment may override; on a project its file has the key."""
        return OVERRIDABLE if self.config.cloud else OVERRIDABLE | OVERRIDABLE_LOCALLY

    @property
    def _internal_key(self) -> str:
        """The processor's key: of a rotation's two the first."""
        return os.environ.get("INTERNAL_API_KEY", self._secrets.internal).partition(",")[0].strip()

    @property
    def _over_grpc(self) -> bool:
        return self.config.cloud_tasks or self.config.google_emulators

    def _emulator_settings(self) -> dict[str, str]:
        """Start the emulators asked for and return the settings that select them."""
        found: dict[str, str] = {}
        if self._tasks is not None:
            _, project, _, location = find_parent(os.environ).split("/")
            found["TASKS_URL"] = (
                f"cloudtasks://{project}/{location}?emulator=127.0.0.1:{self._tasks.grpc_port}"
            )
        if self.config.google_emulators:
            from taskreel_local.emulators.google_emulators import (
                run_firestore,
                storage_emulator,
            )

            firestore = os.environ.get("FIRESTORE_EMULATOR_HOST")
            if firestore is None:
                firestore, process = self._exit.enter_context(run_firestore())
                watching = asyncio.create_task(self._watch_firestore(process))
                self._exit.callback(watching.cancel)
            storage = self._exit.enter_context(
                storage_emulator([BUCKET], folder=self.data.files_folder)
            )
            key = self.data.root / "signing-key.json"
            key.touch(mode=0o600)
            key.write_text(json.dumps(storage.signing_key))
            found["STORE_URL"] = f"firestore://{project}?emulator={firestore}"
            found["BLOBS_URL"] = f"gs://{BUCKET}?emulator={storage.url}"
            found["SIGNING_KEY_FILE"] = str(key)
        return found

    async def _wait_until_ready(self) -> None:
        """Wait until the API responds. Raises StackError if all servers ended, or in vain."""
        import httpx  # while the servers are starting

        try:
            async with asyncio.timeout(_START_SECONDS), httpx.AsyncClient() as client:
                while not await self._responds(client):
                    if self._is_refused:
                        await self._raise_refusal()
                    if all(server.ended for server in self._servers):
                        raise StackError(
                            "The servers ended during the start; their log above says why."
                        )
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise StackError(
                f"The servers have not answered at {self.url}/api/jobs/health for "
                f"{_START_SECONDS:.0f} seconds; their log above may say why."
            ) from None
        self._is_ready = True

    async def _responds(self, client: httpx.AsyncClient) -> bool:
        import httpx

        with contextlib.suppress(httpx.TransportError):
            answer = await client.get(f"{self.url}/api/jobs/health")
            return answer.status_code == HTTPStatus.OK
        return False

    async def _call_sweep(self) -> None:
        """Call the sweep every few seconds, as Cloud Scheduler does every minute."""
        import httpx

        headers = {"X-Internal-Api-Key": self._internal_key}
        async with httpx.AsyncClient(timeout=30) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    await client.post(f"{self.url}/tasks/sweep", headers=headers)
                await asyncio.sleep(_SWEEP_SECONDS)

    async def _stop_servers(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers))


#: The processor's URL in tasks; the queues know its address. Never looked up: RFC 6761.
PROCESSOR = "http://task-processor.localhost"
#: The project and location of the queues, unless the environment names others.
PROJECT, LOCATION = "taskreel-local", "europe-central2"
BUCKET = "taskreel-local"


def find_parent(environ: Mapping[str, str]) -> str:
    """The project and location of the stack's queues."""
    project = environ.get("GOOGLE_CLOUD_PROJECT") or PROJECT
    location = environ.get("GOOGLE_CLOUD_LOCATION") or LOCATION
    return f"projects/{project}/locations/{location}"
