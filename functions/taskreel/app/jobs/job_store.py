"""Jobs in the store: reads, writes, and the writes of a run, which must hold its lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from taskreel.app.services import Services
from taskreel.domain.document_size import MAX_DOCUMENT_BYTES, is_larger
from taskreel.domain.errors import DocumentTooLargeError, LeaseLostError, StoreError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Document, Store, Transaction

log = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0

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


async def write_for_run(
    services: Services, write: Callable[[Transaction], Awaitable[Job]], give_up_at: datetime
) -> Job:
    """Run a transaction of a run, again and again while the store cannot be reached.

    One call of the store gives up after ten seconds, which suits a caller of the API. A run may
    hold an answer that was paid for, so its writes are repeated until `give_up_at`. `write` checks
    the fence of the run and returns the job as it stores it.

    Raises StoreError when the store could not be reached until then, LeaseLostError when another
    run, a cancellation or a deadline took the job.
    """
    clock = services.clock
    computed: list[Job] = []
    wait = _FIRST_WAIT_SECONDS

    async def remember(tx: Transaction) -> Job:
        job = await write(tx)
        computed.append(job)
        return job

    while True:
        try:
            return await services.store.transaction(remember)
        except StoreError as error:
            # Its subclasses are answers of the store, and no outage.
            is_outage = type(error) is StoreError
            if not is_outage or clock.now() + timedelta(seconds=wait) > give_up_at:
                raise
            log.warning(
                "a run cannot write its job; it tries again",
                extra={"action": "run_write_repeated", "error": error.message},
            )
        except LeaseLostError:
            stored = await _find_own_write(services, computed)
            if stored is None:
                raise
            return stored
        await clock.sleep(wait * (0.5 + services.random.random()))
        wait = min(2 * wait, _LONGEST_WAIT_SECONDS)


async def _find_own_write(services: Services, computed: list[Job]) -> Job | None:
    """The job if an earlier try stored it although its answer was lost; else None.

    Such a try has ended the run and moved the fence itself.
    """
    if not computed:
        return None
    stored = await load_job(services.store, computed[-1].job_id)
    for job in computed:
        if stored and (stored.fence, stored.updated_at) == (job.fence, job.updated_at):
            return stored
    return None


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
            # Nobody may be left to see its error: the run has ended, and the fence refused it.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._next)

    async def _write_once(self) -> None:
        async with self._one_at_a_time:
            # From here on the write reads the state: later callers need the next one.
            self._next = None
            await self._write()
