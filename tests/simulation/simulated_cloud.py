"""The whole backend on one thread: instances that come and go, queues, the sweep, and faults.

Every instance has the deployed applications (API, task processor, maintenance) over its own ports;
they share the store, the queues, the bucket and the services outside.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from simulation.deployment_shape import Shape
from simulation.fault_plan import Fault, FaultPlan
from simulation.file_rules import FileWatch
from simulation.invariant_watch import StoreWatch, WatchedStore
from simulation.simulated_instance import (
    ConnectionLostError,
    CrashingRun,
    Instance,
    build_other_routes,
    serve_request,
)
from simulation.simulated_ports import (
    EPOCH,
    Machine,
    MachineBlobs,
    MachineQueue,
    MachineStore,
    MachineWebhooks,
    MachineWorkDirs,
    Outage,
    Receiver,
    SimulatedClock,
    read_facts,
)
from simulation.simulated_provider import SalesBook, SimulatedProvider
from simulation.tape import Tape, TapeRandom
from simulation.virtual_loop import VirtualLoop
from simulation.world import JWT_SECRET, KEY, QUEUES, settings
from taskreel import wiring
from taskreel.adapters.local import sqlite
from taskreel.adapters.local.memory_tasks import MemoryTasks
from taskreel.adapters.local.queues_yaml import load_queue_settings
from taskreel.adapters.local.task_delivery import Delivery
from taskreel.adapters.logged_store import LoggedStore
from taskreel.adapters.machine import read_machine
from taskreel.adapters.providers import KEY_VARIABLES
from taskreel.adapters.providers.catalogue import ModelCatalogue
from taskreel.app.health import HealthMonitor
from taskreel.app.indexes import INDEXES
from taskreel.app.job_counts import JobCounts
from taskreel.app.live.job_feed import JobFeed
from taskreel.app.projects.key_callers import KeyCallers
from taskreel.app.providers.circuit_breakers import CircuitBreakers
from taskreel.app.providers.registry import ProviderRegistry
from taskreel.app.query_pages import WAKE_SHARDS, build_due_query
from taskreel.app.recent_jobs import RecentJobs
from taskreel.app.records.recorder import Recorder
from taskreel.app.records.store_metrics import StoreMetrics
from taskreel.app.services import Services
from taskreel.app.worker import processor
from taskreel.app.worker.processor import Processor
from taskreel.ports import Collection
from taskreel.store_collections import (
    ACCOUNTS,
    JOBS,
    OPERATIONS,
    RECURRING_JOBS,
    WEBHOOK_DELIVERIES,
)
from taskreel.web.auth import ApiContext, Authenticator, TokenRules
from taskreel.web.fal_webhook_keys import FalWebhookKeys
from taskreel.web.file_links import FileLinks
from taskreel.web.live_context import ConnectionLimits, LiveContext
from taskreel.web.public_api import PublicApi
from taskreel.web.request_rates import RequestRates
from taskreel.web.stream_tokens import StreamTokens
from taskreel.web.tasks import InternalKeys, build_maintenance_app, build_processor_app

#: The paid services; any of them can make the model that is asked for.
PROVIDERS = ("bfl", "fal")
_KEYS = {name: KEY_VARIABLES[name] for name in PROVIDERS}
_SWEEP_SECONDS = 60.0
_IDLE_MINUTES = 10
_CLOCKS_DIFFER = timedelta(seconds=20)
#: After the end of every simulation.
_FAR = EPOCH + timedelta(days=100_000)
#: Whatever has a wake time, of which the sweep takes care.
_SWEPT: tuple[Collection[Any], ...] = (
    JOBS,
    WEBHOOK_DELIVERIES,
    RECURRING_JOBS,
    OPERATIONS,
    ACCOUNTS,
)
#: A caller gives up after that time without an answer.
_CLIENT_SECONDS = 120.0
_SIGTERM_SECONDS = 10.0


@functools.cache
def _catalogue() -> ModelCatalogue:
    return ModelCatalogue({})


@dataclass
class SimulatedCloud:
    """Everything that runs in one simulation."""

    loop: VirtualLoop
    tape: Tape
    plan: FaultPlan
    shape: Shape
    folder: Path
    watch: StoreWatch
    files: FileWatch
    store: WatchedStore
    queues: MemoryTasks
    sales_book: SalesBook
    receiver: Receiver
    base: Services
    #: The earliest wake time in the store, and the number of its commits when that was read.
    _due_next: datetime | None = None
    _known_commits: int = -1
    store_outage: Outage = field(default_factory=Outage)
    queue_outage: Outage = field(default_factory=Outage)
    instances: list[Instance] = field(default_factory=list)
    #: Jobs whose operations an operator was told to cancel by hand.
    given_up: set[str] = field(default_factory=set)
    started: int = 0
    sweeps: int = 0
    #: The number of each delivery in their order, and the highest that an instance has begun.
    _dispatched: int = 0
    _begun: int = 0
    #: Tasks of the world around: they end with the simulation.
    _around: set[asyncio.Task[Any]] = field(default_factory=set)
    _dead: list[Instance] = field(default_factory=list)

    def note_removal(self, job_id: str) -> None:
        """Note that a job was removed: what was of it is of no job of the same id after it."""
        self.sales_book.note_removal(job_id)
        self.files.note_removal(job_id)

    # ── Instances ────────────────────────────────────────────────────────────────────────────────

    def start_instance(self) -> Instance:
        """Start a process."""
        self.started += 1
        machine = Machine(
            f"instance-{self.started}", self.loop, self.plan, self.store_outage, self.queue_outage
        )
        clock = SimulatedClock(self.loop)
        if not self.plan.is_calm and Fault.CLOCK_SKEW in self.plan.enabled:
            clock.skew = timedelta(seconds=self.tape.between(-8, 8))
            self.plan.note(Fault.CLOCK_SKEW)
        if not self.plan.is_calm and Fault.TWO_REVISIONS in self.plan.enabled:
            machine.is_newer_revision = self.started % 2 == 0
            if machine.is_newer_revision:
                self.plan.note(Fault.TWO_REVISIONS)
        services = self._build_services(machine, clock)
        processor = Processor(services)
        feed = JobFeed(services)
        keys = InternalKeys([KEY])
        instance = Instance(
            machine,
            services,
            processor,
            feed,
            self._build_api(services, feed),
            build_processor_app(keys, processor),
            build_maintenance_app(keys, services),
        )
        instance.died = self.loop.create_future()
        machine.kill = functools.partial(self._kill_at_call, instance)
        self.instances.append(instance)
        return instance

    def _build_services(self, machine: Machine, clock: SimulatedClock) -> Services:
        store = MachineStore(self.store, machine)
        counts = JobCounts(exact=False)
        recorder = Recorder(store, clock, self.started)
        logged = LoggedStore(store, [recorder.note_change, counts.note_change])
        registry = ProviderRegistry(
            {
                name: functools.partial(SimulatedProvider, name, machine, self.sales_book)
                for name in PROVIDERS
            },
            breakers=lambda: CircuitBreakers(logged),
            key_names=_KEYS,
            catalogue=_catalogue,
        )
        disk = self.folder / f"disk-{self.started}"
        work_dirs = MachineWorkDirs(disk, None, clock=self.loop.time)
        work_dirs.machine = machine
        return replace(
            self.base,
            store=logged,
            tasks=MachineQueue(self.queues, machine),
            blobs=MachineBlobs(self.base.blobs, machine, self.files),
            providers=registry,
            probe_file=read_facts,
            webhooks=MachineWebhooks(machine, self.receiver),
            clock=clock,
            work_dirs=work_dirs,
            counts=counts,
            recent_jobs=RecentJobs(),
            count_sweep=recorder.count_sweep,
            count_event=recorder.count_event,
            # Their memory is a process', and of this value there is one for all.
            alerts=None,
            flush_records=recorder.flush,
            random=TapeRandom(self.tape),
        )

    def _build_api(self, services: Services, feed: JobFeed) -> PublicApi:
        live = LiveContext(feed, ConnectionLimits())
        key_callers = KeyCallers(services)
        health = HealthMonitor(services, functools.partial(read_machine, self.folder))
        context = ApiContext(
            services=services,
            authenticator=Authenticator(TokenRules(secret=JWT_SECRET), lambda: key_callers),
            health=lambda: health,
            base_url="http://api.test",
            rates=RequestRates(services.rules.limits, services.clock),
            live=lambda: live,
            stream_tokens=lambda: StreamTokens([KEY]),
            file_links=lambda: FileLinks([KEY]),
            fal_webhook_keys=lambda: FalWebhookKeys([KEY]),
            store_metrics=lambda: StoreMetrics(services),
        )
        return PublicApi(context, build_other_routes)

    def kill(self, instance: Instance) -> None:
        """SIGKILL: none of its calls returns any more, and no `finally` has an effect."""
        instance.machine.alive = False
        self.instances.remove(instance)
        self._dead.append(instance)
        if instance.died is not None and not instance.died.done():
            instance.died.set_result(None)

    def _kill_at_call(self, instance: Instance) -> None:
        if instance in self.instances:
            self.kill(instance)
            self.spawn(self.start_later())

    async def start_later(self) -> None:
        """Start an instance in the place of a dead one, some seconds later."""
        await asyncio.sleep(self.tape.between(1, 15))
        self.start_instance()

    async def stop(self, instance: Instance) -> None:
        """SIGTERM, and ten seconds later SIGKILL."""
        instance.draining = True
        stopping = asyncio.ensure_future(instance.processor.stop())
        await asyncio.wait({stopping}, timeout=_SIGTERM_SECONDS)
        if instance in self.instances:
            self.kill(instance)

    def choose_instance(self) -> Instance | None:
        """An instance that takes requests; None while there is none."""
        ready = [one for one in self.instances if not one.draining]
        return ready[self.tape.draw(len(ready))] if ready else None

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something of the world around; an error of it ends the simulation."""
        task = self.loop.create_task(work)
        self._around.add(task)
        task.add_done_callback(self._end_around)
        return task

    def _end_around(self, task: asyncio.Task[Any]) -> None:
        self._around.discard(task)
        if not task.cancelled() and task.exception() is not None and not self.loop.is_ending:
            self.loop.failed = task.exception()

    # ── Requests ─────────────────────────────────────────────────────────────────────────────────

    async def call(
        self,
        instance: Instance,
        app: Any,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Send a request to an application of an instance; status and JSON of its answer.

        Raises ConnectionLostError when the instance dies, or does not answer for two minutes.
        """
        content = b"" if body is None else json.dumps(body).encode()
        serving = self.loop.create_task(serve_request(app, method, path, content, headers or {}))
        assert instance.died is not None
        either: set[asyncio.Future[Any]] = {serving, instance.died}
        await asyncio.wait(
            either,
            timeout=_CLIENT_SECONDS if app is instance.api else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not serving.done():
            raise ConnectionLostError
        return serving.result()

    async def deliver(self, delivery: Delivery) -> int:
        """Post a task to one of the instances, as Cloud Tasks does."""
        self._dispatched += 1
        number = self._dispatched
        if self.plan.strikes(Fault.TASK_LATE):
            await asyncio.sleep(self.tape.between(5, 300))
        if self.plan.strikes(Fault.TASK_DOUBLED):
            self.spawn(self._deliver_again(delivery))
        if number < self._begun:
            self.plan.note("deliveries reordered")
        self._begun = max(self._begun, number)
        return await self._deliver_once(delivery)

    async def _deliver_again(self, delivery: Delivery) -> None:
        await asyncio.sleep(self.tape.between(0, 40))
        await self._deliver_once(delivery)

    async def _deliver_once(self, delivery: Delivery) -> int:
        instance = self.choose_instance()
        if instance is None:
            return 503
        try:
            status, _ = await self.call(
                instance,
                instance.tasks_app,
                "POST",
                "/tasks/process",
                body=json.loads(delivery.task.body),
                headers={"x-internal-api-key": KEY},
            )
        except ConnectionLostError:
            return 503
        return status

    async def receive_file(self, path: str, content: bytes) -> None:
        """Store a file that a user sends to the bucket itself."""
        await self.base.blobs.put(path, content, content_type="image/png")
        self.files.note_put(path)

    async def sweep_for_ever(self) -> None:
        """Call the sweep each minute, as Cloud Scheduler does.

        While nothing is due, only each tenth: such a sweep finds nothing, and days without work
        are most of a long simulation.
        """
        minutes = 0
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            minutes += 1
            if minutes % _IDLE_MINUTES == 0 or await self._is_anything_due():
                await self.sweep()

    async def _is_anything_due(self) -> bool:
        # Each minute of days without work: what is due next is asked of the store only if that
        # has changed.
        if self.watch.commits != self._known_commits:
            self._known_commits = self.watch.commits
            self._due_next = await self._find_due_next()
        # The clock of the machine that sweeps may be ahead.
        until = EPOCH + timedelta(seconds=self.loop.time()) + _CLOCKS_DIFFER
        return self._due_next is not None and self._due_next <= until

    async def _find_due_next(self) -> datetime | None:
        found: list[datetime] = []
        for collection in _SWEPT:
            due = build_due_query(collection, _FAR, page=1, shards=WAKE_SHARDS)
            rows = await self.store.query(due)
            found += [row.data["wakeAt"] for row in rows]
        return min(found, default=None)

    async def sweep(self) -> bool:
        """Sweep once; False if it failed."""
        instance = self.choose_instance()
        if instance is None:
            return False
        headers = {"x-internal-api-key": KEY}
        app = instance.maintenance_app
        sweeping = self.call(instance, app, "POST", "/tasks/sweep", headers=headers)
        task = self.loop.create_task(sweeping)
        # Cloud Scheduler calls again in a minute, whatever has become of the last call.
        await asyncio.wait({task}, timeout=_SWEEP_SECONDS)
        if not task.done() or task.exception() is not None:
            return False
        status, _ = task.result()
        self.sweeps += status == 200
        return bool(status == 200)


@asynccontextmanager
async def running_cloud(
    loop: VirtualLoop, tape: Tape, folder: Path
) -> AsyncIterator[SimulatedCloud]:
    """A cloud with its first instances, its queues and its sweep."""
    plan, shape = FaultPlan.draw(tape), Shape.draw(tape)
    with ExitStack() as around:
        seconds = SimpleNamespace(time_ns=lambda: int((EPOCH.timestamp() + loop.time()) * 1e9))
        around.enter_context(patch.object(sqlite, "time", seconds))
        around.enter_context(patch.object(sqlite, "_GATHER_SECONDS", 0.0))
        around.enter_context(patch.object(processor, "JobRun", CrashingRun))
        clock = SimulatedClock(loop)
        base = wiring.build(settings(folder, limits=shape.limits, initial_credits=400), clock)
        watch = StoreWatch(base.rules.limits, loop.time)
        store = WatchedStore(":memory:", INDEXES)
        store.watch_over = watch
        made: list[SimulatedCloud] = []

        async def deliver(delivery: Delivery) -> int:
            return await made[0].deliver(delivery)

        queues = MemoryTasks(
            functools.partial(load_queue_settings, QUEUES), clock, deliver, unthrottled=True
        )
        cloud = SimulatedCloud(
            loop=loop,
            tape=tape,
            plan=plan,
            shape=shape,
            folder=folder,
            watch=watch,
            files=FileWatch(watch.is_stored, watch.takes_files),
            store=store,
            queues=queues,
            sales_book=SalesBook(plan, watch.reuse.check_input),
            receiver=Receiver(),
            base=base,
        )
        made.append(cloud)
        watch.on_removal = cloud.note_removal
        for _ in range(shape.instances):
            cloud.start_instance()
        yield cloud
