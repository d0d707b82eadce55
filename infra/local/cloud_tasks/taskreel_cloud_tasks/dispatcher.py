"""The dispatcher of one queue: waiting tasks, running attempts, retries and rate limits."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from taskreel_cloud_tasks.attempt_outcome import AttemptOutcome
from taskreel_cloud_tasks.attempt_run import AttemptRun, AttemptTimes
from taskreel_cloud_tasks.clock import SECOND, Timer
from taskreel_cloud_tasks.delivery_history import Delivery, EventKind
from taskreel_cloud_tasks.engine_context import EngineContext
from taskreel_cloud_tasks.http_client import SendError, ShortageError
from taskreel_cloud_tasks.http_request import build_request
from taskreel_cloud_tasks.journal import queue_to_journal
from taskreel_cloud_tasks.messages import (
    AppEngineHttpRequest,
    Queue,
    QueueStats,
    RateLimits,
    RetryConfig,
    State,
)
from taskreel_cloud_tasks.pacing import RETENTION, backoff_after, is_exhausted
from taskreel_cloud_tasks.queue_rate import MinuteCount, QueueRate
from taskreel_cloud_tasks.stored_task import StoredTask
from taskreel_cloud_tasks.task_schedule import TaskSchedule
from taskreel_cloud_tasks.tombstones import Tombstones

_STARTS_AT_ONCE = 16
"""Most dispatches of a queue that are started before other queues have their turn."""


class QueueDispatcher:
    """A queue's tasks and their dispatch. Every change is staged in the journal."""

    def __init__(self, queue: Queue, context: EngineContext) -> None:
        self.queue = queue
        self.context = context
        self.tasks: dict[str, StoredTask] = {}
        self.tombstones = Tombstones(_window_of(queue, context), self._forget_task_name)
        self.runs: set[AttemptRun] = set()
        self._schedule = TaskSchedule()
        self._rate = QueueRate(self.rate_limits, context.clock.now())
        self._finished = MinuteCount()
        self._timer: Timer | None = None
        self._wake_time: int | None = None
        self._dispatch_handle: asyncio.Handle | None = None
        self._closed = False

    @property
    def rate_limits(self) -> RateLimits:
        """The queue's rate limits, with every field set."""
        return self.queue.rate_limits or RateLimits()

    @property
    def _retention(self) -> int:
        return RETENTION if self.queue.task_ttl is None else self.queue.task_ttl

    @property
    def has_pending_dispatch(self) -> bool:
        """True if a check for due tasks is scheduled in the event loop."""
        return self._dispatch_handle is not None

    def save_queue(self) -> None:
        """Stage the queue's settings in the journal."""
        self.context.journal.put_queue(self.queue.name, queue_to_journal(self.queue))

    def update_settings(self, queue: Queue) -> None:
        """Apply new settings; the token bucket retains its tokens."""
        self.queue = queue
        self.tombstones.window = _window_of(queue, self.context)
        self._rate.set_limits(self.rate_limits, self.context.clock.now())
        self.save_queue()
        self.schedule_dispatch()

    def add_task(self, stored: StoredTask) -> None:
        """Add a new task. It is dispatched only after its creation is written to the journal."""
        self.tasks[stored.id] = stored
        self.context.journal.put_task(self.queue.name, stored)
        self.context.history.record_event(
            EventKind.CREATED, stored.create, self.queue.name, stored.id
        )
        self._schedule_task(stored, stored.schedule)

    def restore_task(self, stored: StoredTask) -> None:
        """Add a task that was loaded from the journal."""
        self.tasks[stored.id] = stored
        self._schedule_task(stored, stored.schedule)

    def remove_task(self, stored: StoredTask, kind: EventKind, detail: str = "") -> None:
        """Remove a task for good. A running attempt goes on, but its outcome is ignored."""
        now = self.context.clock.now()
        stored.removed = True
        self._schedule.count_removed()
        del self.tasks[stored.id]
        until = self.tombstones.add_name(stored.id, now, named=stored.named)
        self.context.journal.drop_task(self.queue.name, stored, until)
        self.context.history.record_event(kind, now, self.queue.name, stored.id, detail)
        if not self.tasks:
            self.context.on_idle()

    def purge_tasks(self) -> None:
        """Remove all tasks at once (Google takes up to a minute)."""
        now = self.context.clock.now()
        for stored in list(self.tasks.values()):
            self.remove_task(stored, EventKind.PURGED)
        self._schedule.clear()
        self.update_settings(replace(self.queue, purge_time=now))

    def run_now(self, stored: StoredTask) -> None:
        """RunTask: dispatch regardless of state, rate and concurrency."""
        now = self.context.clock.now()
        stored.schedule = now
        self._start_attempt(stored, now, retry_from=now)

    def drop_expired_tasks(self) -> None:
        """Remove tasks past their retention; `tasks` is ordered by creation, the oldest first."""
        oldest = self.context.clock.now() - self._retention
        while self.tasks:
            stored = next(iter(self.tasks.values()))
            if stored.create > oldest:
                return
            self.remove_task(stored, EventKind.EXPIRED)

    def compute_stats(self) -> QueueStats:
        """Return the v2beta3 statistics: the counts, and the time of the next waiting task.

        As Google documents it, the oldest arrival is the nearest time at which a task is scheduled
        to run; it is in the past while tasks wait for their turn.
        """
        self.drop_expired_tasks()
        return QueueStats(
            tasks_count=len(self.tasks),
            oldest_estimated_arrival_time=self._schedule.next_due(),
            executed_last_minute_count=self._finished.total(self.context.clock.now()),
            concurrent_dispatches_count=len(self.runs),
            effective_execution_rate=self._rate.per_second,
        )

    def close(self) -> None:
        """Start no more attempts."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._dispatch_handle is not None:
            self._dispatch_handle.cancel()
        self._timer = self._dispatch_handle = None
        self.context.slots.forget(self.schedule_dispatch)
        self.tombstones.clear()

    def cancel_attempts(self) -> None:
        """Close, and cancel running attempts without recording an outcome."""
        self.close()
        for run in self.runs:
            if run.task is not None:
                run.task.cancel()
            self.context.slots.free()
        self.runs.clear()

    def _forget_task_name(self, task_id: str) -> None:
        self.context.journal.put_tombstone(f"{self.queue.name}/tasks/{task_id}", None)

    # ── waiting ──────────────────────────────────────────────────────────────────────────────

    def schedule_dispatch(self) -> None:
        """Check for due tasks at the end of this turn of the event loop."""
        if self._dispatch_handle is None and not self._closed:
            self._dispatch_handle = asyncio.get_running_loop().call_soon(self._dispatch_due_tasks)

    def _schedule_task(self, stored: StoredTask, when: int) -> None:
        late = self.context.faults.extra_delay_s(stored.number, stored.dispatches)
        when += int(late * SECOND)
        self._schedule.add(stored, when)
        # A timer at that time or before it reads the schedule anyway.
        if self._timer is None or self._wake_time is None or when < self._wake_time:
            self.schedule_dispatch()

    def _dispatch_due_tasks(self) -> None:
        """Start due tasks as state, concurrency and rate allow; set a timer for the next."""
        self._dispatch_handle = None
        self.context.journal.flush()
        now = self.context.clock.now()
        for _ in range(_STARTS_AT_ONCE):
            if not self.context.slots.has_turn():
                break
            wake = self._next_wake_time(now)
            if wake is None or wake > now:
                self._sleep_until(wake)
                return
            self._start_attempt(self._schedule.take_first(), now)
            self.context.slots.use_turn()
        self.schedule_dispatch()

    def _next_wake_time(self, now: int) -> int | None:
        """Return the time at which the next task may start, None if only a change can start one.

        If that time is `now`, a token has been taken from the bucket.
        """
        if not self._has_capacity():
            return None
        due = self._schedule.next_due()
        if due is None:
            return None
        if due <= now and not self.context.slots.has_free_slot(self.schedule_dispatch):
            return None
        if due > now or self.context.unthrottled or self._rate.bucket.take_token(now):
            return due
        return self._rate.bucket.ready_at()

    def _has_capacity(self) -> bool:
        return (
            self.queue.state is State.RUNNING
            and len(self.runs) < self.rate_limits.max_concurrent_dispatches
        )

    def _sleep_until(self, wake: int | None) -> None:
        if self._timer is not None and (wake is None or wake != self._wake_time):
            self._timer.cancel()
            self._timer = None
        if wake is not None and self._timer is None:
            self._wake_time = wake
            self._timer = self.context.clock.call_at(wake, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._dispatch_due_tasks()

    # ── running ──────────────────────────────────────────────────────────────────────────────

    def _start_attempt(self, stored: StoredTask, now: int, retry_from: int | None = None) -> None:
        if now - stored.create > self._retention:
            self.remove_task(stored, EventKind.EXPIRED)
            return
        run = AttemptRun(stored, now, retry_from, stored.dispatches, AttemptTimes.of(stored))
        error = self._build_request(run)
        self.context.slots.take()
        stored.schedule_version += 1
        stored.dispatches += 1
        stored.running += 1
        stored.first_dispatch = now if stored.first_dispatch is None else stored.first_dispatch
        stored.last_schedule, stored.last_dispatch = stored.schedule, now
        stored.last_response = stored.last_status = None
        self.runs.add(run)
        self.context.history.record_event(EventKind.DISPATCHED, now, self.queue.name, stored.id)
        run.task = asyncio.get_running_loop().create_task(self._run_attempt(run, error))

    def _build_request(self, run: AttemptRun) -> str:
        """Build the HTTP request; return an error text if the attempt fails before it is sent."""
        context = self.context
        try:
            run.request = build_request(
                self.queue, run.stored, context.tokens, context.app_engine_url
            )
        except ValueError as error:
            return f"the request cannot be composed: {error}"
        if context.faults.should_inject("lose_before", run.stored.number, run.attempt):
            return "the connection was lost before the handler ran (fault)"
        return ""

    async def _run_attempt(self, run: AttemptRun, error: str) -> None:
        try:
            outcome = AttemptOutcome(error=error) if error else await self._send_request(run)
        except ShortageError as shortage:
            self._take_back_attempt(run, str(shortage))
            return
        lost = outcome.response is not None and self.context.faults.should_inject(
            "lose_after", run.stored.number, run.attempt
        )
        if lost:
            outcome = AttemptOutcome(error="the connection was lost after the handler ran (fault)")
        self._finish_attempt(run, outcome)

    async def _send_request(self, run: AttemptRun) -> AttemptOutcome:
        clock = self.context.clock
        assert run.request is not None  # noqa: S101 (_build_request composed it)
        timer = clock.call_at(run.started + run.stored.deadline, lambda: _time_out(run))
        try:
            return AttemptOutcome(await self.context.sender.send(run.request))
        except ShortageError:
            raise
        except SendError as error:
            return AttemptOutcome(error=str(error))
        except asyncio.CancelledError:
            if not run.timed_out:
                raise
            return AttemptOutcome(error="the dispatch deadline passed", timed_out=True)
        finally:
            timer.cancel()

    def _take_back_attempt(self, run: AttemptRun, detail: str) -> None:
        """Undo the start of an attempt that a shortage of this machine ended; it comes again.

        The handler saw nothing, so the attempt counts nowhere: neither for `max_attempts` nor in
        the headers of the next one.
        """
        now = self.context.clock.now()
        again_at = self.context.slots.free_after_shortage(detail)
        stored = run.stored
        self.runs.discard(run)
        stored.running -= 1
        if stored.removed:
            if not self.tasks:
                self.context.on_idle()
            return
        stored.dispatches -= 1
        if not stored.running:
            run.before.restore(stored)
        self.context.history.record_event(
            EventKind.POSTPONED, now, self.queue.name, stored.id, detail
        )
        if run.retry_from is None:
            self._schedule_task(stored, again_at)
        else:
            self.context.clock.call_at(again_at, lambda: self._run_again(run))

    def _run_again(self, run: AttemptRun) -> None:
        """Repeat a RunTask that a shortage ended: it is dispatched even from a paused queue."""
        if not self._closed and not run.stored.removed:
            self._start_attempt(run.stored, self.context.clock.now(), run.retry_from)

    def _finish_attempt(self, run: AttemptRun, outcome: AttemptOutcome) -> None:
        now = self.context.clock.now()
        stored = run.stored
        self.runs.discard(run)
        self.context.slots.free()
        stored.running -= 1
        self._finished.add(now)
        self._record_delivery(run, outcome, now)
        app_engine = isinstance(stored.request, AppEngineHttpRequest)
        self._rate.adjust(outcome, now, app_engine=app_engine)
        if not stored.removed:
            self._apply_outcome(run, outcome, now)
        elif not self.tasks:
            self.context.on_idle()
        self.schedule_dispatch()

    def _apply_outcome(self, run: AttemptRun, outcome: AttemptOutcome, now: int) -> None:
        stored = run.stored
        stored.last_response, stored.last_status = now, outcome.to_status()
        stored.responses += outcome.response is not None
        if outcome.succeeded:
            self.remove_task(stored, EventKind.SUCCEEDED)
            if self.context.faults.should_inject("duplicate", stored.number, run.attempt):
                self._deliver_again(run)
            return
        self._handle_failure(run, outcome, now)

    def _handle_failure(self, run: AttemptRun, outcome: AttemptOutcome, now: int) -> None:
        stored = run.stored
        stored.failures += 1
        stored.executions += outcome.counts_as_execution
        stored.previous_status = outcome.http_status
        config = stored.retry or self.queue.retry_config or RetryConfig()
        detail = outcome.to_status().message
        self.context.history.record_event(EventKind.FAILED, now, self.queue.name, stored.id, detail)
        if is_exhausted(config, stored.dispatches, now - (stored.first_dispatch or now)):
            self.remove_task(stored, EventKind.EXHAUSTED, detail)
            return
        wait = max(backoff_after(config, stored.failures), outcome.retry_after_micros(now))
        stored.schedule = (run.retry_from or now) + wait
        self.context.journal.put_task(self.queue.name, stored)
        self._schedule_task(stored, stored.schedule)

    def _deliver_again(self, run: AttemptRun) -> None:
        """Deliver the same request once more after success (fault `duplicate`)."""
        again = AttemptRun(
            run.stored, self.context.clock.now(), None, run.attempt, run.before, run.request
        )
        run.stored.running += 1
        self.context.slots.take()
        self.runs.add(again)
        again.task = asyncio.get_running_loop().create_task(self._run_attempt(again, ""))

    def _record_delivery(self, run: AttemptRun, outcome: AttemptOutcome, now: int) -> None:
        if run.request is not None:
            done = Delivery(
                self.queue.name,
                run.stored.id,
                run.attempt,
                run.started,
                now,
                run.request,
                outcome.response,
                outcome.error,
            )
            self.context.history.record_delivery(done)


def _window_of(queue: Queue, context: EngineContext) -> int:
    """Return how long the names of finished tasks stay reserved, in microseconds."""
    if queue.tombstone_ttl is not None:
        return queue.tombstone_ttl
    return int(context.dedup_window.total_seconds() * SECOND)


def _time_out(run: AttemptRun) -> None:
    if run.task is not None:
        run.timed_out = True
        run.task.cancel()
