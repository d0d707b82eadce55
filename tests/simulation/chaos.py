"""A system that a test drives step by step: deliveries, crashes, freezes and time itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from unittest.mock import patch

from msgspec.structs import replace

from simulation.mortal_store import MortalStore
from simulation.scripted_provider import ScriptedProvider
from simulation.system_faults import (
    INPUT_LIMITS,
    ROOM_BYTES,
    Outage,
    PoisonedRun,
    SteppedClock,
    read_facts,
)
from simulation.world import Inline, settings
from taskreel import wiring
from taskreel.adapters.external_synchrony import DurableProvider, DurableResponses, DurableTasks
from taskreel.adapters.local import sqlite
from taskreel.adapters.work_dirs import WorkDirPool
from taskreel.app.indexes import INDEXES
from taskreel.app.services import Services
from taskreel.app.worker import processor
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.processor import Processor
from taskreel.domain.credits import Account, EntryKind, LedgerEntry
from taskreel.domain.errors import QueueError, StoreError
from taskreel.domain.job import Job
from taskreel.jobtypes.registered_options import register_options
from taskreel.ports import (
    Changes,
    Collection,
    Query,
    QueueStats,
    Row,
    Store,
    Task,
    Transaction,
)
from taskreel.store_collections import ACCOUNTS, JOBS, LEDGER
from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from virtual_time import VirtualTime

T = TypeVar("T")
V = TypeVar("V")


@dataclass
class ManualQueue:
    """A task queue whose tasks wait until the test delivers or drops them."""

    waiting: list[Task] = field(default_factory=list)
    away: bool = False

    def list_locations(self) -> Sequence[str]:
        return ()

    async def enqueue(self, task: Task, /) -> None:
        if self.away:
            raise QueueError("the queue is away")
        self.waiting.append(task)

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        for task in tasks:
            await self.enqueue(task)

    async def pause(self, queue: str, /) -> None:
        raise NotImplementedError(queue)

    async def resume(self, queue: str, /) -> None:
        raise NotImplementedError(queue)

    async def purge(self, queue: str, /) -> None:
        raise NotImplementedError(queue)

    async def stats(self, queue: str, /) -> QueueStats:
        if self.away:
            raise QueueError("the queue is away")
        return QueueStats(queue=queue, paused=False, depth=len(self.waiting), oldest_at=None)

    async def close(self) -> None:
        """Nothing is open."""


class InstanceDeadError(Exception):
    """Ends the coroutines of a dead instance when the test is over."""


@dataclass
class InstanceStore:
    """The store of one instance: once the instance is dead, no call returns."""

    store: Store
    dead: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)
    #: Shared by all instances.
    outages: list[Outage] = field(default_factory=list)
    #: Not set while the instance is frozen: its calls return when it thaws, however late that is.
    awake: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        return await self._alive(lambda: self.store.get(collection, id_))

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        return await self._alive(lambda: self.store.get_all(collection, ids))

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        return await self._alive(lambda: self.store.transaction(fn))

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        await self._wait_for_commit()
        return await self._alive(lambda: self.store.query(query))

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        await self._wait_for_commit()
        return await self._alive(lambda: self.store.aggregate(query, total=total))

    def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        return self.store.watch(collection, id_)

    def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        return self.store.watch_changes(collection, field, value, since=since)

    async def durable(self) -> None:
        # No fault: a store that cannot keep what it has taken ends its process.
        await self.store.durable()
        await self._pause_or_die()

    async def _wait_for_commit(self) -> None:
        """Wait as a query does, which commits first."""
        if isinstance(self.store, MortalStore) and self.store.stalled.is_set():
            await self.durable()

    async def close(self) -> None:
        """Nothing: all instances share the store below."""

    async def _alive(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call, unless the instance is dead; its answer is lost if it dies meanwhile."""
        await self._pause_or_die()
        away = [outage for outage in self.outages if outage.begins_or_lasts()]
        if away and not away[0].carried_out:
            away[0].refused += 1
            raise StoreError("the store is away")
        answer = await call()
        await self._pause_or_die()
        if away:
            away[0].lost_answers += 1
            raise StoreError("the answer was lost")
        return answer

    async def _pause_or_die(self) -> None:
        await self.awake.wait()
        if self.dead:
            await self.over.wait()
            raise InstanceDeadError


