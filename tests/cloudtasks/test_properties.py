"""Any sequence of calls and restarts, against a model of live tasks and deliveries."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cloudtasks.worker import QUEUE, Bench, make_bench
from taskreel_cloud_tasks.api_errors import ApiError
from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.journal import SqliteJournal
from taskreel_cloud_tasks.messages import Queue, RateLimits, RetryConfig, State

T = TypeVar("T")

CONCURRENT = 3
CONFIG = EngineConfig(dedup_window=timedelta(days=3650))  # no name becomes free again
IDS = st.integers(0, 12).map(lambda number: f"t{number}")
LIMITS = RateLimits(max_dispatches_per_second=50, max_concurrent_dispatches=CONCURRENT)
RETRY = RetryConfig(min_backoff=SECOND, max_backoff=4 * SECOND, max_attempts=3)


class Life(RuleBasedStateMachine):
    """The engine beside a model of it: `waiting` has each live task's earliest time."""

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.bench: Bench = self.run(self.opened(VirtualClock()))
        self.waiting: dict[str, float] = {}
        self.ended: set[str] = set()
        self.removed: set[str] = set()
        self.delivered: Counter[str] = Counter()
        self.paused = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def opened(self, clock: VirtualClock) -> Bench:
        made = await make_bench(CONFIG, SqliteJournal(Path(self.folder.name) / "tasks.db"), clock)
        if made.engine.get_queue(QUEUE).rate_limits != LIMITS:
            await made.engine.update_queue(
                Queue(name=QUEUE, rate_limits=LIMITS, retry_config=RETRY)
            )
        return made

    def now(self) -> float:
        return self.bench.engine.clock.now() / SECOND

    def note_deliveries(self) -> None:
        """Apply the deliveries to the model; the worker answers 200 unless told to fail."""
        for at, request in self.bench.worker.sent:
            task = dict(request.headers)["X-CloudTasks-TaskName"]
            assert task not in self.removed
            assert task in self.waiting
            assert at >= self.waiting[task] - 1e-6
            self.delivered[task] += 1
        self.bench.worker.sent.clear()
        live = {entry.id for entry in self.bench.engine.list_tasks(QUEUE)}
        for task in self.waiting.keys() - live:
            assert self.delivered[task] >= 1
            del self.waiting[task]
            self.ended.add(task)

    @rule(task=IDS, delay=st.sampled_from([0, 0, 1, 30, 3600]))
    def create(self, task: str, delay: int) -> None:
        at = self.bench.engine.clock.now() + delay * SECOND
        taken = task in self.waiting or task in self.ended or task in self.removed
        with pytest.raises(ApiError, match="already exists") if taken else contextlib.nullcontext():
            self.run(self.bench.create(name=f"{QUEUE}/tasks/{task}", schedule_time=at))
            self.waiting[task] = at / SECOND
        self.run(self.bench.advance(0))
        self.note_deliveries()

    @rule(seconds=st.sampled_from([0.01, 1, 5, 60, 4000]))
    def pass_time(self, seconds: float) -> None:
        self.run(self.bench.advance(seconds))
        self.note_deliveries()

    @rule(count=st.integers(1, 4))
    def fail_the_next(self, count: int) -> None:
        self.bench.worker.answers.extend([500] * count)

    @rule()
    def pause(self) -> None:
        self.run(self.bench.engine.pause_queue(QUEUE))
        self.paused = True

    @rule()
    def resume(self) -> None:
        self.run(self.bench.engine.resume_queue(QUEUE))
        self.paused = False
        self.pass_time(0)

    @rule(task=IDS)
    def delete(self, task: str) -> None:
        with contextlib.suppress(ApiError):
            self.run(self.bench.engine.delete_task(f"{QUEUE}/tasks/{task}"))
            del self.waiting[task]
            self.removed.add(task)

    @rule(task=IDS)
    def run_by_hand(self, task: str) -> None:
        with contextlib.suppress(ApiError):
            self.run(self.hand(task))
            self.pass_time(0)

    async def hand(self, task: str) -> None:
        self.bench.engine.run_task(f"{QUEUE}/tasks/{task}")
        self.waiting[task] = min(self.waiting[task], self.now())

    @rule()
    def purge(self) -> None:
        self.run(self.bench.engine.purge_queue(QUEUE))
        self.removed |= self.waiting.keys()
        self.waiting.clear()

    @rule()
    def restart(self) -> None:
        clock, answers = VirtualClock(self.bench.engine.clock.now()), self.bench.worker.answers
        self.run(self.bench.engine.close(0))
        self.bench = self.run(self.opened(clock))
        self.bench.worker.answers = answers
        self.pass_time(0)

    @invariant()
    def the_model_holds(self) -> None:
        engine = self.bench.engine
        assert {entry.id for entry in engine.list_tasks(QUEUE)} == self.waiting.keys()
        assert self.bench.worker.most_running <= CONCURRENT + 1  # one may be run by hand
        assert (engine.get_queue(QUEUE).state is State.PAUSED) == self.paused
        assert all(count <= 3 + 2 for count in self.delivered.values())

    def teardown(self) -> None:
        if hasattr(self, "bench"):
            self.run(self.bench.engine.resume_queue(QUEUE))
            self.bench.worker.answers.clear()
            self.pass_time(4000)
            assert self.bench.engine.is_idle()
            self.run(self.bench.engine.close(0))
            self.folder.cleanup()
        self.loop.close()


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
