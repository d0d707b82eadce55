"""Process a task: claim its job in a transaction, then run it, end it or clean it up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from taskreel.app.credits.balances import open_job_account
from taskreel.app.flow.slots import Room, place_job, reserve_room
from taskreel.app.jobs.cancel_operations import cancel_operations, resolve_purchases
from taskreel.app.jobs.crashes import CrashedRun, is_outage
from taskreel.app.jobs.enqueue import (
    LONGEST_DELIVERY,
    admit_next,
    enqueue_events,
    find_attempt_limit,
)
from taskreel.app.jobs.finish_job import stop_job
from taskreel.app.jobs.job_ended import act_on_job_end, handle_crash
from taskreel.app.jobs.job_run import JobRun
from taskreel.app.jobs.job_store import load_job, require_lease, store_job, write_for_run
from taskreel.app.pipelines.pipeline_run import PipelineRun
from taskreel.app.services import Services
from taskreel.app.worker.long_run import Answer, LongRuns
from taskreel.domain.claim_and_outcome import (
    ANSWER_GRACE,
    Claim,
    Verdict,
    claim_job,
    decide_claim,
    fail_without_attempts,
)
from taskreel.domain.errors import LeaseLostError, StoreError
from taskreel.domain.ids import is_delivery_id, is_operation_id
from taskreel.domain.job import Job
from taskreel.domain.job_fields import Ending
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.jobtypes import find_job_type
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS

log = logging.getLogger(__name__)


class _Claimed(Record):
    """A job before and after its claim, and the action of the delivery."""

    before: Job
    job: Job
    verdict: Verdict
    #: Nothing was done: the job has to ask for room first.
    needs_room: bool = False


class Processor:
    """Processes tasks, several at a time; `stop` releases every lease."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._long_runs = LongRuns(services)

    async def process_task(self, job_id: str) -> Answer:
        """Process one delivery. Safe to repeat, at any time and in any order.

        An unexpected exception is counted on the job, which is then tried again; after the third
        the job fails. Raises StoreError when the store cannot be reached.
        """
        if self._stopping:
            return Answer.BUSY
        if is_delivery_id(job_id):
            return await self._send_webhook(job_id)
        if is_operation_id(job_id):
            return await self._carry_on_operation(job_id)
        try:
            return await self._process_delivery(job_id)
        except Exception as error:
            if is_outage(error):
                raise  # no fault of the job: the queue delivers again
            await handle_crash(self._services, job_id, error)
        return Answer.FINISHED

    async def _send_webhook(self, delivery_id: str) -> Answer:
        from taskreel.app.webhooks.sending import process_delivery_task

        done = await process_delivery_task(self._services, delivery_id)
        return Answer.FINISHED if done else Answer.BUSY

    async def _carry_on_operation(self, operation_id: str) -> Answer:
        from taskreel.app.operations.steps import process_operation_task

        done = await process_operation_task(self._services, operation_id)
        return Answer.FINISHED if done else Answer.BUSY

    async def _process_delivery(self, job_id: str) -> Answer:
        claimed = await _claim_with_room(self._services, job_id)
        if claimed is None:
            return Answer.FINISHED
        match claimed.verdict:
            case Verdict.BUSY:
                if self._long_runs.has_run(claimed.job):
                    return await self._long_runs.serve_delivery(job_id)
                return Answer.BUSY
            case Verdict.END:
                await act_on_job_end(self._services, claimed.job)
            case Verdict.CLEAN_UP:
                await _clean_up(self._services, claimed.job)
            case Verdict.RUN:
                if claimed.job.webhooks:
                    await enqueue_events(self._services, claimed.job)
                return await self._start_run(claimed)
            case Verdict.IGNORE:
                if claimed.job.status is Status.THROTTLED:
                    await admit_next(self._services, claimed.job)
        return Answer.FINISHED

    async def _start_run(self, claimed: _Claimed) -> Answer:
        """Run the job in this delivery, or in several if an attempt may outlast one."""
        run = self._run_job(claimed)
        if find_attempt_limit(claimed.job) <= LONGEST_DELIVERY:
            return await run
        self._long_runs.start(claimed.job, run)
        return await self._long_runs.serve_delivery(claimed.job.job_id)

    async def stop(self) -> None:
        """Stop all runs and release their leases, so that each job may run again at once."""
        self._stopping = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run_job(self, claimed: _Claimed) -> Answer:
        job = claimed.job
        try:
            is_pipeline = find_job_type(job.job_type).pipeline is not None
            run = PipelineRun(self._services, job) if is_pipeline else JobRun(self._services, job)
        except Exception as error:  # noqa: BLE001 - it is counted and logged
            await self._handle_crash(error, claimed, job.units)
            return Answer.FINISHED
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a delivery is processed in a task")
        self._running.add(task)
        try:
            await run.run()
        except LeaseLostError:
            log.info(
                "a run lost its lease and stopped; the job goes on without it",
                extra={"action": "lease_lost", "job_id": job.job_id},
            )
        except asyncio.CancelledError:
            await _release_lease(self._services, claimed, fail_without_attempts(job, run.units))
            if not self._stopping:
                raise
            task.uncancel()  # by `stop`: the delivery itself goes on to its answer
            return Answer.BUSY
        except Exception as error:  # noqa: BLE001 - it is counted and logged
            if isinstance(error, StoreError) and error.may_pass:
                # The lease could not be renewed, or the outcome not be stored, for as long as a run
                # may try. The units may hold answers that were paid for: they go back with the job.
                await _release_lease(self._services, claimed, fail_without_attempts(job, run.units))
                return Answer.BUSY
            await self._handle_crash(error, claimed, fail_without_attempts(job, run.units))
        finally:
            self._running.discard(task)
        return Answer.FINISHED

    async def _handle_crash(
        self, error: Exception, claimed: _Claimed, units: Sequence[UnitRun]
    ) -> None:
        job = claimed.job
        run = CrashedRun(fence=job.fence, attempt=claimed.before.attempt, units=units)
        try:
            await handle_crash(self._services, job.job_id, error, run)
        except StoreError:
            _log_unstored_units(job, units)
            raise


