"""Cancel the operations of ended jobs at their providers, and resolve purchases under way."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from taskreel.app.jobs.finish_job import CLEAN_UP_AFTER, REPORT_PURCHASE_AFTER
from taskreel.app.jobs.job_store import load_job, store_job, write_for_run
from taskreel.app.services import Services
from taskreel.domain.claim_and_outcome import ANSWER_GRACE
from taskreel.domain.errors import AMBIGUOUS, UNSURE, Category, RunError, StoreError
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.ports import Transaction

log = logging.getLogger(__name__)

_FINISHED_LATE = JobError(
    code=AMBIGUOUS,
    category=Category.PERMANENT,
    message="The provider finished this work after its job had ended, so it was paid for and is "
    "not delivered. An operator may retry the job.",
)


async def cancel_operations(services: Services, job: Job) -> None:
    """Cancel every operation of an ended job and store which of them are over.

    An operation that could not be cancelled stays in the job: the sweep delivers it again.
    """
    cancelled = [
        unit.operation
        for unit in job.units
        if unit.operation is not None and await cancel_operation(services, job.job_id, unit)
    ]

    async def write(tx: Transaction) -> None:
        ended = await load_job(tx, job.job_id)
        if ended is not None and ended.needs_clean_up:
            store_job(tx, ended.without_operations(services.clock.now(), cancelled))

    if cancelled:
        await services.store.transaction(write)


async def cancel_operation(services: Services, job_id: str, unit: UnitRun) -> bool:
    """Cancel a unit's operation. True when no further try is needed: cancelled, or unknown there.

    A failure is logged, not raised. Such an operation probes its provider's breaker no more.
    """
    provider = services.providers.get(unit.provider)
    try:
        await _free_probe(services, unit)
        await provider.cancel(unit.operation or {})
    except RunError as error:
        log.warning(
            "operation not cancelled at its provider; the sweep will retry",
            extra={
                "action": "cancel_failed",
                "job_id": job_id,
                "provider": unit.provider,
                "code": error.code,
            },
        )
        return error.category is Category.PERMANENT
    return True


async def _free_probe(services: Services, unit: UnitRun) -> None:
    """Let other work wait no longer for a result of the cancelled unit."""
    from taskreel.app.providers.circuit_breakers import breaker_id  # of few jobs: cold start

    if unit.begun_at is not None:
        id_, now = breaker_id(unit.provider, unit.model), services.clock.now()
        await services.providers.breakers.free_probe(id_, now, begun_at=unit.begun_at)


# ── Purchases under way when their job ended ─────────────────────────────────────────────────────


async def resolve_purchases(
    services: Services, job_id: str, fence: int, units: Sequence[UnitRun]
) -> None:
    """Resolve the purchases of a run that lost its job: no other run knows their answers.

    `fence` is the run's, and `units` are as it had them last. Where the job has ended, it is stored
    with the answers first, so that the sweep goes on cancelling an operation that cannot be
    cancelled now. Where another run has the job, or it was removed, the operations are cancelled
    here, and one that cannot be is logged for an operator. Never raises StoreError.
    """

    async def write(tx: Transaction) -> Job | None:
        job = await load_job(tx, job_id)
        # The next fence proves that the job's end took it from this very run.
        if job is None or not job.status.final or job.fence != fence + 1:
            return job
        resolved = _store_answers(services, job, units)
        if resolved is not job:
            store_job(tx, resolved)
        return resolved

    job: Job | None = None
    try:
        job = await write_for_run(services, write, services.clock.now() + ANSWER_GRACE)
        if job is not None and job.needs_clean_up:
            await cancel_operations(services, job)
    except StoreError as error:
        log.critical(
            "what a run has bought could not be stored in its ended job: the store could not be "
            "reached. Its operations are cancelled now",
            exc_info=error,
            extra={"action": "bought_unstored", "job_id": job_id},
        )
    stored = () if job is None else job.operations
    for index, unit in enumerate(units):
        if unit.operation is not None and unit.operation not in stored:
            await _cancel_or_report(services, job_id, index, unit)


def _store_answers(services: Services, job: Job, units: Sequence[UnitRun]) -> Job:
    """The ended job with the answers to its purchases; itself when it waits for none."""
    now = services.clock.now()
    resolved = tuple(map(_store_answer, job.units, units))
    if resolved == job.units:
        return job
    job = job.with_changes(now, units=resolved)
    if job.needs_clean_up:
        return job.with_changes(now, delivery=job.delivery + 1, wake_at=now + CLEAN_UP_AFTER)
    return job if job.maybe_bought else job.with_changes(now, wake_at=_find_last_wake(job, now))


def _find_last_wake(job: Job, now: datetime) -> datetime | None:
    """The wake time of an ended job whose purchases are resolved."""
    return now + CLEAN_UP_AFTER if job.has_file_work else None


def _store_answer(stored: UnitRun, own: UnitRun) -> UnitRun:
    """The unit of the ended job with the answer that its run has."""
    if stored.begun_at is None or stored.operation is not None or own.maybe_bought:
        return stored  # no purchase, or one whose operation or answer is no news
    is_reported = stored.error is not None and stored.error.code == AMBIGUOUS
    if not stored.maybe_bought and not is_reported:
        return stored
    if own.operation is not None:
        return own
    # The job was settled without it, so it is not delivered; its cost is recorded. The error stops
    # its user from buying it again without an operator.
    return stored.with_changes(
        state=UnitState.FAILED,
        begun_at=None,
        error=_FINISHED_LATE if own.state is UnitState.DONE else own.error,
        cost_usd=own.cost_usd,
        cost_estimated=own.cost_estimated,
    )


async def _cancel_or_report(services: Services, job_id: str, index: int, unit: UnitRun) -> None:
    if await cancel_operation(services, job_id, unit):
        return
    log.critical(
        "an operation that was bought is of no job any more and could not be cancelled: cancel it "
        "at the provider by hand",
        extra={
            "action": "bought_unstored",
            "job_id": job_id,
            "unit": index,
            "provider": unit.provider,
            "operation": unit.operation,
        },
    )


def report_unknown_purchases(services: Services, job: Job) -> Job | None:
    """The ended job with the error of purchases whose answer is lost; None before their time.

    The log tells an operator: the work may run at the provider, and be billed.
    """
    now = services.clock.now()
    if not job.maybe_bought or now < job.status_at[job.status] + REPORT_PURCHASE_AFTER:
        return None
    error = JobError(code=AMBIGUOUS, category=Category.PERMANENT, message=UNSURE)
    unknown = [index for index, unit in enumerate(job.units) if unit.maybe_bought]
    log.critical(
        "a job ended while it was being bought, and its run died before it stored the answer: "
        "search for the work in the provider's account",
        extra={
            "action": "bought_unstored",
            "job_id": job.job_id,
            "units": [{"unit": at, "provider": job.units[at].provider} for at in unknown],
        },
    )
    units = tuple(
        unit.with_changes(state=UnitState.FAILED, error=error) if unit.maybe_bought else unit
        for unit in job.units
    )
    reported = job.with_changes(now, units=units, error=job.error or error)
    if reported.needs_clean_up:
        return reported
    return reported.with_changes(now, wake_at=_find_last_wake(reported, now))
