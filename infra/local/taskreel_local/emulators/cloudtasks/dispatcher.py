"""One queue at work: what waits, what is due, what runs, and what becomes of it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from taskreel_local.emulators.cloudtasks import message_codec
from taskreel_local.emulators.cloudtasks.attempt_outcome import AttemptOutcome, SystemThrottle
from taskreel_local.emulators.cloudtasks.clock import SECOND, Clock, Timer
from taskreel_local.emulators.cloudtasks.faults import NO_FAULTS, Faults
from taskreel_local.emulators.cloudtasks.history import (
    Delivery,
    EventKind,
    HandlerResponse,
    History,
    OutgoingRequest,
)
from taskreel_local.emulators.cloudtasks.http_client import SendError
from taskreel_local.emulators.cloudtasks.http_request import TokenIssuer, compose
from taskreel_local.emulators.cloudtasks.journal import Journal
from taskreel_local.emulators.cloudtasks.messages import (
    Queue,
    QueueStats,
    RateLimits,
    RetryConfig,
    State,
)
from taskreel_local.emulators.cloudtasks.pacing import RETENTION, TokenBucket, backoff, gives_up
from taskreel_local.emulators.cloudtasks.stored_task import StoredTask
from taskreel_local.emulators.cloudtasks.tombstones import Tombstones

_STARTS_AT_ONCE = 64
"""A turn of the loop starts no more dispatches, so that a burst does not hold up the doors."""


class Sender(Protocol):
    """Delivers requests."""

    async def send(self, request: OutgoingRequest) -> HandlerResponse:
        """One request, one answer; raises SendError without one. May be cancelled."""


@dataclass(slots=True, kw_only=True)
class EngineContext:
    """What the lanes of one engine share."""

    clock: Clock
    journal: Journal
    sender: Sender
    tokens: TokenIssuer
    history: History
    dedup_window: timedelta
    unthrottled: bool = False
    app_engine_url: str = ""
    faults: Faults = NO_FAULTS
    on_idle: Callable[[], None] = lambda: None


@dataclass(slots=True, eq=False)
class Run:
    """An attempt under way."""

    entry: StoredTask
    started: int
    retry_from: int | None
    """For RunTask, when it was called: a failure's wait is counted from then."""
    attempt: int
    request: OutgoingRequest | None = None
    task: asyncio.Task[None] | None = None
    timed_out: bool = False
    graced: bool = field(default=False)
    """Whether a virtual clock has given this attempt its share of real time."""


