"""The whole cloud in one process and in virtual time.

It has the deployed entry points, and the embedded queues and stores. Only work in worker
processes takes real time. `advance` moves virtual time from event to event, and before it goes on
lets everything finish that is due.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any, cast

import httpx
import jwt
import pytest
from fastapi import FastAPI
from functions_framework.aio import create_asgi_app
from msgspec.structs import replace

from simulation.watched_workers import WatchedWorkers
from taskreel import service_building, wiring
from taskreel.adapters.encryption.encrypted_store import EncryptedStore
from taskreel.adapters.external_synchrony import DurableBlobs
from taskreel.adapters.local import queues_yaml, sqlite
from taskreel.adapters.local.files import FileBlobs
from taskreel.adapters.local.memory_tasks import MemoryTasks
from taskreel.adapters.local.queue_settings import QueueSettings
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.local.task_delivery import Delivery
from taskreel.adapters.logged_store import LoggedStore
from taskreel.adapters.task_target import TaskTarget
from taskreel.app.services import Services
from taskreel.config import Settings
from taskreel.domain.job import Job
from taskreel.jobtypes.registered_options import register_options, registered_names
from taskreel.ports import Store, Task
from taskreel.store_collections import JOBS
from taskreel.web import app as web_app
from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from virtual_time import VirtualTime

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "functions" / "main.py"
_build_fastapi = web_app.build_fastapi
_load_queues = queues_yaml.load_queue_settings
QUEUES = ROOT / "infra" / "queues.yaml"
#: The setting `limits` of a deployment.
LIMITS = str(ROOT / "infra" / "limits.yaml")

KEY = "the-internal-key-of-these-tests"
JWT_SECRET = "the-jwt-secret-of-these-tests-is-long"
BASE = "http://api.test"


class Inline(ThreadPoolExecutor):
    """Runs a call for a thread at once, so that virtual time never waits for a thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(error)
        return future


def settings(folder: Path, **changes: Any) -> Settings:
    given = {
        "store_url": "sqlite:///:memory:",
        "tasks_url": f"embedded:///{QUEUES}",
        "blobs_url": f"file:///{folder}/files",
        "api_base_url": BASE,
        "processor_url": BASE,
        "internal_api_key": KEY,
        "jwt_secret": JWT_SECRET,
        "files_secret": "the-files-secret",
        "initial_credits": 100,
        "extra_providers": "taskreel_local.studio:PROVIDERS",
        "stand_in_provider": "studio",
        "scratch_dir": folder / "scratch",
        "worker_processes": 1,
        **changes,
    }
    return Settings(**given)


