"""Run a job: claim it in a transaction, work under a lease, settle in one more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from taskreel.app.jobs.cancel_operations import clean_up
from taskreel.app.jobs.finish_job import end
from taskreel.app.jobs.job_ended import notify_job_ended
from taskreel.app.jobs.job_run import Run
from taskreel.app.jobs.job_store import load_job
from taskreel.app.pipelines.pipeline_run import Advance
from taskreel.app.services import Services
from taskreel.domain.claim import Claim, Verdict, claim_job, decide_claim, next_wake_at
from taskreel.domain.errors import LeaseLostError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Transaction

log = logging.getLogger(__name__)


class Answer(Enum):
    """What the queue is told."""

    #: Done, duplicate, ended, or a new task is scheduled: this task is finished.
    FINISHED = auto()
    #: Another run holds the lease, or this instance is stopping: ask again.
    BUSY = auto()


class Processor:
    """Runs jobs; `stop` gives every lease back."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = False

    async def process(self, job_id: str) -> Answer:
        """One delivery. Safe to repeat, at any time, in any order."""
        if self._stopping:
            return Answer.BUSY
        before, job, verdict = await self._services.store.transaction(
            lambda tx: _claim(self._services, tx, job_id)
        )
        if before is None or job is None:
            return Answer.FINISHED
        match verdict:
            case Verdict.BUSY:
                return Answer.BUSY
            case Verdict.END:
                await notify_job_ended(self._services, job)
            case Verdict.CLEAN_UP:
                await clean_up(self._services, job)
            case Verdict.RUN:
                return await self._run(before, job)
            case Verdict.IGNORE:
                pass
        return Answer.FINISHED

    async def stop(self) -> None:
        """Give every lease back, so that the next delivery of each job may run at once."""
        self._stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, before: Job, job: Job) -> Answer:
        pipeline = JOB_TYPES[job.job_type].pipeline is not None
        runner: Advance | Run = (Advance if pipeline else Run)(self._services, job)
        run = asyncio.ensure_future(runner.go())
        self._running.add(run)
        try:
            await run
        except LeaseLostError:
            log.info("lease lost", extra={"action": "lease_lost", "job_id": job.job_id})
        except asyncio.CancelledError:
            await _give_back(self._services, before, job, runner.units)
            if not self._stopping:
                raise
            return Answer.BUSY
        finally:
            self._running.discard(run)
        return Answer.FINISHED


async def _claim(
    services: Services, tx: Transaction, job_id: str
) -> tuple[Job | None, Job | None, Verdict]:
    """The job as it was, as it is now, and what that means for the delivery."""
    before = await load_job(tx, job_id)
    if before is None:
        return None, None, Verdict.IGNORE
    now = services.clock.now()
    claim = decide_claim(before, now)
    match claim:
        case Claim(Verdict.END, Status() as status, error):
            return before, end(tx, before, status, now, error=error), claim.verdict
        case Claim(Verdict.RUN):
            job = claim_job(before, now, services.rules.lease)
            tx.set("jobs", job_id, job.document())
            return before, job, claim.verdict
        case _:
            return before, before, claim.verdict


async def _give_back(services: Services, before: Job, job: Job, units: Sequence[UnitRun]) -> None:
    """End a run: nobody holds the job, what was bought is kept, and a run that came to nothing was no attempt."""

    async def release(tx: Transaction) -> None:
        held = await load_job(tx, job.job_id)
        if held is None or held.fence != job.fence:
            return
        now = services.clock.now()
        attempt = before.attempt if tuple(units) == job.units else job.attempt
        released = held.enter_status(
            Status.QUEUED,
            now,
            attempt=attempt,
            fence=held.fence + 1,
            lease_until=None,
            units=tuple(units),
            wake_at=next_wake_at(held, now + services.rules.rescue_after),
        )
        tx.set("jobs", job.job_id, released.document())

    await services.store.transaction(release)
