"""The lease of a run on its job: each write of the run checks the fencing token."""

from __future__ import annotations

from taskreel.app.jobs.job_store import load_job
from taskreel.domain.errors import LeaseLostError
from taskreel.domain.job import Job
from taskreel.ports import Transaction


async def require_lease(tx: Transaction, claimed: Job) -> Job:
    """Read the job of a run, as it is now, before a write of that run.

    The fence grows with every claim, cancellation, end and release, so an equal number proves that
    nobody else may have written. Raises LeaseLostError when another run, a cancellation or a
    deadline took the job.
    """
    job = await load_job(tx, claimed.job_id)
    if job is None or job.fence != claimed.fence:
        raise LeaseLostError("another run, a cancellation or a deadline took the job")
    return job
