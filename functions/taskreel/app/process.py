"""Run a job: claim it in a transaction, work under a lease, settle in one more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any

from taskreel.app.advance import Advance
from taskreel.app.children import after_end
from taskreel.app.lease import Together, still_held
from taskreel.app.read import as_job
from taskreel.app.sending import send
from taskreel.app.services import Services
from taskreel.app.serving import served_by
from taskreel.app.settle import end
from taskreel.app.work import Work
from taskreel.domain.claim import Claim, Verdict, alarm, claimed, decide
from taskreel.domain.errors import Category, LeaseLostError, RunError
from taskreel.domain.job import Job, Status, UnitRun
from taskreel.domain.outcome import Again, Completed, Failed, Outcome, decide_outcome
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Transaction

log = logging.getLogger(__name__)

#: A document takes about one write a second.
_TICK_SECONDS = 1.0


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
        job, verdict = await self._services.store.transaction(lambda tx: _claim(self._services, tx, job_id))
        match verdict:
            case Verdict.BUSY:
                return Answer.BUSY
            case Verdict.END if job is not None:
                await after_end(self._services, job)
            case Verdict.CLEAN_UP if job is not None:
                await _clean_up(self._services, job)
            case Verdict.RUN if job is not None:
                return await self._run(job)
            case _:
                pass
        return Answer.FINISHED

    async def stop(self) -> None:
        """Give every lease back, so that the next delivery of each job may run at once."""
        self._stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, job: Job) -> Answer:
        pipeline = JOB_TYPES[job.job_type].pipeline is not None
        runner: Advance | _Run = (Advance if pipeline else _Run)(self._services, job)
        run = asyncio.ensure_future(runner.go())
        self._running.add(run)
        try:
            await run
        except LeaseLostError:
            log.info("lease lost", extra={"action": "lease_lost", "job_id": job.job_id})
            if isinstance(runner, _Run):
                await runner.abandon()
        except asyncio.CancelledError:
            await _give_back(self._services, job, runner.units if isinstance(runner, _Run) else job.units)
            if not self._stopping:
                raise
            return Answer.BUSY
        finally:
            self._running.discard(run)
        return Answer.FINISHED


async def _claim(services: Services, tx: Transaction, job_id: str) -> tuple[Job | None, Verdict]:
    job = as_job(await tx.get("jobs", job_id))
    if job is None:
        return None, Verdict.IGNORE
    now = services.clock.now()
    claim = decide(job, now)
    match claim:
        case Claim(Verdict.END, Status() as status, error):
            job = end(tx, job, status, now, error=error)
        case Claim(Verdict.RUN):
            job = claimed(job, now, services.rules.lease)
            tx.set("jobs", job_id, job.document())
        case _:
            pass
    return job, claim.verdict


async def _clean_up(services: Services, job: Job) -> None:
    """Stop what an ended job has left at its providers; the sweep comes back for what they could not be told."""
    stopped = [unit.operation for unit in job.units if unit.operation is not None and await _stop(services, job, unit)]

    async def write(tx: Transaction) -> None:
        ended = as_job(await tx.get("jobs", job.job_id))
        if ended is not None and ended.left_at_provider:
            tx.set("jobs", job.job_id, ended.stopped(services.clock.now(), stopped).document())

    if stopped:
        await services.store.transaction(write)


async def _stop(services: Services, job: Job, unit: UnitRun) -> bool:
    """Cancel a unit's operation: whether there is nothing more to be told."""
    try:
        await services.providers.get(unit.provider).cancel(unit.operation or {})
    except RunError as error:
        log.warning("not cancelled", extra={"action": "cancel_failed", "job_id": job.job_id, "code": error.code})
        return error.category is Category.PERMANENT
    return True


async def _give_back(services: Services, job: Job, units: Sequence[UnitRun]) -> None:
    """End a run as if it had not begun: no attempt, and nobody holds the job. What it bought is kept."""

    async def release(tx: Transaction) -> None:
        held = as_job(await tx.get("jobs", job.job_id))
        if held is None or held.fence != job.fence:
            return
        now = services.clock.now()
        freed = {"attempt": max(0, held.attempt - 1), "fence": held.fence + 1, "lease_until": None, "units": units}
        wake_at = alarm(held, now + services.rules.rescue_after)
        tx.set("jobs", job.job_id, held.to(Status.QUEUED, now, **freed, wake_at=wake_at).document())

    await services.store.transaction(release)