class QueueDispatcher:
    """A queue's tasks and their dispatch; every change is staged in the journal."""

    def __init__(self, queue: Queue, shared: EngineContext) -> None:
        self.queue = queue
        self.shared = shared
        self.tasks: dict[str, StoredTask] = {}
        self.tombstones = Tombstones(
            int(shared.dedup_window.total_seconds() * SECOND), self._forget_name
        )
        self.runs: set[Run] = set()
        self._heap: list[tuple[int, int, int, StoredTask]] = []
        self._dead = 0
        self._throttle = SystemThrottle()
        self._bucket = TokenBucket(*self._rate(), shared.clock.now())
        self._timer: Timer | None = None
        self._wake: int | None = None
        self._soon: asyncio.Handle | None = None
        self._closed = False
        self._recent = [0] * 60
        self._recent_at = 0

    @property
    def limits(self) -> RateLimits:
        """The queue's, always filled in."""
        return self.queue.rate_limits or RateLimits()

    @property
    def looking(self) -> bool:
        """Whether it is about to look at what is due."""
        return self._soon is not None

    def save(self) -> None:
        """Stage the queue itself."""
        self.shared.journal.put_queue(self.queue.name, message_codec.to_json(self.queue))

    def configure(self, queue: Queue) -> None:
        """Take new settings; the bucket keeps its tokens."""
        self.queue = queue
        self._retune()
        self.save()
        self.pump_soon()

    def add(self, entry: StoredTask) -> None:
        """Let a task in; it is dispatched no earlier than its creation is written."""
        self.tasks[entry.id] = entry
        self.shared.journal.put_task(self.queue.name, entry)
        self.shared.history.event(EventKind.CREATED, entry.create, self.queue.name, entry.id)
        self._schedule(entry, entry.schedule)

    def restore(self, entry: StoredTask) -> None:
        """Take back a task from the journal."""
        self.tasks[entry.id] = entry
        self._schedule(entry, entry.schedule)

    def end(self, entry: StoredTask, kind: EventKind, detail: str = "") -> None:
        """Remove a task for good; an attempt under way goes on, but nothing follows from it."""
        now = self.shared.clock.now()
        entry.gone = True
        self._dead += 1
        del self.tasks[entry.id]
        until = self.tombstones.bury(entry.id, now, named=entry.named)
        self.shared.journal.drop_task(self.queue.name, entry, until)
        self.shared.history.event(kind, now, self.queue.name, entry.id, detail)
        if not self.tasks:
            self.shared.on_idle()

    def purge(self) -> None:
        """Remove all tasks; Google takes up to a minute, here it is done at once."""
        now = self.shared.clock.now()
        for entry in list(self.tasks.values()):
            self.end(entry, EventKind.PURGED)
        self._heap.clear()
        self._dead = 0
        self.configure(replace(self.queue, purge_time=now))

    def run_now(self, entry: StoredTask) -> None:
        """RunTask: dispatch whatever the state, the rate or the concurrency say."""
        now = self.shared.clock.now()
        entry.schedule = now
        self._start(entry, now, retry_from=now)

    def drop_expired(self) -> None:
        """Remove what is past its retention; the oldest tasks come first in the table."""
        oldest = self.shared.clock.now() - RETENTION
        while self.tasks:
            entry = next(iter(self.tasks.values()))
            if entry.create > oldest:
                return
            self.end(entry, EventKind.EXPIRED)

    def stats(self) -> QueueStats:
        """The v2beta3 statistics: tasks waiting or running, and the oldest one's arrival."""
        self.drop_expired()
        self._tick()
        first = next(iter(self.tasks.values()), None)
        return QueueStats(
            tasks_count=len(self.tasks),
            oldest_estimated_arrival_time=first.create if first else None,
            executed_last_minute_count=sum(self._recent),
            concurrent_dispatches_count=len(self.runs),
            effective_execution_rate=self._rate()[0],
        )

    def close(self) -> None:
        """Start nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._soon is not None:
            self._soon.cancel()
        self._timer = self._soon = None
        self.tombstones.clear()

    def abandon(self) -> None:
        """Close, and cut off what is under way as if it had never been."""
        self.close()
        for run in self.runs:
            if run.task is not None:
                run.task.cancel()
        self.runs.clear()

    def _forget_name(self, task_id: str) -> None:
        self.shared.journal.put_tombstone(f"{self.queue.name}/tasks/{task_id}", None)

    # ── waiting ──────────────────────────────────────────────────────────────────────────────

    def pump_soon(self) -> None:
        """Look at what is due at the end of this turn of the loop."""
        if self._soon is None and not self._closed:
            self._soon = asyncio.get_running_loop().call_soon(self._pump)

    def _schedule(self, entry: StoredTask, when: int) -> None:
        entry.turn += 1
        late = self.shared.faults.late_s(entry.number, entry.dispatches)
        heapq.heappush(self._heap, (when + int(late * SECOND), entry.number, entry.turn, entry))
        if self._dead > 1000 and self._dead * 2 > len(self._heap):
            self._compact()
        self.pump_soon()

    def _compact(self) -> None:
        self._heap = [item for item in self._heap if item[2] == item[3].turn and not item[3].gone]
        heapq.heapify(self._heap)
        self._dead = 0

    def _pump(self) -> None:
        """Start what is due, as far as state, concurrency and rate allow; sleep until the next thing can happen."""
        self._soon = None
        self.shared.journal.flush()
        now = self.shared.clock.now()
        for _ in range(_STARTS_AT_ONCE):
            wake = self._next_wake(now)
            if wake is None or wake > now:
                self._sleep_until(wake)
                return
            self._start(heapq.heappop(self._heap)[3], now)
        self.pump_soon()

    def _next_wake(self, now: int) -> int | None:
        """When the next task may start: now (a token is then taken), later, or when something changes (None)."""
        if not self._open():
            return None
        while self._heap and (self._heap[0][3].gone or self._heap[0][2] != self._heap[0][3].turn):
            heapq.heappop(self._heap)
            self._dead -= 1
        if not self._heap:
            return None
        due = self._heap[0][0]
        if due > now or self.shared.unthrottled or self._bucket.take(now):
            return due
        return self._bucket.ready_at()

    def _open(self) -> bool:
        return (
            self.queue.state is State.RUNNING
            and len(self.runs) < self.limits.max_concurrent_dispatches
        )

    def _sleep_until(self, wake: int | None) -> None:
        if self._timer is not None and (wake is None or wake != self._wake):
            self._timer.cancel()
            self._timer = None
        if wake is not None and self._timer is None:
            self._wake = wake
            self._timer = self.shared.clock.call_at(wake, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self._pump()

    # ── running ──────────────────────────────────────────────────────────────────────────────

    def _start(self, entry: StoredTask, now: int, retry_from: int | None = None) -> None:
        if now - entry.create > RETENTION:
            self.end(entry, EventKind.EXPIRED)
            return
        run = Run(entry, now, retry_from, entry.dispatches)
        error = self._prepare(run)
        entry.turn += 1
        entry.dispatches += 1
        entry.running += 1
        entry.first = now if entry.first is None else entry.first
        entry.last_schedule, entry.last_dispatch = entry.schedule, now
        entry.last_response = entry.last_status = None
        self.runs.add(run)
        self.shared.history.event(EventKind.DISPATCHED, now, self.queue.name, entry.id)
        run.task = asyncio.get_running_loop().create_task(self._attempt(run, error))

    def _prepare(self, run: Run) -> str:
        """Compose the request; what cannot be sent fails like a lost connection, with this error."""
        shared = self.shared
        try:
            run.request = compose(self.queue, run.entry, shared.tokens, shared.app_engine_url)
        except ValueError as error:
            return f"the request cannot be composed: {error}"
        if shared.faults.hits("lose_before", run.entry.number, run.attempt):
            return "the connection was lost before the handler ran (fault)"
        return ""

    async def _attempt(self, run: Run, error: str) -> None:
        outcome = AttemptOutcome(error=error) if error else await self._deliver(run)
        lost = outcome.reply is not None and self.shared.faults.hits(
            "lose_after", run.entry.number, run.attempt
        )
        if lost:
            outcome = AttemptOutcome(error="the connection was lost after the handler ran (fault)")
        self._settle(run, outcome)

    async def _deliver(self, run: Run) -> AttemptOutcome:
        clock = self.shared.clock
        assert run.request is not None  # noqa: S101 (_prepare composed it)
        timer = clock.call_at(run.started + run.entry.deadline, lambda: _time_out(run))
        try:
            return AttemptOutcome(await self.shared.sender.send(run.request))
        except SendError as error:
            return AttemptOutcome(error=str(error))
        except asyncio.CancelledError:
            if not run.timed_out:
                raise
            return AttemptOutcome(error="the dispatch deadline passed", timed_out=True)
        finally:
            timer.cancel()

    def _settle(self, run: Run, outcome: AttemptOutcome) -> None:
        now = self.shared.clock.now()
        entry = run.entry
        self.runs.discard(run)
        entry.running -= 1
        self._tick()
        self._recent[-1] += 1
        self._record(run, outcome, now)
        self._adjust(outcome, now)
        if not entry.gone:
            self._conclude(run, outcome, now)
        elif not self.tasks:
            self.shared.on_idle()
        self.pump_soon()

    def _conclude(self, run: Run, outcome: AttemptOutcome, now: int) -> None:
        entry = run.entry
        entry.last_response, entry.last_status = now, outcome.status()
        entry.responses += outcome.reply is not None
        if outcome.succeeded:
            self.end(entry, EventKind.SUCCEEDED)
            if self.shared.faults.hits("duplicate", entry.number, run.attempt):
                self._repeat(run)
            return
        self._failed(run, outcome, now)

    def _failed(self, run: Run, outcome: AttemptOutcome, now: int) -> None:
        entry = run.entry
        entry.failures += 1
        entry.executions += outcome.counts_as_execution
        entry.previous = outcome.http_status
        config = entry.retry or self.queue.retry_config or RetryConfig()
        detail = outcome.status().message
        self.shared.history.event(EventKind.FAILED, now, self.queue.name, entry.id, detail)
        if gives_up(config, entry.dispatches, now - (entry.first or now)):
            self.end(entry, EventKind.EXHAUSTED, detail)
            return
        wait = max(backoff(config, entry.failures), outcome.retry_after(now))
        entry.schedule = (run.retry_from or now) + wait
        self.shared.journal.put_task(self.queue.name, entry)
        self._schedule(entry, entry.schedule)

    def _repeat(self, run: Run) -> None:
        """The duplicate fault: the same request again, from a task that is already gone."""
        again = Run(run.entry, self.shared.clock.now(), None, run.attempt, run.request)
        run.entry.running += 1
        self.runs.add(again)
        again.task = asyncio.get_running_loop().create_task(self._attempt(again, ""))

    def _record(self, run: Run, outcome: AttemptOutcome, now: int) -> None:
        if run.request is not None:
            done = Delivery(
                self.queue.name,
                run.entry.id,
                run.attempt,
                run.started,
                now,
                run.request,
                outcome.reply,
                outcome.error,
            )
            self.shared.history.deliveries.append(done)

    # ── pacing ───────────────────────────────────────────────────────────────────────────────

    def _rate(self) -> tuple[float, int]:
        limits = self.limits
        return limits.max_dispatches_per_second * self._throttle.factor, limits.max_burst_size

    def _retune(self) -> None:
        self._bucket.set_rate(*self._rate(), self.shared.clock.now())

    def _adjust(self, outcome: AttemptOutcome, now: int) -> None:
        changed = self._throttle.slow_down(now) if outcome.overloaded else False
        if outcome.succeeded:
            changed = self._throttle.speed_up()
        if changed:
            self._retune()

    def _tick(self) -> None:
        """Move the per-second counts of finished attempts on."""
        second = self.shared.clock.now() // SECOND
        passed = min(second - self._recent_at, 60)
        if passed > 0:
            self._recent = self._recent[passed:] + [0] * passed
            self._recent_at = second


def _time_out(run: Run) -> None:
    if run.task is not None:
        run.timed_out = True
        run.task.cancel()
