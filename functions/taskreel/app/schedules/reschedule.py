"""Change the time of a scheduled job, or run it now."""

from __future__ import annotations

from datetime import datetime

from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller
from taskreel.app.jobs.enqueue import enqueue_jobs, first_wake_at
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.jobs.queries import find_job_to_change
from taskreel.app.services import Services
from taskreel.domain.errors import ConflictError, NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Transaction


async def reschedule_job(
    services: Services, caller: Caller, job_id: str, job_type: str, run_at: datetime
) -> Job:
    """Give a job that is SCHEDULED another time; one that has come runs it now.

    Its deadlines move with it. Raises NotFoundError, and ConflictError for any other status.
    """
    await find_job_to_change(services, caller, job_id, job_type)

    async def move(tx: Transaction) -> Job:
        job = await load_job(tx, job_id)
        if job is None:
            raise NotFoundError(f"There is no job {job_id}.")
        if job.status is not Status.SCHEDULED or job.next_attempt_at is None:
            raise ConflictError(
                f"Only a job that waits for its time can be rescheduled; this one is {job.status}.",
                jobStatus=job.status,
            )
        now = services.clock.now()
        start = max(run_at, now)
        shift = start - job.next_attempt_at
        changed = job.with_changes(
            now,
            next_attempt_at=start,
            start_by=None if job.start_by is None else job.start_by + shift,
            finish_by=None if job.finish_by is None else job.finish_by + shift,
            # The task of the earlier time finds nothing due; this number makes a new task.
            delivery=job.delivery + 1,
        )
        wake_at = changed.next_wake_at(first_wake_at(services, start, now))
        changed = changed.with_changes(now, wake_at=wake_at)
        store_job(tx, changed)
        record_admin_act(services, tx, caller, "job moved", subject=job_id, owner=job.user_id)
        return changed

    job = await services.store.transaction(move)
    await enqueue_jobs(services, job)
    return job
