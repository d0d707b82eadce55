"""One claimed run of a plain job; the run of a pipeline is in `pipelines/pipeline_run.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from taskreel.app.eager import EagerWork
from taskreel.app.jobs.cancel_operations import resolve_purchases
from taskreel.app.jobs.enqueue import admit_next, enqueue_jobs, find_attempt_limit
from taskreel.app.jobs.failed_attempts import FailedCall, record_failures
from taskreel.app.jobs.finish_job import finish_job
from taskreel.app.jobs.heartbeat import Heartbeat
from taskreel.app.jobs.input_files import InputFiles
from taskreel.app.jobs.job_ended import act_on_job_end
from taskreel.app.jobs.job_store import (
    CoalescedWriter,
    require_lease,
    store_job,
    write_for_run,
)
from taskreel.app.jobs.new_job import load_request
from taskreel.app.jobs.unit_runner import RunContext, UnitRunner
from taskreel.app.providers.failover import Failover
from taskreel.app.services import Services
from taskreel.domain.claim_and_outcome import (
    ANSWER_GRACE,
    Again,
    Completed,
    Failed,
    Outcome,
    decide_outcome,
    run_over_at,
)
from taskreel.domain.errors import LeaseLostError
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobChanges
from taskreel.domain.job_status import Status
from taskreel.domain.unit import TriedProvider, UnitRun, served_by_names
from taskreel.jobtypes import find_job_type
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.ports import Transaction


class JobRun:
    """One claimed run of a job: heartbeat, unit work, settlement.

    Each write checks the fencing token of the claim.
    """

    def __init__(self, services: Services, job: Job) -> None:
        self._services = services
        self._job = job
        self._type = find_job_type(job.job_type)
        self._lease_until = job.lease_until or services.clock.now()
        #: By its claim, and then by the heartbeat.
        self._renewed_at: datetime = job.updated_at
        self._saved_progress = 0
        self._folder: Path | None = None
        self._save = CoalescedWriter(self._store_progress)
        self._pool = UnitPool(services, job, self._type, self._open_folder, self._save)

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """The units as they are now, stored or not."""
        return self._pool.units

    async def run(self) -> None:
        """Run the open units, store the outcome once, and enqueue the task that follows, if any.

        Raises LeaseLostError when the job was taken away; nothing more is written then. Cancelling
        it leaves the job to the caller, with `units` as they are.
        """
        services, job = self._services, self._job
        try:
            await self._run_units()
            await self._store_outcome()
        except LeaseLostError:
            await resolve_purchases(services, job.job_id, job.fence, self._pool.units)
            raise
        self._release_parts()

    async def _run_units(self) -> None:
        """Run the units while a heartbeat renews the lease, until the attempt's deadline.

        A heartbeat that fails cancels the units. The deadline cancels the units only: a purchase
        under way is awaited, and the heartbeat holds the lease for it meanwhile. Work that never
        waits is over before either could act.
        """
        self._saved_progress = self._pool.progress
        try:
            work = EagerWork(self._pool.run_units())
            if not work.done:
                await self._await_units(work)
        finally:
            if self._folder is not None:
                await self._services.work_dirs.release(self._folder)

    async def _await_units(self, work: EagerWork[None]) -> None:
        limit = find_attempt_limit(self._job)
        try:
            async with asyncio.timeout(None) as attempt:
                # The services' clock, which tests own, says when the attempt is over.
                heartbeat = Heartbeat(
                    self._services.clock,
                    self._is_heartbeat_due,
                    self._renew_lease,
                    limit=limit,
                    end=partial(_end_attempt, attempt),
                )
                await heartbeat.guard(work)
        except TimeoutError:
            self._pool.fail_timed_out(limit)

    def _release_parts(self) -> None:
        """Drop the parts that refer to this run, which is over: its memory is free at once.

        As cycles they would wait for the garbage collector: it took a twentieth of the processor
        time of small jobs. A save that is under way still needs them; the fence refuses it.
        """
        if self._save.is_idle:
            self._pool.release_runners()
            del self._pool, self._save

    def _open_folder(self) -> Path:
        """The run's folder, acquired when the first file is written: many runs write none."""
        if self._folder is None:
            self._folder = self._services.work_dirs.acquire(self._job.job_id)
        return self._folder

    def _is_heartbeat_due(self) -> bool:
        """True if there is progress to store, or the lease is to be renewed."""
        # In either direction: after the clock went back, the lease is renewed by the new time.
        age = abs(self._services.clock.now() - self._renewed_at)
        has_progress = self._pool.progress != self._saved_progress
        return has_progress or age >= self._services.rules.heartbeat

    async def _renew_lease(self) -> None:
        """Renew the lease and save progress.

        Raises LeaseLostError when the lease is lost, and StoreError when it cannot be renewed.
        """
        self._renewed_at, self._saved_progress = self._services.clock.now(), self._pool.progress
        await self._save()

    async def _store_progress(self) -> None:
        """Renew the lease, and store the units and the progress.

        Repeated until the lease is over, or as long as the run may hold an answer that was paid
        for. Raises StoreError then.
        """

        async def write(tx: Transaction) -> Job:
            job = await require_lease(tx, self._job)
            now = self._services.clock.now()
            lease_until = now + self._services.rules.lease
            units = self._pool.units
            renewed = job.with_changes(
                now,
                lease_until=lease_until,
                units=units,
                progress=self._pool.progress,
                served_by=served_by_names(units),
                tried=self._pool.tried,
            )
            wake_at = job.next_wake_at(run_over_at(renewed, lease_until))
            renewed = renewed.with_changes(now, wake_at=wake_at)
            store_job(tx, renewed)
            return renewed

        grace = ANSWER_GRACE if self._pool.maybe_bought else timedelta(0)
        renewed = await write_for_run(self._services, write, self._lease_until + grace)
        self._lease_until = renewed.lease_until or self._lease_until

    async def _store_outcome(self) -> None:
        """Settle or reschedule the job in one write; then enqueue the task that follows.

        The write is repeated longer than the lease lasts: the fence tells if another run has it.
        """
        fraction = self._services.random.random()
        now = self._services.clock.now()
        outcome = decide_outcome(self._job, self._pool.units, now, fraction)
        job = await write_for_run(
            self._services,
            lambda tx: self._write_outcome(tx, outcome),
            max(now, self._lease_until) + ANSWER_GRACE,
        )
        if not job.status.final:
            await enqueue_jobs(self._services, job)
        elif job.end_concerns_others:
            await act_on_job_end(self._services, job)
        else:
            await admit_next(self._services, job)
        # Without a wake time they are renewed: a purchase or an operation may still hold it.
        if job.awaits_clean_up and job.has_earlier_files:
            from taskreel.app.jobs.retained_work import renew_earlier_files  # of few: cold start

            await renew_earlier_files(self._services, job)

    async def _write_outcome(self, tx: Transaction, outcome: Outcome) -> Job:
        job = await require_lease(tx, self._job)
        rules, now = self._services.rules, self._services.clock.now()
        changes = self._unit_changes(outcome.units)
        if failures := self._pool.failures:
            changes["failed_attempts"] = record_failures(rules, tx, job, failures, now)
        match outcome:
            case Completed():
                changes |= {"progress": 100, "error": None}
                return finish_job(rules, tx, job, Status.COMPLETED, now, **changes)
            case Failed(error=error):
                changes["error"] = error
                return finish_job(rules, tx, job, Status.FAILED, now, **changes)
            case Again():
                following = self._reschedule(job, changes, outcome, now)
                store_job(tx, following)
                return following

    def _unit_changes(self, units: Sequence[UnitRun]) -> JobChanges:
        return {
            "units": tuple(units),
            "served_by": served_by_names(units),
            "tried": self._pool.tried,
        }

    def _reschedule(self, job: Job, changes: JobChanges, again: Again, now: datetime) -> Job:
        """The job with its lease released, to be delivered again at `again.at`."""
        released = job.with_changes(now, **changes).with_changes(
            now,
            progress=self._pool.progress,
            error=again.error,
            delivery=job.delivery + 1,
            # The run is over: a write of it that is still under way must not succeed later.
            fence=job.fence + 1,
            lease_until=None,
            next_attempt_at=again.at,
            wake_at=job.next_wake_at(again.at + self._services.rules.rescue_after),
        )
        return released if again.why == "poll" else released.enter_status(Status.RETRYING, now)


