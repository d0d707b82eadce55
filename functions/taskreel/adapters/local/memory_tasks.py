"""The queues of the dev stack: in the memory of the process that owns the store.

No task is written down. A job that is not finished is the record of its task: at its start the
process puts each of them back on its queue (`app/worker/recovery.py`), so nothing is lost with the
memory. A pause is lost, too; the process restores those that an administrator has ordered
(`app/queues/pause_queue.py`).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from taskreel.adapters.local.queue_settings import QueueSettings
from taskreel.adapters.local.task_delivery import Deliver, Delivery
from taskreel.domain.errors import QueueError
from taskreel.ports import Clock, QueueStats, Task, Timer

log = logging.getLogger(__name__)

#: Cloud Tasks refuses tasks that are due later.
_FARTHEST = timedelta(days=30)
_UNTHROTTLED_CONCURRENCY = 100
_CRASHED = 500
_DEADLINE_PASSED = 504
#: Names of finished tasks that a queue remembers, at the least; a repetition of one has no effect.
_FINISHED_NAMES = 10_000
#: Event loops limit the delay of a timer; a longer wait is several.
_LONGEST_TIMER = 86_400.0
#: Seconds since 1970 have a rounding error as floats: a timer may come that much early, and finds
#: what it was set for all the same.
_TIMER_TOLERANCE = 1e-5


class MemoryTasks:
    """`TaskQueue` of this process: `deliver` processes a delivery, without a socket in between.

    A queue that is not in the settings does not exist. They are read with the first task or order;
    until then every queue is empty, and a cold start's first health needs no file. `unthrottled`
    ignores the rates, and lets each queue deliver a hundred tasks at once at the least.
    """

    def __init__(
        self,
        read_settings: Callable[[], Mapping[str, QueueSettings]],
        clock: Clock,
        deliver: Deliver,
        *,
        unthrottled: bool = False,
    ) -> None:
        self._read_settings = read_settings
        self._clock = clock
        self._deliver = deliver
        self._unthrottled = unthrottled
        self._closed = False
        #: Empty until the settings are read.
        self._queues: dict[str, _Queue] = {}

    def list_locations(self) -> Sequence[str]:
        return ()

    async def enqueue(self, task: Task, /) -> None:
        self._add_task(task, self._clock.now())

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        """Put many tasks on their queues. Raises the first QueueError, after all were tried."""
        errors: list[QueueError] = []
        now = self._clock.now()
        for task in tasks:
            try:
                self._add_task(task, now)
            except QueueError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    async def pause(self, queue: str, /) -> None:
        self._find_queue(queue).pause()

    async def resume(self, queue: str, /) -> None:
        self._find_queue(queue).resume()

    async def purge(self, queue: str, /) -> None:
        self._find_queue(queue).purge_tasks()

    async def stats(self, queue: str, /) -> QueueStats:
        if not self._queues:
            return QueueStats(queue=queue, paused=False, depth=0, oldest_at=None)
        return self._find_queue(queue).read_stats()

    async def close(self) -> None:
        """Deliver nothing more. The jobs of the tasks that wait are in the store."""
        self._closed = True
        for queue in self._queues.values():
            queue.close()

    def _add_task(self, task: Task, now: datetime) -> None:
        queue = self._find_queue(task.queue)
        if task.at is not None and task.at > now + _FARTHEST:
            raise QueueError(
                f"The task of {task.job_id} is due at {task.at:%Y-%m-%d}, which is too far in the "
                f"future: a queue takes tasks up to {_FARTHEST.days} days ahead."
            )
        queue.add_task(task, now.timestamp())

    def _find_queue(self, name: str) -> _Queue:
        queue = (self._queues or self._build_queues()).get(name)
        if queue is None:
            raise QueueError(
                f"Queue does not exist: {name!r} is not in infra/queues.yaml. "
                "scripts/declare-queues writes the queues of all job types into it."
            )
        return queue

    def _build_queues(self) -> Mapping[str, _Queue]:
        try:
            settings = self._read_settings()
        except (OSError, ValueError) as error:
            raise QueueError(f"The settings of the queues cannot be read: {error}") from error
        unthrottled = self._unthrottled
        self._queues = {
            name: _Queue(
                name,
                _widen(each) if unthrottled else each,
                self._clock,
                self._deliver,
                unthrottled=unthrottled,
            )
            for name, each in settings.items()
        }
        if self._closed:
            for queue in self._queues.values():
                queue.close()
        return self._queues


def _widen(settings: QueueSettings) -> QueueSettings:
    most = max(settings.max_concurrent_dispatches, _UNTHROTTLED_CONCURRENCY)
    return replace(settings, max_concurrent_dispatches=most)


class _TokenBucket:
    """A bucket that is full at the start and gains `rate` tokens a second."""

    __slots__ = ("_at", "_rate", "_size", "_tokens")

    def __init__(self, rate: float, size: int, now: float) -> None:
        self._rate = max(rate, 1e-9)
        self._size = float(size)
        self._tokens = self._size
        self._at = now

    def take_token(self, now: float) -> bool:
        """Take a token; return False if there is none."""
        # The machine's clock may be set back.
        gained = max(0.0, now - self._at) * self._rate
        self._tokens = min(self._size, self._tokens + gained)
        self._at = now
        if self._tokens < 1.0 - _TIMER_TOLERANCE * self._rate:
            return False
        self._tokens -= 1.0
        return True

    def ready_at(self) -> float:
        """Return the time of the next token, counted from the last `take_token`."""
        return self._at + max(0.0, 1.0 - self._tokens) / self._rate


class _QueuedTask(msgspec.Struct, eq=False):
    """A task that has not finished, with the history of its deliveries."""

    task: Task
    #: The time, in seconds since 1970, at which its next delivery is due.
    due: float
    dispatches: int = 0
    answers: int = 0
    first_dispatch: float = 0.0
    previous_response: int | None = None
    #: Purged while a delivery was running: its answer no longer matters.
    removed: bool = False


class _Dispatch(msgspec.Struct, eq=False):
    """A running delivery, until it is answered or its deadline has passed."""

    queued: _QueuedTask
    give_up_at: float
    run: asyncio.Task[None] | None = None


class _RecentNames:
    """A bounded set: the newest names, at least `size` and at most twice as many."""

    __slots__ = ("_newer", "_older", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._newer: set[str] = set()
        self._older: set[str] = set()

    def add(self, name: str) -> None:
        if len(self._newer) >= self._size:
            self._older, self._newer = self._newer, set()
        self._newer.add(name)

    def __contains__(self, name: str) -> bool:
        return name in self._newer or name in self._older


class _Queue:
    """The tasks of one queue: waiting, delivered, repeated. Used from one event loop."""

    def __init__(
        self,
        name: str,
        settings: QueueSettings,
        clock: Clock,
        deliver: Deliver,
        *,
        unthrottled: bool = False,
    ) -> None:
        self._name = name
        self._settings = settings
        self._clock = clock
        self._deliver = deliver
        self._bucket = (
            None
            if unthrottled
            else _TokenBucket(
                settings.max_dispatches_per_second, settings.max_burst_size, self._now()
            )
        )
        self._known: dict[str, _QueuedTask] = {}
        self._finished = _RecentNames(_FINISHED_NAMES)
        #: Tasks that are due, in the order in which they became due.
        self._ready: deque[_QueuedTask] = deque()
        #: Tasks that are due later: their time, a number for a stable order, the task.
        self._later: list[tuple[float, int, _QueuedTask]] = []
        self._number = 0
        self._dispatches: set[_Dispatch] = set()
        #: Deliveries past their deadline that have not ended; the loop itself holds no reference.
        self._abandoned: set[asyncio.Task[None]] = set()
        self._paused = False
        self._closed = False
        #: The timer of the next task that is due or of the next token, and its time.
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._deadline_timer: Timer | None = None

    def add_task(self, task: Task, now: float) -> None:
        """Add a task at the time `now`; one whose name waits, runs or has ended lately is here."""
        name = task.name
        if self._closed or name in self._known or name in self._finished:
            return
        due = now if task.at is None else max(now, task.at.timestamp())
        queued = self._known[name] = _QueuedTask(task, due)
        if due > now:
            self._wait_until_due(queued)
            return
        self._ready.append(queued)
        if len(self._ready) == 1:  # others wait for a slot or a token, and it waits behind them
            self._dispatch_due_tasks(now)

    def pause(self) -> None:
        """Start no deliveries until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Start deliveries again."""
        self._paused = False
        self._dispatch_due_tasks(self._now())

    def purge_tasks(self) -> None:
        """Remove all tasks. Running deliveries go on; their answers no longer matter."""
        for name, queued in self._known.items():
            queued.removed = True
            self._finished.add(name)
        self._known.clear()
        self._ready.clear()
        self._later.clear()

    def read_stats(self) -> QueueStats:
        """Read the state of the queue."""
        times = [self._ready[0].due] if self._ready else []
        times += [due for due, _, _ in self._later[:1]]
        return QueueStats(
            queue=self._name,
            paused=self._paused,
            depth=len(self._known),
            oldest_at=datetime.fromtimestamp(min(times), UTC) if times else None,
        )

    def close(self) -> None:
        """Start no more deliveries; running ones go on. Tasks added from now on are ignored."""
        self._closed = True
        for timer in (self._timer, self._deadline_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._deadline_timer = None

    def _now(self) -> float:
        return self._clock.now().timestamp()

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────

    def _wait_until_due(self, queued: _QueuedTask) -> None:
        self._number += 1
        heapq.heappush(self._later, (queued.due, self._number, queued))
        self._set_timer(queued.due)

    def _set_timer(self, at: float) -> None:
        """Check for due tasks at a time, or earlier."""
        if self._closed or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        wait = min(max(0.0, at - self._now()), _LONGEST_TIMER)
        self._timer = self._clock.call_later(wait, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._dispatch_due_tasks(self._now())

    def _dispatch_due_tasks(self, now: float) -> None:
        """Start due tasks as concurrency and rate allow; set a timer for the next."""
        if self._closed:
            return
        while self._later and self._later[0][0] <= now + _TIMER_TOLERANCE:
            self._ready.append(heapq.heappop(self._later)[2])
        while self._ready and self._has_capacity():
            if self._bucket is not None and not self._bucket.take_token(now):
                self._set_timer(self._bucket.ready_at())
                break
            self._start_dispatch(self._ready.popleft(), now)
        if self._later:
            self._set_timer(self._later[0][0])

    def _has_capacity(self) -> bool:
        limit = self._settings.max_concurrent_dispatches
        return not self._paused and len(self._dispatches) < limit

    # ── running ──────────────────────────────────────────────────────────────────────────────────

    def _start_dispatch(self, queued: _QueuedTask, now: float) -> None:
        delivery = Delivery(
            task=queued.task,
            retry_count=queued.dispatches,
            execution_count=queued.answers,
            due=queued.due,
            previous_response=queued.previous_response,
        )
        if queued.dispatches == 0:
            queued.first_dispatch = now
        queued.dispatches += 1
        dispatch = _Dispatch(queued, now + queued.task.deadline.total_seconds())
        self._dispatches.add(dispatch)
        dispatch.run = asyncio.get_running_loop().create_task(
            self._run_dispatch(dispatch, delivery)
        )
        if self._deadline_timer is None:
            self._set_deadline_timer(dispatch.give_up_at, now)

    async def _run_dispatch(self, dispatch: _Dispatch, delivery: Delivery) -> None:
        try:
            status = await self._deliver(delivery)
        except Exception:
            log.exception(
                "a delivery crashed; it is repeated after a back-off",
                extra={"action": "delivery_crashed", "job_id": delivery.task.job_id},
            )
            status = _CRASHED
        # Past its deadline it has been answered already, and the slot has been freed.
        if dispatch in self._dispatches:
            dispatch.queued.answers += 1
            self._finish_dispatch(dispatch, status)

    def _finish_dispatch(self, dispatch: _Dispatch, status: int) -> None:
        self._dispatches.discard(dispatch)
        queued = dispatch.queued
        if 200 <= status < 300:
            self._forget_task(queued)
        elif not queued.removed:
            queued.previous_response = status
            self._retry_task(queued)
        if self._ready:
            self._dispatch_due_tasks(self._now())

    def _forget_task(self, queued: _QueuedTask) -> None:
        if not queued.removed:
            name = queued.task.name
            del self._known[name]
            self._finished.add(name)

    def _retry_task(self, queued: _QueuedTask) -> None:
        """Deliver a failed task again after its back-off, or drop it after its last delivery."""
        now = self._now()
        if self._settings.is_exhausted(queued.dispatches, now - queued.first_dispatch):
            log.warning(
                "a task was dropped after its last delivery; the sweep sends another",
                extra={
                    "action": "task_exhausted",
                    "job_id": queued.task.job_id,
                    "queue": self._name,
                    "dispatches": queued.dispatches,
                },
            )
            self._forget_task(queued)
            return
        queued.due = now + self._settings.backoff_after(queued.dispatches)
        self._wait_until_due(queued)

    def _set_deadline_timer(self, at: float, now: float) -> None:
        wait = min(max(0.0, at - now), _LONGEST_TIMER)
        self._deadline_timer = self._clock.call_later(wait, self._abandon_late_dispatches)

    def _abandon_late_dispatches(self) -> None:
        """Free the slots of deliveries past their deadline, and deliver their tasks again.

        As at Cloud Tasks the handler is not stopped: a run ends by its own time-out, and the lease
        of its job decides between it and the repetition. One timer serves all deliveries.
        """
        now = self._now()
        # Set until the end: the next deliveries, which start here, leave it alone.
        late = now + _TIMER_TOLERANCE
        for dispatch in [each for each in self._dispatches if each.give_up_at <= late]:
            run = dispatch.run
            if run is not None:
                self._abandoned.add(run)
                run.add_done_callback(self._abandoned.discard)
            self._finish_dispatch(dispatch, _DEADLINE_PASSED)
        self._deadline_timer = None
        if self._dispatches:
            self._set_deadline_timer(min(each.give_up_at for each in self._dispatches), now)
