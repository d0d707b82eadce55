"""Jobs in the store: reads, writes, and the writes of a run, which must hold its lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from taskreel.domain.document_size import MAX_DOCUMENT_BYTES, is_larger
from taskreel.domain.errors import DocumentTooLargeError, LeaseLostError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Document, Store, Transaction

_WITHOUT_SUCCESS = frozenset({Status.FAILED, Status.CANCELLED, Status.EXPIRED})


async def load_job(reader: Store | Transaction, job_id: str) -> Job | None:
    """Read one job, or None when there is none. One read."""
    document = await reader.get("jobs", job_id)
    return None if document is None else decode_job(document)


def decode_job(document: Document) -> Job:
    """The job stored in a document."""
    return Job.model_validate(document.data)


def store_job(tx: Transaction, job: Job) -> None:
    """Write a job over the stored one; `tx` has read it, so nothing written meanwhile is lost.

    A job that ends without success can always be written: where it is too large, without its
    payload and its units' data. Raises DocumentTooLargeError for any other that is too large.
    """
    document = job.document()
    if is_larger(document, MAX_DOCUMENT_BYTES):
        document = _shrink_job(job).document()
    tx.set("jobs", job.job_id, document)


def _shrink_job(job: Job) -> Job:
    if job.status not in _WITHOUT_SUCCESS:
        raise DocumentTooLargeError(
            "The job's request and its results together take more than "
            f"{MAX_DOCUMENT_BYTES:,} bytes. Ask for less in one job."
        )
    smaller = job.with_changes(job.updated_at, payload={})
    if not is_larger(smaller.document(), MAX_DOCUMENT_BYTES):
        return smaller
    units = tuple(unit.with_changes(data=None) for unit in job.units)
    return smaller.with_changes(job.updated_at, units=units, result=None)


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


class CoalescedWriter:
    """Coalesces concurrent saves: callers that arrive during a write share the next one."""

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        self._write = write
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return when a write that began after the call has ended. Raises what that write raises.

        The write goes on when a caller is cancelled, since other callers may share it.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._write_once())
        await asyncio.shield(self._next)

    async def _write_once(self) -> None:
        async with self._one_at_a_time:
            # From here on the write reads the state: later callers need the next one.
            self._next = None
            await self._write()