@dataclass
class World:
    """One running system. `api` has no token; `as_user` makes clients that have one."""

    settings: Settings
    services: Services
    tasks: MemoryTasks
    clock: VirtualClock
    api: httpx.AsyncClient
    processor: httpx.AsyncClient
    maintenance: httpx.AsyncClient
    #: The deliveries that the queues have made, and what was answered.
    delivered: list[tuple[str, int]] = field(default_factory=list)
    #: While set, deliveries are lost before they arrive.
    cut_off: bool = False
    #: Deliveries begin only while time passes: nothing happens between two calls of `advance`.
    _passing: asyncio.Event = field(default_factory=asyncio.Event)
    _open: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def workers(self) -> WatchedWorkers:
        return cast(WatchedWorkers, self.services.workers)

    @property
    def sqlite(self) -> SqliteStore:
        """The store behind the one that logs."""
        logged = self.services.store
        assert isinstance(logged, LoggedStore)
        inner = logged.inner.inner if isinstance(logged.inner, EncryptedStore) else logged.inner
        assert isinstance(inner, SqliteStore)
        return inner

    @property
    def files(self) -> FileBlobs:
        """The folder behind the port."""
        blobs = self.services.blobs
        assert isinstance(blobs, DurableBlobs)
        assert isinstance(blobs.inner, FileBlobs)
        return blobs.inner

    def now(self) -> datetime:
        return self.services.clock.now()

    def as_user(self, user: str = "ada", **claims: Any) -> httpx.AsyncClient:
        client = httpx.AsyncClient(transport=self.api._transport, base_url=BASE)
        client.headers["authorization"] = f"Bearer {token(user, **claims)}"
        self._open.append(client)
        return client

    async def job(self, job_id: str) -> Job:
        """The job as it is stored."""
        job = await self.services.store.get(JOBS, job_id)
        assert job is not None
        return job

    async def put(self, job: Job) -> None:
        """Store a job as given, past every rule."""
        await self.services.store.transaction(lambda tx: _set(tx, job))

    async def process(self, job_id: str, key: str | None = KEY) -> httpx.Response:
        """Deliver a task of the job, without a queue."""
        headers = {} if key is None else {"X-Internal-Api-Key": key}
        return await self.processor.post(
            "/tasks/process", json={"jobId": job_id, "delivery": 1}, headers=headers
        )

    async def sweep(self) -> Mapping[str, int]:
        answer = await self.maintenance.post("/tasks/sweep", headers={"X-Internal-Api-Key": KEY})
        assert answer.status_code == 200, answer.text
        swept: Mapping[str, int] = answer.json()["swept"]
        return swept

    async def advance(self, seconds: float) -> None:
        """Let that much virtual time pass, with all that happens in it."""
        until = self.clock.now() + round(seconds * SECOND)
        self._passing.set()
        await self.rest()
        while self.clock.run_next(until):
            await self.rest()
        self._passing.clear()

    async def settle(self) -> None:
        """Let everything happen that is due now."""
        await self.advance(0.1)

    async def rest(self) -> None:
        """Return when no task is ready to run and no worker works, so that only time can go on."""
        loop: Any = asyncio.get_running_loop()
        quiet = 0
        while quiet < 3:
            await asyncio.sleep(0)
            if self.workers.busy:
                await self.workers.one_done()
                quiet = 0
            if self._waits_for_commit():
                # The file gathers commits by the machine's clock, and answers wait for them.
                await asyncio.sleep(0.001)
                quiet = 0
            quiet = 0 if loop._ready else quiet + 1

    def _waits_for_commit(self) -> bool:
        store: Any = self.services.store
        while not isinstance(store, SqliteStore):
            store = getattr(store, "inner", None) or getattr(store, "store", None)
            if store is None:
                return False
        return store._is_commit_planned

    def queued_tasks(self) -> list[Task]:
        """The tasks that wait or run."""
        queues = self.tasks._queues.values()
        return [queued.task for queue in queues for queued in queue._known.values()]

    async def deliver(self, delivery: Delivery) -> int:
        """Send a delivery of the queues to the task processor, as Cloud Tasks sends it."""
        await self._passing.wait()
        if self.cut_off:
            return 503
        answer = await self.processor.post(
            "/tasks/process",
            headers={
                **TaskTarget(BASE, KEY).build_headers(delivery.task),
                "X-CloudTasks-QueueName": delivery.task.queue,
                "X-CloudTasks-TaskName": delivery.task.id,
                "X-CloudTasks-TaskRetryCount": str(delivery.retry_count),
                "X-CloudTasks-TaskExecutionCount": str(delivery.execution_count),
                "X-CloudTasks-TaskETA": f"{delivery.eta.timestamp():.6f}",
            },
            content=delivery.task.body,
        )
        self.delivered.append((delivery.task.job_id, answer.status_code))
        return answer.status_code


async def _set(tx: Any, job: Job) -> None:
    tx.set(JOBS, job.job_id, job)


def token(
    user: str = "ada", *, key: str = JWT_SECRET, algorithm: str = "HS256", **claims: Any
) -> str:
    """A token valid for an hour, or with other claims; a claim of None is omitted."""
    now = int(datetime.now(UTC).timestamp())
    given = {"sub": user, "iat": now, "exp": now + 3600, **claims}
    return jwt.encode(
        {name: value for name, value in given.items() if value is not None},
        key,
        algorithm=algorithm,
    )


