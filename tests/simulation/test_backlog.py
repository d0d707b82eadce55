"""A backlog on the virtual clock: a task that waits its turn is not a lost one.

The queue here delivers ten tasks a second, the oldest first, as a deployed one does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from nightly_tests import skip_by_day
from simulation.chaos import Chaos, ManualQueue
from taskreel.app.caller import Caller
from taskreel.app.credits.grants import GrantOrder, grant_credits
from taskreel.app.jobs.submit import JobRequest, submit_job
from taskreel.app.worker.sweep import sweep_jobs
from taskreel.domain.job import Job
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Clock, QueueStats, Task
from taskreel.store_collections import JOBS

IMAGE = JOB_TYPES["image-generation"]
PER_SECOND = 10


@dataclass
class RatedQueue(ManualQueue):
    """A queue that knows since when each task waits."""

    clock: Clock = field(kw_only=True)
    line: deque[tuple[datetime, Task]] = field(default_factory=deque)
    stats_calls: int = 0

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        for task in tasks:
            await self.enqueue(task)

    async def enqueue(self, task: Task, /) -> None:
        self.line.append((self.clock.now(), task))

    async def stats(self, queue: str, /) -> QueueStats:
        self.stats_calls += 1
        oldest_at = self.line[0][0] if self.line else None
        return QueueStats(queue=queue, paused=False, depth=len(self.line), oldest_at=oldest_at)


@dataclass
class Backlog:
    """The system, with its deliveries counted."""

    world: Chaos
    queue: RatedQueue
    delivered: int = 0
    sweeps: int = 0

    def submit(self, user: str, count: int) -> None:
        caller = Caller(user_id=user)
        grant = grant_credits(
            self.world.services, user, GrantOrder(amount=count, reason=None, granted_by="root")
        )
        self.world.do(grant)
        submission = IMAGE.submission.model_validate({"prompt": "a kite"})
        request = JobRequest(job_type=IMAGE, submission=submission)

        async def submit_all() -> None:
            for _ in range(count):
                await submit_job(self.world.services, caller, request)

        self.world.do(submit_all())

    def run_second(self) -> None:
        """Deliver what the rate allows in a second; sweep once a minute."""
        self.world.advance(1)
        for _ in range(min(PER_SECOND, len(self.queue.line))):
            self.world.deliver(self.queue.line.popleft()[1])
            self.delivered += 1
        elapsed = self.world.now() - datetime(2026, 1, 1, tzinfo=self.world.now().tzinfo)
        if int(elapsed.total_seconds()) % 60 == 0:
            self.world.do(sweep_jobs(self.world.services))
            self.sweeps += 1

    def open_jobs(self) -> list[Job]:
        return [job for job in self.world.jobs() if not job.status.final]


@pytest.fixture
def backlog(tmp_path: Path) -> Iterator[Backlog]:
    world = Chaos(tmp_path)
    queue = RatedQueue(clock=world.clock)
    world.use_queue(queue)
    yield Backlog(world, queue)
    world.close()


@pytest.mark.parametrize(
    "count",
    [3000, pytest.param(6000, marks=[pytest.mark.slow, skip_by_day("the same for longer")])],
)
def test_a_backlog_does_not_double_itself(count: int, backlog: Backlog) -> None:
    backlog.submit("ada", count)
    for _ in range(count // PER_SECOND):
        backlog.run_second()
    assert backlog.open_jobs() == []
    assert backlog.delivered <= 1.05 * count
    assert len(backlog.queue.line) == 0
    # One call for one queue, however many of its jobs are overdue.
    assert backlog.queue.stats_calls <= backlog.sweeps

    backlog.submit("newcomer", 1)
    backlog.run_second()
    assert backlog.open_jobs() == []


def test_a_task_that_was_lost_in_a_backlog_is_sent_again(backlog: Backlog) -> None:
    backlog.submit("ada", 2000)
    del backlog.queue.line[1000]
    for _ in range(200 + 250):
        backlog.run_second()
    assert backlog.open_jobs() == []
    assert backlog.delivered == 2000


def test_polls_and_retries_do_not_put_off_a_rescue(backlog: Backlog) -> None:
    """A task that is lost late in a job's life is missed as soon as the first one."""
    backlog.submit("ada", 1)
    (job,) = backlog.open_jobs()
    polled = job.with_changes(job.updated_at, delivery=12)

    async def store() -> None:
        async def write(tx: object) -> None:
            tx.set(JOBS, job.job_id, polled)  # type: ignore[attr-defined]

        await backlog.world.store.transaction(write)

    backlog.world.do(store())
    for lost in range(2):
        backlog.queue.line.clear()
        before = backlog.world.now()
        while not backlog.queue.line:
            backlog.world.advance(10)
            backlog.world.do(sweep_jobs(backlog.world.services))
        assert backlog.world.now() - before <= timedelta(minutes=2 * 2**lost, seconds=10)
