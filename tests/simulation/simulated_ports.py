"""The ports of one simulated instance: each call may be delayed, fail, or never return."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from simulation.fault_plan import Fault, FaultPlan
from simulation.file_rules import FileWatch
from simulation.virtual_loop import VirtualLoop
from taskreel.adapters.work_dirs import WorkDirPool
from taskreel.domain.client_webhook import SigningKey, WebhookAnswer
from taskreel.domain.errors import QueueError, StoreError
from taskreel.domain.job import Job
from taskreel.ports import (
    BlobInfo,
    Blobs,
    Changes,
    Collection,
    FileFacts,
    Query,
    QueueStats,
    Row,
    Store,
    Task,
    TaskQueue,
    Timer,
    Transaction,
    WebhookMessage,
)

T = TypeVar("T")
V = TypeVar("V")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
#: A field that only the newer of two revisions knows.
NEW_FIELD = "newerField"


class InstanceDeadError(BaseException):
    """Ends the coroutines of a dead instance when the simulation is over; nobody handles it."""


class SimulatedClock:
    """`Clock` of one machine: the loop's time, and how far the machine's clock is off."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.skew = timedelta(0)

    def now(self) -> datetime:
        """The time as this machine has it; as with a real clock, each reading has its own."""
        seconds = max(self.loop.time(), self.loop.last_reading + 1e-6)
        self.loop.last_reading = seconds
        return EPOCH + timedelta(seconds=seconds) + self.skew

    async def sleep(self, seconds: float, /) -> None:
        """Wait that long."""
        await asyncio.sleep(max(0.0, seconds))

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        """Call back after that long."""
        return self.loop.call_later(max(0.0, seconds), callback)


@dataclass
class Outage:
    """The ports that no instance can reach, and until when."""

    until: float = 0.0
    #: Calls are carried out, and their answers are lost.
    loses_answers: bool = False


@dataclass(eq=False)
class Machine:
    """The state that the ports of one instance share: if it lives, and the world around it."""

    name: str
    loop: VirtualLoop
    plan: FaultPlan
    store_outage: Outage
    queue_outage: Outage
    alive: bool = True
    frozen: bool = False
    is_newer_revision: bool = False
    #: Until then nothing can be written to its disk.
    disk_full_until: float = 0.0
    #: Kills its instance.
    kill: Callable[[], None] = lambda: None

    def may_go_on(self) -> bool:
        """True while its calls return."""
        return self.alive and not self.frozen

    async def pause(self) -> None:
        """One step of this machine; for ever once it is dead."""
        if self.loop.is_ending:
            raise InstanceDeadError
        if self.alive and self.plan.strikes(Fault.KILL):
            self.kill()
        await self.loop.pause(self.may_go_on)
        if self.loop.is_ending:
            raise InstanceDeadError

    def write_to_disk(self) -> None:
        """Raise OSError while the disk is full."""
        if self.loop.time() < self.disk_full_until:
            self.plan.note(Fault.DISK_FULL)
            raise OSError(errno.ENOSPC, "No space left on device")


