"""The engine: queues and tasks as the API knows them, over lanes that do the work. No door is needed to use it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from taskreel_local.emulators.cloudtasks import message_codec
from taskreel_local.emulators.cloudtasks.api_errors import (
    ApiError,
    Code,
    entity_missing,
    invalid,
    queue_missing,
    task_gone,
)
from taskreel_local.emulators.cloudtasks.clock import Clock, RealClock, VirtualClock
from taskreel_local.emulators.cloudtasks.dispatcher import EngineContext, QueueDispatcher, Sender
from taskreel_local.emulators.cloudtasks.faults import NO_FAULTS, Faults
from taskreel_local.emulators.cloudtasks.history import EventKind, History
from taskreel_local.emulators.cloudtasks.http_client import HttpClient
from taskreel_local.emulators.cloudtasks.http_request import TokenIssuer
from taskreel_local.emulators.cloudtasks.journal import Journal, MemoryJournal
from taskreel_local.emulators.cloudtasks.messages import Queue, State, Task, View
from taskreel_local.emulators.cloudtasks.queue_settings import complete, merge
from taskreel_local.emulators.cloudtasks.resource_names import (
    split_location,
    split_queue,
    split_task,
)
from taskreel_local.emulators.cloudtasks.stored_task import StoredTask
from taskreel_local.emulators.cloudtasks.task_tokens import TaskTokens
from taskreel_local.emulators.cloudtasks.task_validation import admit

LOCATIONS = (
    *("asia-east1", "asia-northeast1", "asia-south1", "asia-southeast1", "australia-southeast1"),
    *(
        "europe-central2",
        "europe-west1",
        "europe-west2",
        "europe-west3",
        "europe-west6",
        "northamerica-northeast1",
    ),
    *("southamerica-east1", "us-central1", "us-east1", "us-east4", "us-west1", "us-west2"),
)
"""What ListLocations names unless told; without a choice of yours any location is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How an engine behaves. The defaults are Google's."""

    projects: tuple[str, ...] = ()
    """Only these exist; none given: every project does."""
    locations: tuple[str, ...] = ()
    """Only these exist; none given: every location does."""
    dedup_window: timedelta = timedelta(hours=24)
    """How long the name of a finished task stays taken (quotas page, 2026-04-08: up to 24 hours)."""
    queue_window: timedelta = timedelta(days=3)
    """How long the name of a deleted queue stays taken (CreateQueue, client 2.25: up to 3 days)."""
    unthrottled: bool = False
    """Ignore the rates (concurrency still holds): for benchmarks and impatient development."""
    app_engine_url: str = ""
    """Where App Engine tasks go; without it their attempts fail."""
    history_size: int = 1000
    seed: int | None = None
    """Makes the random task ids repeatable."""


