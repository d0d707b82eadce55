"""Runs that may outlast one delivery: Cloud Tasks waits for half an hour at most."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

from taskreel.app.jobs.enqueue import LONGEST_DELIVERY, renew_delivery
from taskreel.app.services import Services
from taskreel.domain.job import Job

log = logging.getLogger(__name__)


class Answer(Enum):
    """The answer to the queue."""

    #: Done, duplicate, ended, or a new task is scheduled: this task is finished.
    FINISHED = auto()
    #: Another run holds the lease, or this instance is stopping: deliver the task again.
    BUSY = auto()


@dataclass(slots=True)
class _LongRun:
    job: Job
    task: asyncio.Task[Answer]
    #: The deliveries that wait for the run now.
    deliveries: int = 0
    #: The tasks that were enqueued for it after the first one.
    renewals: int = 0


class LongRuns:
    """The runs of this process that go on when the delivery that began them ends.

    A delivery waits for its run, and ends before the queue gives it up; then another task takes its
    place. The run holds its lease by its own heartbeat, so that a delivery which meets another
    instance is refused there and repeated by the queue until it comes here or the run has ended.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._runs: dict[str, _LongRun] = {}

    def has_run(self, job: Job) -> bool:
        """True while the run that holds the job's lease is one of these."""
        run = self._runs.get(job.job_id)
        return run is not None and run.job.fence == job.fence

    def start(self, job: Job, run: Coroutine[Any, Any, Answer]) -> None:
        """Start a run of a job that has been claimed."""
        task = asyncio.create_task(run)
        # An earlier run of the job has lost its lease, and ends with its next heartbeat.
        started = self._runs[job.job_id] = _LongRun(job, task)
        task.add_done_callback(partial(self._remove, started))

    async def serve_delivery(self, job_id: str) -> Answer:
        """Wait for the end of the run, or as long as a delivery may take.

        Raises what the run raises. A delivery that is cut off leaves the run alone.
        """
        run = self._runs[job_id]
        run.deliveries += 1
        try:
            has_ended = await self._wait(run.task)
        finally:
            run.deliveries -= 1
        if has_ended:
            return run.task.result()
        if run.deliveries == 0:  # else a repeated delivery waits, and is renewed in its turn
            run.renewals += 1
            await renew_delivery(self._services, run.job, run.renewals)
        return Answer.FINISHED

    async def _wait(self, task: asyncio.Task[Answer]) -> bool:
        """True if the run ended while a delivery may take."""
        is_over = asyncio.Event()
        task.add_done_callback(lambda _: is_over.set())
        timer = self._services.clock.call_later(LONGEST_DELIVERY.total_seconds(), is_over.set)
        try:
            await is_over.wait()
        finally:
            timer.cancel()
        return task.done()

    def _remove(self, run: _LongRun, task: asyncio.Task[Answer]) -> None:
        job_id = run.job.job_id
        if self._runs.get(job_id) is run:
            del self._runs[job_id]
        if run.deliveries == 0 and not task.cancelled() and task.exception() is not None:
            # No delivery waits that would report it. The sweep goes on with the job.
            log.error(
                "a run failed between two deliveries; the sweep delivers its job again",
                exc_info=task.exception(),
                extra={"action": "run_failed", "job_id": job_id},
            )
