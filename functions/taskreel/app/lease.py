"""A run's lease on its job: every write of it requires the fencing token."""

from __future__ import annotations

from taskreel.app.read import as_job
from taskreel.domain.errors import LeaseLostError
from taskreel.domain.job import Job
from taskreel.ports import Transaction


async def still_held(tx: Transaction, claimed: Job) -> Job:
    """The job as it is now; LeaseLostError when another run, a cancellation or a deadline took it."""
    job = as_job(await tx.get("jobs", claimed.job_id))
    if job is None or job.fence != claimed.fence:
        raise LeaseLostError("another run, a cancellation or a deadline took the job")
    return job
