"""One claimed run of a job that makes its units itself; a pipeline's is in `advance`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from taskreel.app.jobs.cancel_operations import stop
from taskreel.app.jobs.enqueue import send
from taskreel.app.jobs.finish_job import end
from taskreel.app.jobs.job_ended import notify_job_ended
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.lease import Together, still_held
from taskreel.app.jobs.unit_runner import Work
from taskreel.app.providers.selection import served_by_names
from taskreel.app.services import Services
from taskreel.domain.claim import next_wake_at
from taskreel.domain.errors import LeaseLostError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.run_outcome import Again, Completed, Failed, Outcome, decide_outcome
from taskreel.domain.unit import UnitRun
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Transaction

#: A document takes about one write a second.
_TICK_SECONDS = 1.0


class Run:
    """Every write of it requires its fencing token."""

    def __init__(self, services: Services, job: Job) -> None:
        self._services = services
        self._job = job
        self._type = JOB_TYPES[job.job_type]
        self._folder = services.work_dirs.acquire()
        self._work = Work(services, job, self._type, self._folder)
        self._working = True
        self._save = Together(self._write_down)

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """What has become of the units."""
        return self._work.units

    async def go(self) -> None:
        """Do what is open, and write what came of it, once. Raises LeaseLostError when the job was taken away."""
        try:
            await self._go()
        except LeaseLostError:
            await self._abandon()
            raise

    async def _go(self) -> None:
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
            await self._services.work_dirs.release(self._folder)
        await self._conclude()

    async def _keep(self) -> None:
        """Hold the lease and write progress, at most once a second; ends only with the reason why it cannot."""
        clock = self._services.clock
        renewed, shown = clock.now(), self._work.progress
        while True:
            await clock.sleep(_TICK_SECONDS)
            if (
                self._work.progress != shown
                or clock.now() - renewed >= self._services.rules.heartbeat
            ):
                renewed, shown = clock.now(), self._work.progress
                await self._save()

    async def _abandon(self) -> None:
        """The job was taken away: stop at its provider what this run began and nobody knows of."""
        job = await load_job(self._services.store, self._job.job_id)
        known = job.operations if job else ()
        for unit in self._work.units:
            if unit.operation is not None and unit.operation not in known:
                await stop(self._services, self._job, unit)

    async def _write_down(self) -> None:
        """Renew the lease and keep what the units have become."""

        def held(job: Job, now: datetime) -> Job:
            until = now + self._services.rules.lease
            units = self._work.units
            kept = {"units": units, "progress": self._work.progress, **self._who(units)}
            return job.with_changes(
                now, lease_until=until, wake_at=next_wake_at(job, until), **kept
            )

        async def write(tx: Transaction) -> None:
            job = await still_held(tx, self._job)
            tx.set("jobs", job.job_id, held(job, self._services.clock.now()).document())

        await self._services.store.transaction(write)

    async def _conclude(self) -> None:
        """Write what came of the run, once; then send the task that follows, if one does."""
        fraction = self._services.random.random()
        outcome = decide_outcome(self._job, self._work.units, self._services.clock.now(), fraction)
        job = await self._services.store.transaction(lambda tx: self._write(tx, outcome))
        if job.status.final:
            await notify_job_ended(self._services, job)
        else:
            await send(self._services, job)

    async def _write(self, tx: Transaction, outcome: Outcome) -> Job:
        job = await still_held(tx, self._job)
        now = self._services.clock.now()
        match outcome:
            case Completed(units, captured):
                done: dict[str, Any] = {
                    "units": units,
                    "progress": 100,
                    "error": None,
                    **self._who(units),
                }
                return end(tx, job, Status.COMPLETED, now, captured=captured, **done)
            case Failed(units, error):
                return end(
                    tx, job, Status.FAILED, now, units=units, error=error, **self._who(units)
                )
            case Again():
                following = self._following(job, outcome, now)
                tx.set("jobs", job.job_id, following.document())
                return following

    def _who(self, units: Sequence[UnitRun]) -> dict[str, Any]:
        return {"served_by": served_by_names(units), "tried": self._work.tried}

    def _following(self, job: Job, again: Again, now: datetime) -> Job:
        changes: dict[str, Any] = {
            "units": again.units,
            **self._who(again.units),
            "progress": self._work.progress,
            "error": again.error,
            "delivery": job.delivery + 1,
            "fence": job.fence + 1,
            "lease_until": None,
            "next_attempt_at": again.at,
            "wake_at": next_wake_at(job, again.at + self._services.rules.rescue_after),
        }
        if again.why == "poll":
            return job.with_changes(now, **changes)
        return job.enter_status(Status.RETRYING, now, **changes)
