"""Cancel a job: release its hold, and tell whoever works on it."""

from __future__ import annotations

from taskreel.app.caller import Caller
from taskreel.app.jobs.finish_job import end
from taskreel.app.jobs.queries import as_job, find_job
from taskreel.app.pipelines.child_jobs import after_end
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError
from taskreel.domain.job import Job, Status
from taskreel.ports import Transaction


async def cancel(services: Services, caller: Caller, job_id: str, job_type: str) -> Job:
    """The job, cancelled; one that has ended already stays as it is.

    A run in progress loses its fence and stops; work at a provider is stopped by one more delivery.
    """
    await find_job(services, caller, job_id, job_type)
    job = await services.store.transaction(lambda tx: _cancel(services, tx, job_id))
    await after_end(services, job)
    return job


async def _cancel(services: Services, tx: Transaction, job_id: str) -> Job:
    job = as_job(await tx.get("jobs", job_id))
    if job is None:
        raise NotFoundError(f"There is no job {job_id}.")
    if job.status.final:
        return job
    return end(tx, job, Status.CANCELLED, services.clock.now())
