"""The engine: queues and tasks with the behaviour of the Cloud Tasks API.

One QueueDispatcher a queue does the work. The engine needs no server; tests call it directly.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from taskreel_cloud_tasks.api_errors import (
    ApiError,
    Code,
    entity_not_found,
    invalid_argument,
    queue_not_found,
    task_no_longer_exists,
)
from taskreel_cloud_tasks.clock import Clock, RealClock, VirtualClock
from taskreel_cloud_tasks.delivery_history import EventKind, History
from taskreel_cloud_tasks.dispatch_slots import DispatchSlots
from taskreel_cloud_tasks.dispatcher import QueueDispatcher
from taskreel_cloud_tasks.due_work import advance_clock, finish_attempts, run_due_work
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.engine_context import EngineContext, Sender
from taskreel_cloud_tasks.faults import NO_FAULTS, Faults
from taskreel_cloud_tasks.file_descriptors import connection_limit
from taskreel_cloud_tasks.http_client import HttpClient
from taskreel_cloud_tasks.http_request import TokenIssuer
from taskreel_cloud_tasks.journal import Journal, MemoryJournal, queue_from_journal
from taskreel_cloud_tasks.messages import Queue, State, Task
from taskreel_cloud_tasks.queue_settings import complete_queue, merge_update
from taskreel_cloud_tasks.resource_names import (
    split_queue,
    split_task,
)
from taskreel_cloud_tasks.stored_task import StoredTask
from taskreel_cloud_tasks.task_tokens import TaskTokens
from taskreel_cloud_tasks.task_validation import build_stored_task


class Engine:
    """The whole state of one Cloud Tasks.

    Use it from one event loop; names are full resource names.
    """

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
        self._client = HttpClient(addresses=self.config.addresses)
        clock = clock or RealClock()
        # A sender of the caller's opens no connections of this process.
        slots = DispatchSlots(clock, connection_limit if sender is None else lambda: sys.maxsize)
        self._context = EngineContext(
            clock=clock,
            slots=slots,
            journal=self.journal,
            sender=sender or self._client,
            tokens=self.tokens,
            history=self.history,
            dedup_window=self.config.dedup_window,
            unthrottled=self.config.unthrottled,
            app_engine_url=self.config.app_engine_url,
            on_idle=self._wake_idle_waiters,
        )
        self._dispatchers: dict[str, QueueDispatcher] = {}
        self._deleted: dict[str, int] = {}
        self._number = 0
        self._random = random.Random(self.config.seed)  # noqa: S311 (ids, not secrets)
        self._idle_waiters: list[asyncio.Future[None]] = []
        self.documents: dict[str, dict[str, Any]] = {}
        """What else the journal had when the engine started: policies, keys, operations."""

    @property
    def clock(self) -> Clock:
        """The engine's clock, real or virtual (see `advance`)."""
        return self._context.clock

    @property
    def faults(self) -> Faults:
        """The faults to inject; assign to change them."""
        return self._context.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._context.faults = faults

    def start(self) -> None:
        """Load queues, tasks and tombstones from the journal.

        A dispatch that was running when the process died is made again.
        """
        was_enabled = gc.isenabled()
        gc.disable()  # a hundred thousand new objects, none of them garbage
        try:
            self._load_journal()
        finally:
            if was_enabled:
                gc.enable()

    def _load_journal(self) -> None:
        saved = self.journal.load(self.clock.now())
        self.documents = saved.documents
        for name, data in saved.queues.items():
            self._dispatchers[name] = QueueDispatcher(queue_from_journal(data), self._context)
        for name, until in saved.tombstones.items():
            self._restore_tombstone(name, until)
        for queue, stored in saved.tasks:
            self._number = max(self._number, stored.number)
            if queue in self._dispatchers:
                self._dispatchers[queue].restore_task(stored)

    def _restore_tombstone(self, name: str, until: int) -> None:
        """Restore the reserved name of a deleted queue or of a finished task."""
        queue, slash, task_id = name.partition("/tasks/")
        if not slash:
            self._deleted[name] = until
        elif queue in self._dispatchers:
            self._dispatchers[queue].tombstones.restore_name(task_id, until)

    async def close(self, grace_s: float = 5.0) -> None:
        """Stop dispatching, wait `grace_s` seconds for running attempts, then write the journal.

        Attempts that are cut off are made again after the next start.
        """
        for dispatcher in self._dispatchers.values():
            dispatcher.close()
        await finish_attempts(self._dispatchers.values(), grace_s)
        await self._client.close()
        self.journal.close()

    # ── queues ───────────────────────────────────────────────────────────────────────────────

    async def create_queue(self, parent: str, queue: Queue) -> Queue:
        """CreateQueue. Raises ApiError ALREADY_EXISTS, or INVALID_ARGUMENT for a foreign parent."""
        self.config.check_location(parent)
        location, _ = split_queue(queue.name)
        if location != parent:
            raise invalid_argument(
                f"The queue name '{queue.name}' must be inside the parent '{parent}'."
            )
        if queue.name in self._dispatchers:
            raise ApiError(Code.ALREADY_EXISTS, "Queue already exists")
        return await self._create_dispatcher(complete_queue(queue))

    async def update_queue(
        self, queue: Queue, paths: Iterable[str] = (), cleared: Collection[str] = ()
    ) -> Queue:
        """UpdateQueue; creates the queue if it does not exist."""
        location, _ = split_queue(queue.name)
        self.config.check_location(location)
        dispatcher = self._dispatchers.get(queue.name)
        if dispatcher is None:
            settings = complete_queue(queue)
            # A mask that names a field tells its zero from an unset one, here as in an update.
            named = [path for path in paths if "." in path]
            if named:
                settings = merge_update(settings, queue, named, cleared)
            return await self._create_dispatcher(settings)
        dispatcher.update_settings(merge_update(dispatcher.queue, queue, paths, cleared))
        await self.journal.wait_until_written()
        return dispatcher.queue

    async def _create_dispatcher(self, queue: Queue) -> Queue:
        """Create a queue with complete settings. Raises ApiError if its name is reserved."""
        if self._deleted.get(queue.name, 0) > self.clock.now():
            text = (
                "The queue cannot be created because a queue with this name existed too recently."
            )
            raise ApiError(Code.FAILED_PRECONDITION, text)
        queue = replace(queue, state=State.RUNNING, purge_time=None)
        dispatcher = QueueDispatcher(queue, self._context)
        self._dispatchers[queue.name] = dispatcher
        dispatcher.save_queue()
        await self.journal.wait_until_written()
        return dispatcher.queue

    def get_queue(self, name: str) -> Queue:
        """GetQueue. Raises ApiError NOT_FOUND."""
        return self.get_dispatcher(name).queue

    def list_queues(self, parent: str) -> list[Queue]:
        """Return all queues of a location, in lexicographic order."""
        self.config.check_location(parent)
        prefix = f"{parent}/queues/"
        return [
            self._dispatchers[name].queue
            for name in sorted(self._dispatchers)
            if name.startswith(prefix)
        ]

    async def delete_queue(self, name: str) -> None:
        """DeleteQueue, with all tasks; the name stays reserved for `queue_window`."""
        split_queue(name)
        if name not in self._dispatchers:
            raise entity_not_found()
        dispatcher = self._dispatchers[name]
        dispatcher.purge_tasks()
        dispatcher.close()
        del self._dispatchers[name]
        self.journal.put_queue(name, None)
        until = self.clock.now() + _to_micros(self.config.queue_window)
        self._deleted[name] = until
        self.journal.put_tombstone(name, until)
        await self.journal.wait_until_written()

    async def pause_queue(self, name: str) -> Queue:
        """PauseQueue: only RunTask still dispatches tasks of the queue."""
        return await self._set_state(name, State.PAUSED)

    async def resume_queue(self, name: str) -> Queue:
        """ResumeQueue."""
        return await self._set_state(name, State.RUNNING)

    async def _set_state(self, name: str, state: State) -> Queue:
        dispatcher = self.get_dispatcher(name)
        dispatcher.update_settings(replace(dispatcher.queue, state=state))
        await self.journal.wait_until_written()
        return dispatcher.queue

    async def purge_queue(self, name: str) -> Queue:
        """PurgeQueue: removes the tasks before it returns (Google may take a minute)."""
        dispatcher = self.get_dispatcher(name)
        dispatcher.purge_tasks()
        if self.config.reset_on_purge:
            dispatcher.tombstones.release_names()
        await self.journal.wait_until_written()
        return dispatcher.queue

    # ── tasks ────────────────────────────────────────────────────────────────────────────────

    def add_task(self, parent: str, task: Task) -> StoredTask:
        """CreateTask without waiting for the journal. Raises ApiError."""
        dispatcher = self.get_dispatcher(parent)
        now = self.clock.now()
        task_id = (
            self._validate_task_id(dispatcher, task.name, now)
            if task.name
            else self._generate_task_id()
        )
        stored = build_stored_task(task, dispatcher.queue, task_id, self._number + 1, now)
        self._number += 1
        dispatcher.add_task(stored)
        return stored

    async def create_task(self, parent: str, task: Task) -> StoredTask:
        """CreateTask: returns after the task is written."""
        stored = self.add_task(parent, task)
        await self.wait_until_created(stored)
        return stored

    async def wait_until_created(self, stored: StoredTask) -> None:
        """Wait until an added task is written, and may be reported. Raises ApiError."""
        await self.journal.wait_until_written()
        self.maybe_fail_after_create(stored)

    def maybe_fail_after_create(self, stored: StoredTask) -> None:
        """Simulate a DEADLINE_EXCEEDED reply for a stored task (fault `create_deadline`)."""
        if self.faults.should_inject("create_deadline", stored.number):
            raise ApiError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def _validate_task_id(self, dispatcher: QueueDispatcher, name: str, now: int) -> str:
        queue, task_id = split_task(name)
        if queue != dispatcher.queue.name:
            text = f"The queue name from request ('{dispatcher.queue.name}') must be the same as "
            raise invalid_argument(text + f"the queue name in the named task ('{queue}').")
        if task_id in dispatcher.tasks or dispatcher.tombstones.is_taken(task_id, now):
            raise ApiError(Code.ALREADY_EXISTS, "Requested entity already exists")
        return task_id

    def _generate_task_id(self) -> str:
        """Return decimal digits, as Google's ids are in practice."""
        return str(10**18 + self._random.getrandbits(66))

    def get_task(self, name: str) -> StoredTask:
        """GetTask."""
        return self._find_task(name)[1]

    def list_tasks(self, parent: str, after: int = 0) -> Iterable[StoredTask]:
        """Return a queue's tasks in order of creation, those with a number above `after`."""
        dispatcher = self.get_dispatcher(parent)
        dispatcher.drop_expired_tasks()
        return (stored for stored in dispatcher.tasks.values() if stored.number > after)

    async def delete_task(self, name: str) -> None:
        """DeleteTask; an attempt that is running is not stopped."""
        dispatcher, stored = self._find_task(name)
        dispatcher.remove_task(stored, EventKind.DELETED)
        self.journal.flush()

    def run_task(self, name: str) -> StoredTask:
        """RunTask: dispatch now, even if the queue is paused or the task is running."""
        dispatcher, stored = self._find_task(name)
        dispatcher.run_now(stored)
        return stored

    def _find_task(self, name: str) -> tuple[QueueDispatcher, StoredTask]:
        queue, task_id = split_task(name)
        dispatcher = self._dispatchers.get(queue)
        if dispatcher is None:
            raise queue_not_found()
        dispatcher.drop_expired_tasks()
        stored = dispatcher.tasks.get(task_id)
        if stored is not None:
            return dispatcher, stored
        raise (
            task_no_longer_exists()
            if dispatcher.tombstones.is_taken(task_id, self.clock.now())
            else entity_not_found()
        )

    # ── for servers and tests ────────────────────────────────────────────────────────────────

    def get_dispatcher(self, name: str) -> QueueDispatcher:
        """Return the dispatcher of a queue. Raises ApiError NOT_FOUND, as GetQueue does."""
        dispatcher = self._dispatchers.get(name)
        if dispatcher is None:
            split_queue(name)
            raise queue_not_found()
        return dispatcher

    def has_queue(self, name: str) -> bool:
        """Return True if the queue exists. Raises ApiError for a name that no queue can have."""
        split_queue(name)
        return name in self._dispatchers

    def list_dispatchers(self) -> Iterable[QueueDispatcher]:
        """Return the dispatchers of all queues."""
        return self._dispatchers.values()

    async def reset(self, *, keep_queues: bool = False) -> None:
        """Remove all tasks, reserved names and history, and the queues unless `keep_queues`."""
        queues = (
            [dispatcher.queue for dispatcher in self._dispatchers.values()] if keep_queues else []
        )
        for dispatcher in self._dispatchers.values():
            dispatcher.purge_tasks()
            dispatcher.cancel_attempts()
        self._dispatchers.clear()
        self._deleted.clear()
        self.journal.clear()
        self.history.clear()
        self.faults = NO_FAULTS
        for queue in queues:
            await self._create_dispatcher(queue)

    def is_idle(self, queue: str | None = None) -> bool:
        """Return True if no task waits or runs, in one queue or in all."""
        dispatchers = [self.get_dispatcher(queue)] if queue else list(self._dispatchers.values())
        return not any(dispatcher.tasks or dispatcher.runs for dispatcher in dispatchers)

    async def wait_idle(self, queue: str | None = None) -> None:
        """Wait until `is_idle`; tasks of paused queues and tasks due next week count as waiting."""
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
        """Move a virtual clock, stopping whenever something is due and letting handlers answer.

        A handler that has not answered after `grace_s` seconds of real time goes on running while
        virtual time goes on, so that a dispatch deadline can pass.
        """
        clock = self.clock
        if not isinstance(clock, VirtualClock):
            raise ApiError(
                Code.FAILED_PRECONDITION, "The clock is real; start with a virtual one to move it."
            )
        await advance_clock(clock, _to_micros(by), self._dispatchers.values(), grace_s)

    async def run_due_work(self, grace_s: float = 0.25) -> None:
        """Run everything that is due now; wait at most `grace_s` seconds for each attempt."""
        await run_due_work(self._dispatchers.values(), grace_s)


def _to_micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
