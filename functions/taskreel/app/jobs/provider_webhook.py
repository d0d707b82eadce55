"""A provider says that an operation has ended: look now, rather than when the next poll is due."""

from __future__ import annotations

from collections.abc import Mapping

from taskreel.app.jobs.enqueue import send
from taskreel.app.jobs.job_store import load_job
from taskreel.app.services import Services
from taskreel.domain.claim import next_wake_at
from taskreel.domain.errors import NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.ports import Query, Transaction


async def hear(
    services: Services, provider: str, job_id: str, headers: Mapping[str, str], body: bytes
) -> bool:
    """Whether the job's poll was brought forward. A webhook that holds may name what is over, or unknown to us.

    `job_id` is "" where the provider calls for its whole account: then the operation leads to the job.
    Raises NotFoundError for a provider that may not call, UnauthenticatedError for a signature that does not hold.
    """
    verify = services.providers.webhooks.get(provider)
    if verify is None:
        raise NotFoundError(f"No webhooks of {provider!r} are expected here.")
    operation_id = verify(headers, body, services.clock.now())
    job_id = job_id or await _whose(services, operation_id)
    if not job_id:
        return False
    job = await services.store.transaction(
        lambda tx: _hasten(services, tx, provider, job_id, operation_id)
    )
    if job is not None:
        await send(services, job)
    return job is not None


async def _whose(services: Services, operation_id: str) -> str:
    """The job that has such an operation; "" when none has."""
    of_it = Query(
        collection="jobs", where=(("operationIds", "array-contains", operation_id),), limit=1
    )
    found = await services.store.query(of_it)
    return found[0].id if found else ""


async def _hasten(
    services: Services, tx: Transaction, provider: str, job_id: str, operation_id: str
) -> Job | None:
    job = await load_job(tx, job_id)
    if job is None or job.status is not Status.PROCESSING or job.lease_until is not None:
        return None
    now = services.clock.now()
    meant = [_is_meant(unit, provider, operation_id) for unit in job.units]
    if not any(meant):
        return None
    units = tuple(
        unit.model_copy(update={"due_at": now}) if this else unit
        for unit, this in zip(job.units, meant, strict=True)
    )
    wake_at = next_wake_at(job, now + services.rules.rescue_after)
    hastened = job.with_changes(
        now, units=units, next_attempt_at=now, delivery=job.delivery + 1, wake_at=wake_at
    )
    tx.set("jobs", job_id, hastened.document())
    return hastened


def _is_meant(unit: UnitRun, provider: str, operation_id: str) -> bool:
    running = unit.state is UnitState.RUNNING and unit.provider == provider
    return running and operation_id in (unit.operation or {}).values()