class _Run:
    """One claimed run of one job. Every write of it requires its fencing token."""

    def __init__(self, services: Services, job: Job) -> None:
        self._services = services
        self._job = job
        self._type = JOB_TYPES[job.job_type]
        self._folder = services.scratch.take()
        self._work = Work(services, job, self._type, self._folder)
        self._working = True
        self._save = Together(self._write_down)

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """What has become of the units."""
        return self._work.units

    async def go(self) -> None:
        run = asyncio.current_task()
        assert run is not None  # noqa: S101 - a coroutine runs in a task
        keeper = asyncio.create_task(self._keep())
        keeper.add_done_callback(lambda _: run.cancel() if self._working else None)
        try:
            async with asyncio.timeout(self._type.timeout.total_seconds()):
                await self._work.run(self._save)
        except TimeoutError:
            self._work.time_out(self._type.timeout)
        except asyncio.CancelledError:
            if keeper.done():
                keeper.result()
            raise
        finally:
            self._working = False
            keeper.cancel()
            await self._services.scratch.give_back(self._folder)
        await self._settle()

    async def _keep(self) -> None:
        """Hold the lease and write progress, at most once a second; ends only with the reason why it cannot."""
        clock = self._services.clock
        renewed, shown = clock.now(), self._work.progress
        while True:
            await clock.sleep(_TICK_SECONDS)
            if self._work.progress != shown or clock.now() - renewed >= self._services.rules.heartbeat:
                renewed, shown = clock.now(), self._work.progress
                await self._save()

    async def abandon(self) -> None:
        """The job was taken away: stop at its provider what this run began and nobody knows of."""
        job = as_job(await self._services.store.get("jobs", self._job.job_id))
        known = job.operations if job else ()
        for unit in self._work.units:
            if unit.operation is not None and unit.operation not in known:
                await _stop(self._services, self._job, unit)

    async def _write_down(self) -> None:
        """Renew the lease and keep what the units have become."""

        def held(job: Job, now: datetime) -> Job:
            until = now + self._services.rules.lease
            units = self._work.units
            kept = {"units": units, "progress": self._work.progress, **self._who(units)}
            return job.with_(now, lease_until=until, wake_at=alarm(job, until), **kept)

        async def write(tx: Transaction) -> None:
            job = await still_held(tx, self._job)
            tx.set("jobs", job.job_id, held(job, self._services.clock.now()).document())

        await self._services.store.transaction(write)

    async def _settle(self) -> None:
        """Write what came of the run, once; then send the task that follows, if one does."""
        fraction = self._services.random.random()
        outcome = decide_outcome(self._job, self._work.units, self._services.clock.now(), fraction)
        job = await self._services.store.transaction(lambda tx: self._write(tx, outcome))
        if job.status.final:
            await after_end(self._services, job)
        else:
            await send(self._services, job)

    async def _write(self, tx: Transaction, outcome: Outcome) -> Job:
        job = await still_held(tx, self._job)
        now = self._services.clock.now()
        match outcome:
            case Completed(units, captured):
                done: dict[str, Any] = {"units": units, "progress": 100, "error": None, **self._who(units)}
                return end(tx, job, Status.COMPLETED, now, captured=captured, **done)
            case Failed(units, error):
                return end(tx, job, Status.FAILED, now, units=units, error=error, **self._who(units))
            case Again():
                following = self._following(job, outcome, now)
                tx.set("jobs", job.job_id, following.document())
                return following

    def _who(self, units: Sequence[UnitRun]) -> dict[str, Any]:
        return {"served_by": served_by(units), "tried": self._work.tried}

    def _following(self, job: Job, again: Again, now: datetime) -> Job:
        changes: dict[str, Any] = {
            "units": again.units,
            **self._who(again.units),
            "progress": self._work.progress,
            "error": again.error,
            "attempt": job.attempt if again.counted else max(0, job.attempt - 1),
            "delivery": job.delivery + 1,
            "fence": job.fence + 1,
            "lease_until": None,
            "next_attempt_at": again.at,
            "wake_at": alarm(job, again.at + self._services.rules.rescue_after),
        }
        if again.why == "poll":
            return job.with_(now, **changes)
        return job.to(Status.RETRYING, now, **changes)
