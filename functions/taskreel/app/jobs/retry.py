"""Open a failed job's next round: new attempts and a new hold, under the same id."""

from __future__ import annotations

from taskreel.app.caller import Caller
from taskreel.app.credits.balances import load_account
from taskreel.app.jobs.enqueue import send
from taskreel.app.jobs.job_store import load_job
from taskreel.app.jobs.queries import find_job
from taskreel.app.pricing.credit_cost import compute_credits
from taskreel.app.services import Services
from taskreel.domain.claim import next_wake_at
from taskreel.domain.credits import hold
from taskreel.domain.errors import AMBIGUOUS, UNSURE, ConflictError, ForbiddenError, NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Transaction


async def retry(services: Services, caller: Caller, job_id: str, job_type: str) -> Job:
    """The job, queued again.

    Raises ConflictError unless it has failed, TooFewCreditsError, and for work that may have been bought ForbiddenError
    unless an admin asks.
    """
    check_unambiguous(await find_job(services, caller, job_id, job_type), caller)
    job = await services.store.transaction(lambda tx: _reopen(services, tx, job_id))
    await send(services, job)
    return job


def check_unambiguous(job: Job, caller: Caller) -> None:
    """ForbiddenError when somebody must first find out at the provider what became of the job's work."""
    errors = [job.error, *(unit.error for unit in job.units)]
    if any(error is not None and error.code == AMBIGUOUS for error in errors) and not caller.admin:
        raise ForbiddenError(f"Only an admin may have this job's work done again. {UNSURE}")


async def _reopen(services: Services, tx: Transaction, job_id: str) -> Job:
    job = await load_job(tx, job_id)
    if job is None:
        raise NotFoundError(f"There is no job {job_id}.")
    if job.parent_id is not None:
        raise ConflictError(
            f"This job is a part of {job.parent_id}: retry that one.", parentId=job.parent_id
        )
    if job.status is not Status.FAILED:
        raise ConflictError(
            f"Only a failed job can be retried; this one is {job.status}.", jobStatus=job.status
        )
    if (
        Status.BLOCKED in job.status_at
        and not job.started
        and not job.units
        and job.payload.get("dependsOn")
    ):
        raise ConflictError(
            "This job never began: a job that it depends on failed. Retry that one, then replay this."
        )
    if job.needs_clean_up:
        raise ConflictError(
            "What this job had begun at its provider is still being stopped. Try again in a minute."
        )
    now = services.clock.now()
    account = await load_account(services, tx, job.user_id)
    job_type = JOB_TYPES[job.job_type]
    needed = compute_credits(
        job_type, job_type.submission.model_validate(job.payload), without=job.finished_steps
    )
    tx.set("accounts", job.user_id, account.after(hold(account, needed)).document())
    reopened = job.next_round(now, needed, now)
    reopened = reopened.with_changes(
        now, wake_at=next_wake_at(reopened, now + services.rules.rescue_after)
    )
    tx.set("jobs", job_id, reopened.document())
    return reopened