async def _clean_up(services: Services, job: Job) -> None:
    """Do what an ended job still needs.

    Its earlier files are renewed, its operations cancelled, and a removal that broke off is done.
    """
    if job.is_being_removed and not job.needs_clean_up:
        from taskreel.app.jobs.remove import resume_removal  # of few jobs: cold start

        await resume_removal(services, job)
        return
    if job.has_earlier_files:
        from taskreel.app.jobs.retained_work import renew_earlier_files  # of few jobs: cold start

        await renew_earlier_files(services, job)
    if job.needs_clean_up:
        await cancel_operations(services, job)


async def _claim_with_room(services: Services, job_id: str) -> _Claimed | None:
    """Claim the job; a scheduled one, whose time has come, with the room that it needs by now."""
    store = services.store
    claimed = await store.transaction(lambda tx: _claim_job(services, tx, job_id, room=None))
    if claimed is None or not claimed.needs_room:
        return claimed
    # Reserved until the claim is stored: a provider's account takes no job above its limit.
    async with reserve_room(services, claimed.before) as room:
        return await store.transaction(lambda tx: _claim_job(services, tx, job_id, room=room))


async def _claim_job(
    services: Services, tx: Transaction, job_id: str, *, room: Room | None
) -> _Claimed | None:
    """Claim or end the job, as its state demands; None when there is no such job.

    Without `room` nothing is done with a job that needs some.
    """
    before = await load_job(tx, job_id)
    if before is None:
        return None
    now = services.clock.now()
    claim = decide_claim(before, now)
    match claim:
        case Claim(Verdict.END, Status() as status, error):
            ending = Ending(status=status, error=error)
            job = stop_job(services.rules, tx, before, ending, now)
        case Claim(Verdict.RUN):
            job = before
            if before.status is Status.SCHEDULED and services.rules.limits is not None:
                if room is None:
                    return _Claimed(before, before, Verdict.IGNORE, needs_room=True)
                job = await _take_slot(services, tx, before, room)
            if job.status is Status.THROTTLED:
                store_job(tx, job)
                return _Claimed(before, job, Verdict.IGNORE)
            job = claim_job(job, now, services.rules.lease)
            store_job(tx, job, may_have_grown=False)
        case _:
            job = before
    return _Claimed(before, job, claim.verdict)


async def _take_slot(services: Services, tx: Transaction, job: Job, room: Room) -> Job:
    """Give a scheduled job, whose time has come, a slot of its owner's and room, or let it wait."""
    account, job = await open_job_account(services, tx, job)
    account, job = place_job(services, account, job, room, services.clock.now())
    tx.set(ACCOUNTS, account.document_id, account)
    return job


async def _release_lease(services: Services, claimed: _Claimed, units: Sequence[UnitRun]) -> None:
    """Put the job of a stopped run back into its queue; the stored units have its operations.

    A run that changed no unit was no attempt. Raises StoreError when it cannot be written; then a
    log line has what the run has bought.
    """
    job = claimed.job
    unchanged = tuple(units) == job.units
    patience = timedelta(0) if unchanged else ANSWER_GRACE

    async def write(tx: Transaction) -> Job:
        held = await require_lease(tx, job)
        now = services.clock.now()
        released = held.enter_status(
            Status.QUEUED,
            now,
            attempt=claimed.before.attempt if unchanged else job.attempt,
            fence=held.fence + 1,
            lease_until=None,
            units=tuple(units),
            wake_at=held.next_wake_at(now + services.rules.rescue_after),
        )
        store_job(tx, released)
        return released

    try:
        await write_for_run(services, write, services.clock.now() + patience)
    except LeaseLostError:
        # Another run, a cancellation or a deadline has taken the job.
        await resolve_purchases(services, job.job_id, job.fence, units)
    except StoreError:
        _log_unstored_units(job, units)
        raise


def _log_unstored_units(job: Job, units: Sequence[UnitRun]) -> None:
    """Hand what a run has bought and cannot store to an operator."""
    bought = [
        {
            "unit": index,
            "provider": unit.provider,
            "operation": unit.operation,
            "artifacts": [artifact.path for artifact in unit.artifacts],
        }
        for index, (unit, before) in enumerate(zip(units, job.units, strict=True))
        if unit != before and (unit.operation is not None or unit.state is UnitState.DONE)
    ]
    if bought:
        log.critical(
            "what a run has bought could not be stored: the store could not be reached. The "
            "operations below run at their providers, and the files are in the bucket",
            extra={"action": "bought_unstored", "job_id": job.job_id, "units": bought},
        )
