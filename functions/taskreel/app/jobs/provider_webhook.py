"""Webhooks of providers: poll an operation at once, instead of when its next poll is due."""

from __future__ import annotations

from collections.abc import Mapping

from taskreel.app.jobs.enqueue import enqueue_jobs
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.ports import Query, Transaction
from taskreel.store_collections import JOBS


async def handle_webhook(
    services: Services, provider: str, job_id: str, headers: Mapping[str, str], body: bytes
) -> bool:
    """Verify a webhook and poll its operation now; True when a poll was brought forward.

    A valid webhook may name an operation that is over or unknown here: False. The body is used only
    to find the operation; its state is read from the provider by the poll. `job_id` is "" where the
    provider calls one address for the whole account: the operation leads to the job then. Raises
    NotFoundError for a provider without webhooks, UnauthenticatedError for an invalid signature.
    """
    verify = services.providers.webhooks.get(provider)
    if verify is None:
        raise NotFoundError(
            f"No webhooks of {provider!r} are expected here: its secret is not in WEBHOOK_SECRETS."
        )
    operation_id = verify(headers, body, services.clock.now())
    job_id = job_id or await _find_job_id(services, operation_id)
    if not job_id:
        return False
    job = await services.store.transaction(
        lambda tx: _poll_now(services, tx, provider, job_id, operation_id)
    )
    if job is not None:
        await enqueue_jobs(services, job)
    return job is not None


async def _find_job_id(services: Services, operation_id: str) -> str:
    """The id of the job with such a running operation; "" when there is none."""
    query = Query(
        collection=JOBS, where=(("operationIds", "array-contains", operation_id),), limit=1
    )
    found = await services.store.query(query)
    return found[0].id if found else ""


async def _poll_now(
    services: Services, tx: Transaction, provider: str, job_id: str, operation_id: str
) -> Job | None:
    """Make the operation's poll due now; None when the job does not wait for such a poll."""
    job = await load_job(tx, job_id)
    if job is None or job.status is not Status.PROCESSING or job.lease_until is not None:
        return None
    matches = [_runs_operation(unit, provider, operation_id) for unit in job.units]
    if not any(matches):
        return None

    now = services.clock.now()
    units = tuple(
        unit.with_changes(due_at=now) if match else unit
        for unit, match in zip(job.units, matches, strict=True)
    )
    due = job.with_changes(
        now,
        units=units,
        next_attempt_at=now,
        delivery=job.delivery + 1,
        wake_at=job.next_wake_at(now + services.rules.rescue_after),
    )
    store_job(tx, due)
    return due


def _runs_operation(unit: UnitRun, provider: str, operation_id: str) -> bool:
    running = unit.state is UnitState.RUNNING and unit.provider == provider
    return running and operation_id in (unit.operation or {}).values()
