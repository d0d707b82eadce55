"""Reading and writing jobs in the store."""

from __future__ import annotations

from taskreel.domain.job import Job
from taskreel.ports import Document, Store, Transaction


async def load_job(reader: Store | Transaction, job_id: str) -> Job | None:
    """Read one job, or None when there is none. One read."""
    document = await reader.get("jobs", job_id)
    return None if document is None else decode_job(document)


def decode_job(document: Document) -> Job:
    """The job stored in a document."""
    return Job.model_validate(document.data)


def store_job(tx: Transaction, job: Job) -> None:
    """Write a job over the stored one; `tx` has read it, so nothing written meanwhile is lost."""
    tx.set("jobs", job.job_id, job.document())