class _RevisedTransaction:
    """A transaction of a newer revision, which adds a field to every job that it writes."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        return await self._tx.get(collection, id_)

    def create(
        self, collection: Collection[V], id_: str, value: V, /, *, is_new: bool = False
    ) -> None:
        self._tx.create(collection, id_, _revise(value), is_new=is_new)

    def set(self, collection: Collection[V], id_: str, value: V, /) -> None:
        self._tx.set(collection, id_, _revise(value))

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        self._tx.update(collection, id_, changes)

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        self._tx.delete(collection, id_)


def _revise(value: V) -> V:
    if isinstance(value, Job) and NEW_FIELD not in (value.unknown or {}):
        fields = {**value.document(), NEW_FIELD: {"since": "r2"}}
        return Job.model_validate(fields)  # type: ignore[return-value]  # V is Job here
    return value


class _DiscardedError(Exception):
    """Ends a try of a transaction that meets a conflict at its commit."""


@dataclass
class MachineStore:
    """`Store` as one instance reaches it."""

    inner: Store
    machine: Machine

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        return await self._call(lambda: self.inner.get(collection, id_))

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        return await self._call(lambda: self.inner.get_all(collection, ids))

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        async def revised(tx: Transaction) -> T:
            return await fn(_RevisedTransaction(tx) if self.machine.is_newer_revision else tx)

        async def run() -> T:
            if self.machine.plan.strikes(Fault.STORE_CONTENDED):
                await self._run_in_vain(revised)
            return await self.inner.transaction(revised)

        return await self._call(run)

    async def _run_in_vain(self, fn: Callable[[Transaction], Awaitable[Any]]) -> None:
        """Run the function once and discard its writes, as a conflict at the commit does."""

        async def discarded(tx: Transaction) -> None:
            await fn(tx)
            raise _DiscardedError

        try:
            await self.inner.transaction(discarded)
        except _DiscardedError:
            await self.machine.pause()

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        return await self._call(lambda: self.inner.query(query))

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        return await self._call(lambda: self.inner.aggregate(query, total=total))

    def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        return self.inner.watch(collection, id_)

    def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        return self.inner.watch_changes(collection, field, value, since=since)

    async def durable(self) -> None:
        await self.inner.durable()

    async def close(self) -> None:
        """Nothing: all instances share the store."""

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        machine = self.machine
        await machine.pause()
        outage = machine.store_outage
        is_away = machine.loop.time() < outage.until
        if is_away and not outage.loses_answers:
            machine.plan.note(Fault.STORE_AWAY)
            raise StoreError("the store is away")
        answer = await call()
        # No pause here: the caller's next call has one, and until then it does nothing outside.
        if is_away:
            machine.plan.note(Fault.STORE_ANSWER_LOST)
            raise StoreError("the answer was lost")
        return answer


@dataclass
class MachineQueue:
    """`TaskQueue` as one instance reaches it."""

    inner: TaskQueue
    machine: Machine

    def list_locations(self) -> Sequence[str]:
        return self.inner.list_locations()

    async def enqueue(self, task: Task, /) -> None:
        await self.enqueue_many([task])

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        plan = self.machine.plan
        await self._reach()
        if plan.strikes(Fault.TASK_REFUSED):
            raise QueueError("CreateTask failed, nothing was stored")
        stored = [task for task in tasks if not plan.strikes(Fault.TASK_LOST)]
        await self.inner.enqueue_many(stored)
        if plan.strikes(Fault.TASK_ANSWER_LOST):
            raise QueueError("CreateTask's answer was lost")

    async def pause(self, queue: str, /) -> None:
        await self._reach()
        await self.inner.pause(queue)

    async def resume(self, queue: str, /) -> None:
        await self._reach()
        await self.inner.resume(queue)

    async def purge(self, queue: str, /) -> None:
        await self._reach()
        await self.inner.purge(queue)

    async def stats(self, queue: str, /) -> QueueStats:
        await self._reach()
        return await self.inner.stats(queue)

    async def close(self) -> None:
        """Nothing: all instances share the queues."""

    async def _reach(self) -> None:
        await self.machine.pause()
        if self.machine.loop.time() < self.machine.queue_outage.until:
            self.machine.plan.note(Fault.QUEUE_AWAY)
            raise QueueError("the queue is away")


@dataclass
class MachineBlobs:
    """`Blobs` as one instance reaches them; all share `files`."""

    inner: Blobs
    machine: Machine
    files: FileWatch

    async def put(
        self,
        path: str,
        source: Path | bytes,
        /,
        *,
        content_type: str,
        age_from: datetime | None = None,
    ) -> None:
        plan = self.machine.plan
        await self.machine.pause()
        self.machine.write_to_disk()
        if plan.strikes(Fault.BLOB_HALF_WRITTEN):
            raise StoreError("the upload was cut off half-way")
        await self.inner.put(path, source, content_type=content_type, age_from=age_from)
        self.files.note_put(path)
        if plan.strikes(Fault.BLOB_ANSWER_LOST):
            raise StoreError("the bucket's answer was lost")

    def read(self, path: str, /) -> AsyncIterator[bytes]:
        return self.inner.read(path)

    async def info(self, path: str, /) -> BlobInfo | None:
        return await self.inner.info(path)

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        return await self.inner.signed_url(path, expires_in=expires_in)

    async def open_upload(self, path: str, /, **given: Any) -> str:
        return await self.inner.open_upload(path, **given)

    async def renew(self, paths: Sequence[str], at: datetime, /) -> None:
        await self.machine.pause()
        await self.inner.renew(paths, at)

    def list_paths(self, prefix: str, /) -> AsyncIterator[str]:
        return self.inner.list_paths(prefix)

    async def delete(self, prefix: str, /) -> int:
        await self.machine.pause()
        deleted = await self.inner.delete(prefix)
        self.files.note_deletion(prefix)
        return deleted

    async def close(self) -> None:
        """Nothing is open."""


class MachineWorkDirs(WorkDirPool):
    """The real folders, on a disk that may be full."""

    machine: Machine

    def acquire(self, job_id: str, /) -> Path:
        self.machine.write_to_disk()
        return super().acquire(job_id)


@dataclass
class Receiver:
    """The customer's server that gets the webhooks."""

    #: The messages that arrived, by id: their bodies.
    bodies: dict[str, set[str]] = field(default_factory=dict)


@dataclass
class MachineWebhooks:
    """`SendWebhook` of one instance, to the one receiver."""

    machine: Machine
    receiver: Receiver

    def check_url(self, url: str, path: str, /) -> None:
        """Every address is taken."""

    def public_key(self, key: SigningKey, /) -> str | None:
        return key.secret

    async def send(self, message: WebhookMessage, /) -> WebhookAnswer:
        assert message.headers == {}, "no webhook here has another service's form"
        plan = self.machine.plan
        await self.machine.pause()
        assert message.keys, "a message is signed"
        assert message.at.tzinfo is not None
        if plan.strikes(Fault.WEBHOOK_FAILS):
            status = (500, 429, None)[plan.tape.draw(3)]
            return WebhookAnswer(status=status, error=None if status else "refused")
        self.receiver.bodies.setdefault(message.id, set()).add(message.body)
        await self.machine.pause()
        if plan.strikes(Fault.WEBHOOK_ANSWER_LOST):
            return WebhookAnswer(error="timed out")
        return WebhookAnswer(status=200)

    async def close(self) -> None:
        """Nothing is open."""


async def read_facts(file: Path, /, *, every_packet: bool = False) -> FileFacts:
    """`ProbeFile` of the simulated provider's files."""
    del every_packet  # its files have no length
    size = file.stat().st_size  # noqa: ASYNC240 - a few bytes
    return FileFacts(content_type="image/png", bytes=size, sha256="0" * 64, width=64, height=64)
