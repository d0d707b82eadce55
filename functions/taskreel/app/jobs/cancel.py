"""Cancel a job for its owner: stop its run and its operations, settle what it has done."""

from __future__ import annotations

from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller
from taskreel.app.jobs.finish_job import cancel_in_transaction
from taskreel.app.jobs.job_ended import act_on_job_end
from taskreel.app.jobs.queries import find_job_to_change
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError
from taskreel.domain.job import Job
from taskreel.ports import Transaction


async def cancel_job(services: Services, caller: Caller, job_id: str, job_type: str) -> Job:
    """Cancel the job and return it; a job that has ended stays as it is.

    A run in progress loses its fence and stops. Operations at providers are cancelled by one more
    delivery. Raises NotFoundError for a job that the caller may not see.
    """
    found = await find_job_to_change(services, caller, job_id, job_type)

    async def cancel(tx: Transaction) -> Job | None:
        now = services.clock.now()
        job = await cancel_in_transaction(services.rules, tx, job_id, now, caller.user_id)
        if job is not None and not found.status.final:
            record_admin_act(
                services, tx, caller, "job cancelled", subject=job_id, owner=job.user_id
            )
        return job

    job = await services.store.transaction(cancel)
    if job is None:
        raise NotFoundError(f"There is no job {job_id}.")
    return await act_on_job_end(services, job)