@asynccontextmanager
async def running(
    folder: Path,
    patch: pytest.MonkeyPatch,
    *,
    wrap: Callable[[Store], Store] = lambda store: store,
    change: Callable[[Services], Services] = lambda services: services,
    start: datetime | None = None,
    **changes: Any,
) -> AsyncIterator[World]:
    """Run a world during the block; `wrap` wraps its store, `changes` are settings.

    `start` is its first moment, in place of the beginning of 2026.
    """
    asyncio.get_running_loop().set_default_executor(Inline())
    chosen = settings(folder, **changes)
    clock = VirtualClock() if start is None else VirtualClock(int(start.timestamp()) * SECOND)
    async with AsyncExitStack() as stack:
        made: list[World] = []

        async def deliver(delivery: Delivery) -> int:
            return await made[0].deliver(delivery)

        time = VirtualTime(clock)
        tasks = MemoryTasks(partial(_load_settings, QUEUES), time, deliver)
        stack.push_async_callback(tasks.close)
        patch.setattr(service_building, "WorkerPool", WatchedWorkers)
        patch.setattr(queues_yaml, "load_queue_settings", _load_settings)
        # A commit that gathers others waits for real time, which virtual time does not wait for.
        patch.setattr(sqlite, "_GATHER_SECONDS", 0.0)
        services = _services(chosen, time, tasks)
        services = change(replace(services, store=wrap(services.store)))
        stack.push_async_callback(services.store.close)
        stack.callback(services.workers.close)
        stack.callback(register_options, {})
        _wire(patch, chosen, services)
        api, processor, maintenance = map(_client, ("jobs_api", "task_processor", "maintenance"))
        for client in (api, processor, maintenance):
            await stack.enter_async_context(client)
        world = World(chosen, services, tasks, clock, api, processor, maintenance)
        made.append(world)
        yield world
        for client in world._open:
            await client.aclose()


def _services(chosen: Settings, clock: VirtualTime, tasks: MemoryTasks) -> Services:
    built = wiring.build(chosen, clock)
    return replace(built, tasks=tasks, random=Random(7))


def _wire(patch: pytest.MonkeyPatch, chosen: Settings, services: Services) -> None:
    """`main.py` asks wiring for its applications; here they are made of these services."""
    patch.setattr(wiring, "settings", lambda: chosen)
    patch.setattr(wiring, "check_start", lambda: None)  # it checks the environment's settings
    patch.setattr(wiring, "services", lambda: services)
    patch.setattr(web_app, "build_fastapi", lambda: _fastapi(registered_names()))
    patch.setattr(signal, "signal", lambda *_: None)  # the test runner's own handlers stay
    for app in (
        wiring.api,
        wiring.live,
        wiring._health_monitor,
        wiring._store_metrics,
        wiring._key_callers,
        wiring._stream_tokens,
        wiring._file_links,
        wiring._fal_webhook_keys,
        wiring.gateway,
        wiring.running,
        wiring.processor,
        wiring.maintenance,
    ):
        app.cache_clear()


_load_once = cache(_load_queues)


def _load_settings(path: Path) -> dict[str, QueueSettings]:
    """The settings of a file of queues, which is read once in a process."""
    return dict(_load_once(path))


@cache
def _fastapi(_options: frozenset[str]) -> FastAPI:
    """The application of all routes, once for the worlds of a process.

    Each request has the context of its world in its scope, and to build the routes takes longer
    than most tests. Its document shows the registered options, so those of other options are
    apart.
    """
    return _build_fastapi()


@cache
def _entry_point(function: str) -> Any:
    """A function as it is deployed, once for the worlds of a process.

    It asks wiring for its application at each request.
    """
    return create_asgi_app(function, str(MAIN))


def _client(function: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=_asgi(_entry_point(function)), base_url=BASE)


def _asgi(app: Any) -> httpx.ASGITransport:
    return httpx.ASGITransport(app, raise_app_exceptions=False)