class Engine:
    """All state of one Cloud Tasks; used from one event loop. Names are full resource names."""

    def __init__(
        self,
        config: EngineConfig | None = None,
        *,
        clock: Clock | None = None,
        journal: Journal | None = None,
        sender: Sender | None = None,
        tokens: TokenIssuer | None = None,
    ) -> None:
        self.config = config or EngineConfig()
        self.history = History(self.config.history_size)
        self.journal = journal or MemoryJournal()
        self.tokens = tokens or TaskTokens(self.journal)
        self._client = HttpClient()
        self._shared = EngineContext(
            clock=clock or RealClock(),
            journal=self.journal,
            sender=sender or self._client,
            tokens=self.tokens,
            history=self.history,
            dedup_window=self.config.dedup_window,
            unthrottled=self.config.unthrottled,
            app_engine_url=self.config.app_engine_url,
            on_idle=self._wake_idle_waiters,
        )
        self._lanes: dict[str, QueueDispatcher] = {}
        self._deleted: dict[str, int] = {}
        self._number = 0
        self._random = random.Random(self.config.seed)  # noqa: S311 (ids, not secrets)
        self._idle_waiters: list[asyncio.Future[None]] = []

    @property
    def clock(self) -> Clock:
        """Real, or virtual: see `advance`."""
        return self._shared.clock

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose; assign to change it."""
        return self._shared.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._shared.faults = faults

    def start(self) -> None:
        """Take up what the journal holds; a dispatch that was under way when the process died is made again."""
        saved = self.journal.load(self.clock.now())
        for name, data in saved.queues.items():
            self._lanes[name] = QueueDispatcher(message_codec.from_json(Queue, data), self._shared)
        for name, until in saved.tombstones.items():
            self._restore_tombstone(name, until)
        for queue, entry in saved.tasks:
            self._number = max(self._number, entry.number)
            if queue in self._lanes:
                self._lanes[queue].restore(entry)

    def _restore_tombstone(self, name: str, until: int) -> None:
        queue, slash, task_id = name.partition("/tasks/")
        if not slash:
            self._deleted[name] = until
        elif queue in self._lanes:
            self._lanes[queue].tombstones.restore(task_id, until)

    async def close(self, grace_s: float = 5.0) -> None:
        """Stop dispatching, give what is under way `grace_s`, write everything. What is cut off runs again later."""
        for lane in self._lanes.values():
            lane.close()
        under_way = [run.task for lane in self._lanes.values() for run in lane.runs if run.task]
        if under_way:
            _, late = await asyncio.wait(under_way, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._client.close()
        self.journal.close()

    # ── queues ───────────────────────────────────────────────────────────────────────────────

    async def create_queue(self, parent: str, queue: Queue) -> Queue:
        """CreateQueue."""
        self.check_location(parent)
        location, _ = split_queue(queue.name)
        if location != parent:
            raise invalid(f"The queue name '{queue.name}' must be inside the parent '{parent}'.")
        if queue.name in self._lanes:
            raise ApiError(Code.ALREADY_EXISTS, "Queue already exists")
        return await self._open_queue(queue)

    async def update_queue(self, queue: Queue, paths: Iterable[str] = ()) -> Queue:
        """UpdateQueue: creates the queue if it is missing."""
        location, _ = split_queue(queue.name)
        self.check_location(location)
        lane = self._lanes.get(queue.name)
        if lane is None:
            return await self._open_queue(queue)
        lane.configure(merge(lane.queue, queue, paths))
        await self.journal.written()
        return lane.queue

    async def _open_queue(self, queue: Queue) -> Queue:
        if self._deleted.get(queue.name, 0) > self.clock.now():
            text = (
                "The queue cannot be created because a queue with this name existed too recently."
            )
            raise ApiError(Code.FAILED_PRECONDITION, text)
        lane = QueueDispatcher(
            complete(replace(queue, state=State.RUNNING, purge_time=None)), self._shared
        )
        self._lanes[queue.name] = lane
        lane.save()
        await self.journal.written()
        return lane.queue

    def get_queue(self, name: str) -> Queue:
        """GetQueue."""
        return self.lane(name).queue

    def list_queues(self, parent: str) -> list[Queue]:
        """All queues of a location, in lexicographic order."""
        self.check_location(parent)
        prefix = f"{parent}/queues/"
        return [self._lanes[name].queue for name in sorted(self._lanes) if name.startswith(prefix)]

    async def delete_queue(self, name: str) -> None:
        """DeleteQueue: with all its tasks; the name stays taken for `queue_window`."""
        split_queue(name)
        if name not in self._lanes:
            raise entity_missing()
        lane = self._lanes[name]
        lane.purge()
        lane.close()
        del self._lanes[name]
        self.journal.put_queue(name, None)
        until = self.clock.now() + _micros(self.config.queue_window)
        self._deleted[name] = until
        self.journal.put_tombstone(name, until)
        await self.journal.written()

    async def pause_queue(self, name: str) -> Queue:
        """PauseQueue: nothing more is dispatched, but by RunTask."""
        return await self._set_state(name, State.PAUSED)

    async def resume_queue(self, name: str) -> Queue:
        """ResumeQueue."""
        return await self._set_state(name, State.RUNNING)

    async def _set_state(self, name: str, state: State) -> Queue:
        lane = self.lane(name)
        lane.configure(replace(lane.queue, state=state))
        await self.journal.written()
        return lane.queue

    async def purge_queue(self, name: str) -> Queue:
        """PurgeQueue: tasks created before the call are gone when it returns (Google may take a minute)."""
        lane = self.lane(name)
        lane.purge()
        await self.journal.written()
        return lane.queue

    # ── tasks ────────────────────────────────────────────────────────────────────────────────

    def admit(self, parent: str, task: Task) -> StoredTask:
        """Let a task in, not yet written: CreateTask without its waits. Raises ApiError."""
        lane = self.lane(parent)
        now = self.clock.now()
        task_id = self._checked_id(lane, task.name, now) if task.name else self._random_id()
        entry = admit(task, lane.queue, task_id, self._number + 1, now)
        self._number += 1
        lane.add(entry)
        return entry

    async def create_task(self, parent: str, task: Task) -> StoredTask:
        """CreateTask: answered when the task is written."""
        entry = self.admit(parent, task)
        await self.journal.written()
        self.confess(entry)
        return entry

    def confess(self, entry: StoredTask) -> None:
        """The `create_deadline` fault: the task is stored, the caller hears otherwise."""
        if self.faults.hits("create_deadline", entry.number):
            raise ApiError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def _checked_id(self, lane: QueueDispatcher, name: str, now: int) -> str:
        queue, task_id = split_task(name)
        if queue != lane.queue.name:
            text = f"The queue name from request ('{lane.queue.name}') must be the same as "
            raise invalid(text + f"the queue name in the named task ('{queue}').")
        if task_id in lane.tasks or lane.tombstones.holds(task_id, now):
            raise ApiError(Code.ALREADY_EXISTS, "Requested entity already exists")
        return task_id

    def _random_id(self) -> str:
        """Decimal digits, as Google's are in practice."""
        return str(self._random.randrange(10**18, 10**20))

    def get_task(self, name: str) -> StoredTask:
        """GetTask."""
        return self._find(name)[1]

    def list_tasks(self, parent: str, after: int = 0) -> Iterable[StoredTask]:
        """A queue's tasks in the order of their creation, from behind the one numbered `after`."""
        lane = self.lane(parent)
        lane.drop_expired()
        return (entry for entry in lane.tasks.values() if entry.number > after)

    async def delete_task(self, name: str) -> None:
        """DeleteTask: scheduled or under way; a request already sent is not stopped."""
        lane, entry = self._find(name)
        lane.end(entry, EventKind.DELETED)
        self.journal.flush()

    def run_task(self, name: str) -> StoredTask:
        """RunTask: dispatches now, even if the queue is paused or the task runs already."""
        lane, entry = self._find(name)
        lane.run_now(entry)
        return entry

    def _find(self, name: str) -> tuple[QueueDispatcher, StoredTask]:
        queue, task_id = split_task(name)
        lane = self._lanes.get(queue)
        if lane is None:
            raise queue_missing()
        lane.drop_expired()
        entry = lane.tasks.get(task_id)
        if entry is not None:
            return lane, entry
        raise task_gone() if lane.tombstones.holds(task_id, self.clock.now()) else entity_missing()

    # ── for doors and tests ──────────────────────────────────────────────────────────────────

    def lane(self, name: str) -> QueueDispatcher:
        """The queue at work; NOT_FOUND as GetQueue says it."""
        lane = self._lanes.get(name)
        if lane is None:
            split_queue(name)
            raise queue_missing()
        return lane

    def lanes(self) -> Iterable[QueueDispatcher]:
        """All queues at work."""
        return self._lanes.values()

    def check_location(self, name: str) -> None:
        """Refuse a project or location that does not exist here."""
        project, location = split_location(name)
        if self.config.projects and project not in self.config.projects:
            raise ApiError(
                Code.PERMISSION_DENIED, f"Permission denied on resource project {project}."
            )
        if self.config.locations and location not in self.config.locations:
            text = f"Location '{location}' is not a valid location. Use ListLocations to list valid locations."
            raise invalid(text)

    def task(self, entry: StoredTask, queue: str, view: View = View.BASIC) -> Task:
        """An entry as the API shows it."""
        return entry.task(queue, view)

    async def reset(self, *, keep_queues: bool = False) -> None:
        """Forget all tasks, names and records; and the queues too, unless they are to stay."""
        queues = [lane.queue for lane in self._lanes.values()] if keep_queues else []
        for lane in self._lanes.values():
            lane.purge()
            lane.abandon()
        self._lanes.clear()
        self._deleted.clear()
        self.journal.clear()
        self.history.clear()
        self.faults = NO_FAULTS
        for queue in queues:
            await self._open_queue(queue)

    def is_idle(self, queue: str | None = None) -> bool:
        """Whether no task waits or runs, in one queue or anywhere."""
        lanes = [self.lane(queue)] if queue else list(self._lanes.values())
        return not any(lane.tasks or lane.runs for lane in lanes)

    async def wait_idle(self, queue: str | None = None) -> None:
        """Return when `is_idle`; paused queues and tasks of next week count as work."""
        while not self.is_idle(queue):
            waiter = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(waiter)
            await waiter

    def _wake_idle_waiters(self) -> None:
        waiters, self._idle_waiters = self._idle_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def advance(self, by: timedelta, *, grace_s: float = 0.25) -> None:
        """Move a virtual clock, stopping at each moment something is due and letting handlers answer.

        A handler that has not answered after `grace_s` of real time is left running while time goes on,
        so that a dispatch deadline can pass.
        """
        clock = self.clock
        if not isinstance(clock, VirtualClock):
            raise ApiError(
                Code.FAILED_PRECONDITION, "The clock is real; start with a virtual one to move it."
            )
        until = clock.now() + _micros(by)
        await self.settle(grace_s)
        while clock.run_next(until):
            await self.settle(grace_s)

    async def settle(self, grace_s: float = 0.25) -> None:
        """Let everything happen that is due now."""
        while True:
            for _ in range(3):  # a dispatch is started a turn after what makes it due
                await asyncio.sleep(0)
            runs = [
                run
                for lane in self._lanes.values()
                for run in lane.runs
                if not run.graced and run.task
            ]
            if runs:
                _, pending = await asyncio.wait(
                    [run.task for run in runs if run.task], timeout=grace_s
                )
                for run in runs:
                    run.graced = run.task in pending
            elif not any(lane.looking for lane in self._lanes.values()):
                return


def _micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
