"""Cancel the operations of ended jobs at their providers."""

from __future__ import annotations

import logging

from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.services import Services
from taskreel.domain.errors import Category, RunError
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitRun
from taskreel.ports import Transaction

log = logging.getLogger(__name__)


async def cancel_operations(services: Services, job: Job) -> None:
    """Cancel every operation of an ended job and store which of them are over.

    An operation that could not be cancelled stays in the job: the sweep delivers it again.
    """
    cancelled = [
        unit.operation
        for unit in job.units
        if unit.operation is not None and await cancel_operation(services, job, unit)
    ]

    async def write(tx: Transaction) -> None:
        ended = await load_job(tx, job.job_id)
        if ended is not None and ended.needs_clean_up:
            store_job(tx, ended.without_operations(services.clock.now(), cancelled))

    if cancelled:
        await services.store.transaction(write)


async def cancel_operation(services: Services, job: Job, unit: UnitRun) -> bool:
    """Cancel a unit's operation. True when no further try is needed: cancelled, or unknown there.

    A failure is logged, not raised.
    """
    provider = services.providers.get(unit.provider)
    try:
        await provider.cancel(unit.operation or {})
    except RunError as error:
        log.warning(
            "operation not cancelled at its provider; the sweep will retry",
            extra={
                "action": "cancel_failed",
                "job_id": job.job_id,
                "provider": unit.provider,
                "code": error.code,
            },
        )
        return error.category is Category.PERMANENT
    return True
