"""One claimed run of a plain job; the run of a pipeline is in `pipelines/pipeline_run.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from taskreel.app.jobs.cancel_operations import cancel_operation
from taskreel.app.jobs.coalesced_writer import CoalescedWriter
from taskreel.app.jobs.enqueue import enqueue_jobs
from taskreel.app.jobs.finish_job import finish_job
from taskreel.app.jobs.job_ended import notify_job_ended
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.jobs.lease import require_lease
from taskreel.app.jobs.task_group import single_error
from taskreel.app.jobs.unit_pool import UnitPool
from taskreel.app.providers.selection import served_by_names
from taskreel.app.services import Services
from taskreel.domain.claim import next_wake_at
from taskreel.domain.errors import LeaseLostError
from taskreel.domain.job import Job, JobChanges
from taskreel.domain.job_status import Status
from taskreel.domain.run_outcome import Again, Completed, Failed, Outcome, decide_outcome
from taskreel.domain.unit import UnitRun
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Transaction

#: A document takes about one write a second.
_TICK_SECONDS = 1.0


class JobRun:
    """One claimed run of a job: heartbeat, unit work, settlement.

    Each write checks the fencing token of the claim.
    """

    def __init__(self, services: Services, job: Job) -> None:
        self._services = services
        self._job = job
        self._type = JOB_TYPES[job.job_type]
        self._folder = services.work_dirs.acquire()
        self._save = CoalescedWriter(self._store_progress)
        self._pool = UnitPool(services, job, self._type, self._folder, self._save)

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """The units as they are now, stored or not."""
        return self._pool.units

    async def run(self) -> None:
        """Run the open units, store the outcome once, and enqueue the task that follows, if any.

        Raises LeaseLostError when the job was taken away; nothing more is written then. Cancelling
        it leaves the job to the caller, with `units` as they are.
        """
        try:
            await self._run_units()
            await self._store_outcome()
        except LeaseLostError:
            await self._cancel_unstored_operations()
            raise

    async def _run_units(self) -> None:
        """Run the units while a heartbeat renews the lease, until the attempt's deadline.

        A heartbeat that fails cancels the units. The deadline cancels the units only: a purchase
        under way is awaited, and the heartbeat holds the lease for it meanwhile.
        """
        limit = self._type.timeout
        try:
            with single_error():
                async with asyncio.TaskGroup() as group, asyncio.timeout(None) as attempt:
                    helpers = [
                        group.create_task(self._renew_lease()),
                        group.create_task(self._expire(attempt, limit.total_seconds())),
                    ]
                    try:
                        await self._pool.run_units()
                    finally:
                        for helper in helpers:
                            helper.cancel()
        except TimeoutError:
            self._pool.fail_timed_out(limit)
        finally:
            await self._services.work_dirs.release(self._folder)

    async def _expire(self, attempt: asyncio.Timeout, seconds: float) -> None:
        """End the attempt after `seconds` of the services' clock, which tests own."""
        await self._services.clock.sleep(seconds)
        attempt.reschedule(asyncio.get_running_loop().time())

    async def _renew_lease(self) -> None:
        """Renew the lease and save progress, at most once a second. Never returns.

        Raises LeaseLostError when the lease is lost, and StoreError when it cannot be renewed.
        """
        clock, heartbeat = self._services.clock, self._services.rules.heartbeat
        renewed_at, saved_progress = clock.now(), self._pool.progress
        while True:
            await clock.sleep(_TICK_SECONDS)
            changed = self._pool.progress != saved_progress
            if changed or clock.now() - renewed_at >= heartbeat:
                renewed_at, saved_progress = clock.now(), self._pool.progress
                await self._save()

    async def _cancel_unstored_operations(self) -> None:
        """Cancel at its provider what this run began and could not store: nobody else knows it."""
        job = await load_job(self._services.store, self._job.job_id)
        stored = job.operations if job else ()
        for unit in self._pool.units:
            if unit.operation is not None and unit.operation not in stored:
                await cancel_operation(self._services, self._job, unit)

    async def _store_progress(self) -> None:
        """Renew the lease, and store the units and the progress."""

        async def write(tx: Transaction) -> None:
            job = await require_lease(tx, self._job)
            now = self._services.clock.now()
            lease_until = now + self._services.rules.lease
            units = self._pool.units
            renewed = job.with_changes(
                now,
                lease_until=lease_until,
                wake_at=next_wake_at(job, lease_until),
                units=units,
                progress=self._pool.progress,
                served_by=served_by_names(units),
                tried=self._pool.tried,
            )
            store_job(tx, renewed)

        await self._services.store.transaction(write)

    async def _store_outcome(self) -> None:
        """Settle or reschedule the job in one write; then enqueue the task that follows."""
        fraction = self._services.random.random()
        now = self._services.clock.now()
        outcome = decide_outcome(self._job, self._pool.units, now, fraction)
        job = await self._services.store.transaction(lambda tx: self._write_outcome(tx, outcome))
        if job.status.final:
            await notify_job_ended(self._services, job)
        else:
            await enqueue_jobs(self._services, job)

    async def _write_outcome(self, tx: Transaction, outcome: Outcome) -> Job:
        job = await require_lease(tx, self._job)
        now = self._services.clock.now()
        changes = self._unit_changes(outcome.units)
        match outcome:
            case Completed(captured=captured):
                changes |= {"progress": 100, "error": None}
                return finish_job(tx, job, Status.COMPLETED, now, captured=captured, **changes)
            case Failed(error=error):
                changes["error"] = error
                return finish_job(tx, job, Status.FAILED, now, **changes)
            case Again():
                following = self._reschedule(job, outcome, now)
                store_job(tx, following)
                return following

    def _unit_changes(self, units: Sequence[UnitRun]) -> JobChanges:
        return {
            "units": tuple(units),
            "served_by": served_by_names(units),
            "tried": self._pool.tried,
        }

    def _reschedule(self, job: Job, again: Again, now: datetime) -> Job:
        """The job with its lease released, to be delivered again at `again.at`."""
        released = job.with_changes(now, **self._unit_changes(again.units)).with_changes(
            now,
            progress=self._pool.progress,
            error=again.error,
            delivery=job.delivery + 1,
            # The run is over: a write of it that is still under way must not succeed later.
            fence=job.fence + 1,
            lease_until=None,
            next_attempt_at=again.at,
            wake_at=next_wake_at(job, again.at + self._services.rules.rescue_after),
        )
        return released if again.why == "poll" else released.enter_status(Status.RETRYING, now)
