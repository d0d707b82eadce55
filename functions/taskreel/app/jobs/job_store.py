"""Jobs in the store: reads, writes, those of a run, which must hold its lease, and their size."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic_core import to_json

from taskreel.app.messages.job_events import create_status_event
from taskreel.app.services import Services
from taskreel.domain.errors import (
    DocumentTooLargeError,
    LeaseLostError,
    StoreError,
    UnreadableDocumentError,
)
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Store, Transaction
from taskreel.store_collections import JOBS

log = logging.getLogger(__name__)

J = TypeVar("J", bound=Job | None)

#: The largest payload of a job: it leaves room for the job's state and results.
MAX_PAYLOAD_BYTES = 700_000
#: The largest document that is written: Firestore takes up to 1 MiB (1,048,576 bytes).
MAX_DOCUMENT_BYTES = 1_000_000
#: The encrypted form of a document (adapters/encryption) may take so many bytes more than the limit
#: of the document itself. It is counted where nothing is encrypted, too: otherwise encryption could
#: not be turned on later, since Firestore would refuse what is encrypted then.
MOST_SEALED_MORE_BYTES = 40_000
#: More than the text around the encrypted form takes: its key's id, a nonce and a tag.
_BYTES_AROUND_SEALED = 200
#: Firestore counts a number as 8 bytes, which in JSON takes at least 2, with its comma.
_JSON_FACTOR = 4
#: More than the fields of a document take that the JSON of its job has not.
_BYTES_WITHOUT_JSON = 1_000

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0

_WITHOUT_SUCCESS = frozenset({Status.FAILED, Status.CANCELLED, Status.EXPIRED})


async def load_job(reader: Store | Transaction, job_id: str) -> Job | None:
    """Read one job, or None when there is none. One read."""
    try:
        return await reader.get(JOBS, job_id)
    except UnreadableDocumentError:
        from taskreel.app.jobs.answered_requests import is_answered_request  # of few: cold start

        if await is_answered_request(reader, job_id):
            return None
        raise


def store_job(tx: Transaction, job: Job, *, may_have_grown: bool = True) -> None:
    """Write a job over the stored one; `tx` has read it, so nothing written meanwhile is lost.

    `may_have_grown` is False where only times and numbers have changed: it fits as it did before.
    A job that ends without success can always be written: where it is too large, without its
    payload and its units' data. Raises DocumentTooLargeError for any other that is too large.
    """
    if job.webhooks:
        job = create_status_event(tx, job)
    if may_have_grown and _is_job_too_large(job):
        job = _shrink_job(job)
    tx.set(JOBS, job.job_id, job)


def _shrink_job(job: Job) -> Job:
    if job.status not in _WITHOUT_SUCCESS:
        raise DocumentTooLargeError(
            "The job's request and its results take more than "
            f"{MAX_DOCUMENT_BYTES:,} bytes, or would encrypted. Ask for less in one job."
        )
    smaller = job.with_changes(job.updated_at, payload={})
    if not is_larger(smaller.document(), MAX_DOCUMENT_BYTES):
        return smaller
    units = tuple(unit.with_changes(data=None) for unit in job.units)
    return smaller.with_changes(job.updated_at, units=units, result=None, failed_attempts=())


async def require_lease(tx: Transaction, claimed: Job) -> Job:
    """Read the job of a run, as it is now, before a write of that run.

    The fence grows with every claim, cancellation, end and release, so an equal number proves that
    no other writer may have written. Raises LeaseLostError when another run, a cancellation or a
    deadline took the job.
    """
    job = await load_job(tx, claimed.job_id)
    if job is None or job.fence != claimed.fence:
        raise LeaseLostError("another run, a cancellation or a deadline took the job")
    return job


async def write_for_run(
    services: Services, write: Callable[[Transaction], Awaitable[J]], give_up_at: datetime
) -> J:
    """Run a transaction of a run, again and again while the store cannot be reached.

    One call of the store gives up after ten seconds, which suits a caller of the API. A run may
    hold an answer that was paid for, so its writes are repeated until `give_up_at`. `write` checks
    the fence of the run and returns the job as it stores it, or None when it stores nothing.

    Raises StoreError when the store could not be reached until then or does not take the write,
    LeaseLostError when another
    run, a cancellation or a deadline took the job.
    """
    clock = services.clock
    computed: list[J] = []
    wait = _FIRST_WAIT_SECONDS

    async def remember(tx: Transaction) -> J:
        job = await write(tx)
        computed.append(job)
        return job

    while True:
        try:
            return await services.store.transaction(remember)
        except StoreError as error:
            if not error.may_pass or clock.now() + timedelta(seconds=wait) > give_up_at:
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


async def _find_own_write(services: Services, computed: Sequence[J]) -> J | None:
    """The job if an earlier try stored it although its answer was lost; else None.

    Such a try has ended the run and moved the fence itself.
    """
    for job in computed:
        if not isinstance(job, Job):
            continue
        stored = await load_job(services.store, job.job_id)
        if stored and (stored.fence, stored.updated_at) == (job.fence, job.updated_at):
            return job
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
            # No caller may be waiting for its error: the run has ended, and the fence refused it.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._next)

    @property
    def is_idle(self) -> bool:
        """True when no write is under way, and none is to follow."""
        return self._next is None and not self._one_at_a_time.locked()

    async def _write_once(self) -> None:
        async with self._one_at_a_time:
            # From here on the write reads the state: later callers need the next one.
            self._next = None
            await self._write()


# ── The size of a document ───────────────────────────────────────────────────────────────────────


def is_larger(value: Any, most_bytes: int) -> bool:
    """True when the value takes more than `most_bytes` in a document. Cheap for small ones.

    Also when it would take more than MOST_SEALED_MORE_BYTES above that once it is encrypted.
    """
    text = to_json(value)
    if (len(text) + 1) * _JSON_FACTOR <= most_bytes:
        return False
    most_sealed = most_bytes + MOST_SEALED_MORE_BYTES
    return measure_bytes(value) > most_bytes or _is_sealed_larger(text, most_sealed)


def _is_sealed_larger(text: bytes, most_bytes: int) -> bool:
    """True when a JSON text takes more than `most_bytes` compressed, encrypted and in base64."""
    most_compressed = (most_bytes - _BYTES_AROUND_SEALED) * 3 // 4
    # Compressed at the same level as it is before it is encrypted; nearly all are short enough as
    # they are.
    return len(text) > most_compressed and len(zlib.compress(text, 1)) > most_compressed


def _is_job_too_large(job: Job) -> bool:
    """True when the job's document is larger than the store takes."""
    try:
        bytes_of_json = job.measure_json()
    except (TypeError, ValueError, OverflowError):  # a value that is stored as the nearest to it
        pass
    else:
        if bytes_of_json * _JSON_FACTOR + _BYTES_WITHOUT_JSON <= MAX_DOCUMENT_BYTES:
            return False
    return is_larger(job.document(), MAX_DOCUMENT_BYTES)


def measure_bytes(value: Any) -> int:
    """The bytes that Firestore counts for a value: texts in UTF-8 and 1, names too, numbers 8."""
    size = 0
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            size += _measure_text(one)
        elif one is None or isinstance(one, bool):
            size += 1
        elif isinstance(one, Mapping):
            size += sum(_measure_text(str(name)) for name in one)
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
        else:
            size += 8
    return size


def _measure_text(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass")) + 1


def name_round(job: Job) -> str:
    """The name of a round of a job, which no round of any other job has, before or after it.

    A job with an idempotency key may be removed, and then made again under the same id, and so are
    the child jobs of such a pipeline: its time tells the two apart. The other ids are random.
    """
    name = f"{job.job_id}.{job.round}"
    if job.request_hash is None and job.parent_id is None:
        return name
    return f"{name}.{int(job.created_at.timestamp() * 1000)}"
