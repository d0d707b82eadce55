"""The deployed functions over Google's adapters and local emulators.

Firestore is Google's emulator; Cloud Tasks (over gRPC) and Cloud Storage are ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from msgspec.structs import replace

from functions.fake_providers import FakeProviders
from simulation.watched_workers import WatchedWorkers
from simulation.world import BASE, KEY, QUEUES, _client, _wire, settings, token
from taskreel import service_building, wiring
from taskreel.adapters.gcp.cloud_storage import CloudStorage
from taskreel.adapters.gcp.cloud_tasks import CloudTasks
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.jobtypes.registered_options import register_options
from taskreel_cloud_tasks.delivery_history import HandlerResponse, OutgoingRequest
from taskreel_cloud_tasks.queues_file import load_queues
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig
from taskreel_local.emulators.google_emulators import LocalStorage
from taskreel_local.stack.local_stack import find_parent


class ShiftedClock(wiring.SystemClock):
    """The machine's time plus `ahead`."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass
class Deployment:
    """A running system, whose queue delivers tasks as soon as they are due."""

    api: httpx.AsyncClient
    processor: httpx.AsyncClient
    maintenance: httpx.AsyncClient
    clock: ShiftedClock
    #: The jobs whose tasks were delivered, with the HTTP status of the response.
    delivered: list[tuple[str, int]] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        """Deliver a task from the queue to the task processor."""
        answer = await self.processor.request(
            request.method, request.url, headers=list(request.headers), content=request.body
        )
        async with self._changed:
            self.delivered.append((json.loads(request.body)["jobId"], answer.status_code))
            self._changed.notify_all()
        return HandlerResponse(answer.status_code, dict(answer.headers), answer.content)

    async def wait_for_deliveries(self, count: int) -> None:
        """Wait until `count` deliveries were answered."""
        async with self._changed, asyncio.timeout(90):
            await self._changed.wait_for(lambda: len(self.delivered) >= count)

    async def sweep(self) -> None:
        answer = await self.maintenance.post("/tasks/sweep", headers={"X-Internal-Api-Key": KEY})
        assert answer.status_code == 200, answer.text


@dataclass(frozen=True)
class _Sender:
    made: list[Deployment]

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        return await self.made[0].send(request)


@asynccontextmanager
async def run_deployment(
    folder: Path,
    patch: pytest.MonkeyPatch,
    firestore: str,
    storage: LocalStorage,
    interceptors: Sequence[Any] = (),
    providers: FakeProviders | None = None,
    *,
    project: str | None = None,
    bucket: str | None = None,
    **changes: Any,
) -> AsyncIterator[Deployment]:
    """Run the system for the time of a block, in a new bucket and a new project (or those given).

    `providers` are fake generation services, `changes` settings.
    """
    project = project or f"test-{uuid4().hex}"
    if bucket is None:
        bucket = f"test-{uuid4().hex}"
        storage.server.buckets.create_bucket(bucket, {})
    made: list[Deployment] = []
    config = ServiceConfig(
        rest_port=None,
        grpc_port=0,
        queues=load_queues(QUEUES, find_parent({})),
        sender=_Sender(made),
    )
    async with AsyncExitStack() as stack:
        queue = await stack.enter_async_context(LocalCloudTasks(config))
        store = FirestoreStore(
            project,
            emulator=firestore,
            interceptors=interceptors,
            is_leased=service_building.is_leased,
        )
        tasks = _cloud_tasks(f"127.0.0.1:{queue.grpc_port}", interceptors)
        blobs = CloudStorage(bucket, emulator=storage.url, signing_key=storage.signing_key)
        for adapter in (store, tasks, blobs):
            stack.push_async_callback(adapter.close)
        chosen = settings(folder, **(providers.settings if providers else {}), **changes)
        clock = ShiftedClock()
        # The circuit breakers read the store as well, so it replaces the one that is built.
        patch.setattr(service_building, "build_store", lambda _: store)
        patch.setattr(service_building, "WorkerPool", WatchedWorkers)
        services = replace(wiring.build(chosen, clock), tasks=tasks, blobs=blobs)
        stack.callback(services.workers.close)
        stack.callback(register_options, {})
        if providers is not None:
            services = replace(services, fetch=providers.fetch)
            stack.push_async_callback(providers.fetch.close)
            stack.push_async_callback(services.providers.close)
        _wire(patch, chosen, services)
        api, processor, maintenance = map(_client, ("jobs_api", "task_processor", "maintenance"))
        for client in (api, processor, maintenance):
            await stack.enter_async_context(client)
        api.headers["authorization"] = f"Bearer {token()}"
        made.append(Deployment(api, processor, maintenance, clock))
        yield made[0]


def _cloud_tasks(emulator: str, interceptors: Sequence[Any]) -> CloudTasks:
    _, project, _, location = find_parent({}).split("/")
    return CloudTasks(
        project=project,
        location=location,
        target_url=BASE,
        internal_key=KEY,
        emulator=emulator,
        interceptors=interceptors,
    )
