"""Stop what an ended job has left at its providers."""

from __future__ import annotations

import logging

from taskreel.app.jobs.job_store import load_job
from taskreel.app.services import Services
from taskreel.domain.errors import Category, RunError
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitRun
from taskreel.ports import Transaction

log = logging.getLogger(__name__)


async def clean_up(services: Services, job: Job) -> None:
    """Stop what an ended job has left at its providers; the sweep comes back for what they could not be told."""
    stopped = [
        unit.operation
        for unit in job.units
        if unit.operation is not None and await stop(services, job, unit)
    ]

    async def write(tx: Transaction) -> None:
        ended = await load_job(tx, job.job_id)
        if ended is not None and ended.needs_clean_up:
            tx.set(
                "jobs",
                job.job_id,
                ended.without_operations(services.clock.now(), stopped).document(),
            )

    if stopped:
        await services.store.transaction(write)


async def stop(services: Services, job: Job, unit: UnitRun) -> bool:
    """Cancel a unit's operation: whether there is nothing more to be told."""
    try:
        await services.providers.get(unit.provider).cancel(unit.operation or {})
    except RunError as error:
        log.warning(
            "not cancelled",
            extra={"action": "cancel_failed", "job_id": job.job_id, "code": error.code},
        )
        return error.category is Category.PERMANENT
    return True