def _end_attempt(attempt: asyncio.Timeout) -> None:
    """End the attempt now."""
    attempt.reschedule(asyncio.get_running_loop().time())


class UnitPool:
    """Runs all open units of a job with bounded concurrency; `units` is the current state.

    `save` stores the current state in the middle of the run.
    """

    def __init__(
        self,
        services: Services,
        job: Job,
        job_type: JobType[Any],
        open_folder: Callable[[], Path],
        save: Callable[[], Awaitable[None]],
    ) -> None:
        submission, plan = load_request(job, job_type)
        self._tried = job.tried
        self._failover: Failover | None = None
        self._open_failover = partial(
            Failover, services.providers, services.clock, job, submission, plan
        )
        self._concurrency = partial(job_type.concurrency, submission)
        self._save = save
        self._inputs: InputFiles | None = None
        self._open_inputs = partial(InputFiles, services, job, open_folder)
        context = RunContext(services, job, open_folder, self._get_failover, self._get_inputs, save)
        self._runners = [
            UnitRunner(context, index, _with_fixed_provider(unit, planned), planned)
            for index, (unit, planned) in enumerate(zip(job.units, plan, strict=False))
        ]

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """Every unit as it is now."""
        return tuple(runner.unit for runner in self._runners)

    @property
    def tried(self) -> tuple[TriedProvider, ...]:
        """The providers that failed the job so far."""
        return self._tried if self._failover is None else self._failover.tried

    @property
    def failures(self) -> list[FailedCall]:
        """The calls that failed in this run, of all units."""
        return [failure for runner in self._runners for failure in runner.failures]

    def _get_failover(self) -> Failover:
        """The one Failover of all units, made when the first of them calls a paid provider."""
        if self._failover is None:
            self._failover = self._open_failover()
        return self._failover

    def _get_inputs(self) -> InputFiles:
        """The input files of all units, whose sums are limited; made when a unit has the first."""
        if self._inputs is None:
            self._inputs = self._open_inputs()
        return self._inputs

    @property
    def progress(self) -> int:
        """Whole percent, at most 99: 100 is for a completed job."""
        fractions = [runner.fraction for runner in self._runners]
        return min(99, int(100 * sum(fractions) / len(fractions)))

    @property
    def maybe_bought(self) -> bool:
        """True while a unit has been bought, or may have been, in this run or before."""
        return any(unit.maybe_bought or unit.operation is not None for unit in self.units)

    async def run_units(self) -> None:
        """Run the open units. An error of a provider ends in the unit's state.

        Raises LeaseLostError or StoreError when the state could not be saved.
        """
        todo = [runner for runner in self._runners if runner.unit.is_open]
        if len(todo) == 1:
            # The end of the run stores it: a job of one unit pays for no write in between.
            await todo[0].run_unit()
            return
        slots = asyncio.Semaphore(self._concurrency())
        with single_error():
            async with asyncio.TaskGroup() as group:
                for runner in todo:
                    group.create_task(self._run_in_slot(runner, slots))

    def release_runners(self) -> None:
        """Drop the units' runners, which refer to this pool."""
        self._runners.clear()

    def fail_timed_out(self, limit: timedelta) -> None:
        """Record in every unit that did not end that the attempt took longer than `limit`."""
        for runner in self._runners:
            runner.record_time_out(limit)

    async def _run_in_slot(self, runner: UnitRunner, slots: asyncio.Semaphore) -> None:
        async with slots:
            await runner.run_unit()
        if runner.unit.operation is not None:
            # Before anything else can happen: a lost operation would be bought again.
            await self._save()


def _with_fixed_provider(unit: UnitRun, planned: Unit) -> UnitRun:
    """An open unit with the provider that its job type fixes; an older job may name another."""
    if planned.provider is None or unit.provider == planned.provider or not unit.is_open:
        return unit
    return unit.with_changes(provider=planned.provider)


@contextmanager
def single_error() -> Iterator[None]:
    """Raise one error of a task group instead of its ExceptionGroup.

    A lost lease comes first, since after it nothing may be written; else the first error.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        lost, _ = group.split(LeaseLostError)
        raise _first_error(lost or group) from group


def _first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