@dataclass
class Instance:
    """One processor with its own connection to the store."""

    services: Services
    store: InstanceStore
    processor: Processor
    running: set[asyncio.Task[Answer]] = field(default_factory=set)


class Chaos:
    """The system, driven from outside an event loop, one step at a time."""

    def __init__(self, folder: Path, *, paid: bool = False) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(Inline())
        self.engine_clock = VirtualClock()
        self.clock = SteppedClock(VirtualTime(self.engine_clock))
        self._folder = folder
        self.store = MortalStore(":memory:", INDEXES)
        self.queue = ManualQueue()
        self.provider = ScriptedProvider(self.clock, honours_keys=not paid)
        self._base = self._services(folder)
        if paid:
            self._base.providers._key_names = {"studio": "STUDIO_KEY"}
        self.outages: list[Outage] = []
        self._stopping: set[asyncio.Task[None]] = set()
        self._runs = patch.object(processor, "JobRun", PoisonedRun)
        self._runs.start()
        # A commit that gathers others waits for real time, which a step does not wait for.
        self._commits = patch.object(sqlite, "_GATHER_SECONDS", 0.0)
        self._commits.start()
        PoisonedRun.jobs.clear()
        self.instances: list[Instance] = []
        self._dead: list[Instance] = []
        #: What was read since something last happened: each of many invariants reads the same.
        self._found: dict[tuple[str, str], list[Any]] = {}
        self.replace(None)

    def use_queue(self, queue: ManualQueue) -> None:
        """Put another queue in the place of the one that is driven by hand."""
        self.queue = queue
        self._base = replace(self._base, tasks=DurableTasks(queue, self.store))
        self.instances.clear()
        self.replace(None)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine, and all that follows from it before time goes on."""
        self._found.clear()

        async def and_rest() -> T:
            try:
                return await work
            finally:
                await self._rest()

        return self.loop.run_until_complete(and_rest())

    @property
    def services(self) -> Services:
        """The services of the API."""
        return self._base

    def replace(self, old: Instance | None) -> None:
        """Start a fresh instance, in the place of a dead one."""
        if old is not None:
            self.instances.remove(old)
            self._dead.append(old)
        store = InstanceStore(self.store, outages=self.outages)
        store.awake.set()
        # Each instance has a disk of its own.
        disk = self._folder / f"disk-{len(self.instances) + len(self._dead)}"
        room = WorkDirPool(disk, ROOM_BYTES, clock=lambda: self.engine_clock.now() / SECOND)
        services = replace(self._base, store=store, work_dirs=room)
        self.instances.append(Instance(services, store, Processor(services)))

    def deliver(self, task: Task) -> asyncio.Task[Answer]:
        """Begin a delivery at the newest instance; it goes on while other things happen."""
        instance = self.instances[-1]

        async def begin() -> asyncio.Task[Answer]:
            running = asyncio.ensure_future(instance.processor.process_task(task.job_id))
            instance.running.add(running)
            return running

        return self.do(begin())

    def works(self) -> bool:
        """True while the newest instance processes a task."""
        return any(not task.done() for task in self.instances[-1].running)

    def crash(self) -> None:
        """Kill the newest instance (SIGKILL)."""
        self.instances[-1].store.dead = True
        self.replace(self.instances[-1])

    def answer(self, services: Services, work: Coroutine[Any, Any, T]) -> list[T]:
        """Do the work of a request; the answer that its client gets, none if the process dies."""
        received: list[T] = []

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            await send({"type": "answer", "value": await work})

        async def send(message: Any) -> None:
            received.append(message["value"])

        async def receive() -> Any:
            raise NotImplementedError

        async def begin() -> asyncio.Task[None]:
            return asyncio.ensure_future(DurableResponses(app, services.store)({}, receive, send))

        task = self.do(begin())
        if task.done():
            task.result()
        return received

    def open_owner(self) -> tuple[Services, InstanceStore]:
        """The services of a request to the process that owns the store, and its store."""
        store = InstanceStore(self.store)
        store.awake.set()
        return replace(self._base, store=store), store

    def lose_process(self, *stores: InstanceStore) -> int:
        """Kill the one process that has store and instances; the number of documents it loses.

        `stores` are those of its requests. The queue is outside of it, and so is the provider.
        """
        for store in stores:
            store.dead = True
        for instance in list(self.instances):
            instance.store.dead = True
            self.instances.remove(instance)
            self._dead.append(instance)
        self._found.clear()
        lost = self.store.die()
        self.replace(None)
        return lost

    def stop(self) -> None:
        """Stop the newest instance (SIGTERM); it waits for purchases while others go on."""
        instance = self.instances[-1]

        async def begin() -> None:
            self._stopping.add(asyncio.ensure_future(instance.processor.stop()))

        self.do(begin())
        self.replace(instance)

    def freeze(self) -> None:
        """Freeze the newest instance in the middle of its work; another takes over."""
        self.instances[-1].store.awake.clear()
        self.replace(None)

    def thaw(self) -> None:
        """Let all frozen instances go on, unaware of the time that has passed."""
        for instance in self.instances:
            instance.store.awake.set()
        self.do(_nothing())

    def crashes(self) -> list[BaseException]:
        """The unexpected errors of deliveries."""
        ended = [
            task for one in [*self.instances, *self._dead] for task in one.running if task.done()
        ]
        found = [task.exception() for task in ended if not task.cancelled()]
        return [
            error
            for error in found
            if error is not None and not isinstance(error, InstanceDeadError | StoreError)
        ]

    def poison(self, job_id: str, where: str) -> None:
        """Let every run of the job crash, at its "beginning" or at its "end"."""
        PoisonedRun.jobs[job_id] = where

    def cure(self, job_id: str) -> None:
        """Let the runs of the job end as others do."""
        PoisonedRun.jobs.pop(job_id, None)

    def step_clock(self, seconds: float) -> None:
        """Set the clock of all machines forward or back; sleeping goes on as it was."""
        self.clock.offset += timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        until = self.engine_clock.now() + round(seconds * SECOND)

        async def run_next() -> bool:
            # In the loop, as timers of a machine's clock run.
            return self.engine_clock.run_next(until)

        self.do(_nothing())
        while self.do(run_next()):
            pass

    def jobs(self) -> list[Job]:
        return self._read(Query(collection=JOBS))

    def accounts(self) -> list[Account]:
        return self._read(Query(collection=ACCOUNTS))

    def ledger(self, kind: EntryKind) -> list[LedgerEntry]:
        return self._read(Query(collection=LEDGER, where=(("kind", "==", str(kind)),)))

    def _read(self, query: Query[V]) -> list[V]:
        """The values of all rows; read once as long as nothing happens."""
        key = (query.collection.name, str(query.where))
        if key not in self._found:
            rows = self.loop.run_until_complete(self.store.query(query))
            self._found[key] = [row.value for row in rows]
        return list(self._found[key])

    def now(self) -> datetime:
        return self.clock.now()

    def close(self) -> None:
        """End all instances and close the store."""
        self._runs.stop()
        self._commits.stop()
        self.loop.run_until_complete(self._end_dead())
        self._base.workers.close()
        register_options({})
        self.loop.close()

    async def _end_dead(self) -> None:
        for instance in [*self.instances, *self._dead]:
            instance.store.dead = True
            instance.store.over.set()
            instance.store.awake.set()
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await self.store.close()

    async def _rest(self) -> None:
        loop: Any = self.loop
        quiet = 0
        while quiet < 3:
            await asyncio.sleep(0)
            quiet = 0 if loop._ready else quiet + 1

    def _services(self, folder: Path) -> Services:
        built = wiring.build(settings(folder, initial_credits=30), self.clock)
        built.providers._built["studio"] = DurableProvider(self.provider, self.store)
        return replace(
            built,
            store=self.store,
            tasks=DurableTasks(self.queue, self.store),
            random=Random(7),
            probe_file=read_facts,
            rules=replace(built.rules, inputs=INPUT_LIMITS),
        )


async def _nothing() -> None:
    """Do nothing, so that only what is ready runs."""
