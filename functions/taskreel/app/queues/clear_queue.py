"""Clear the queue of a job type: cancel the jobs that wait, with their refund."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from taskreel.app.audit_entries import build_audit_entry
from taskreel.app.caller import Caller
from taskreel.app.jobs.enqueue import enqueue_jobs, find_queue
from taskreel.app.jobs.finish_job import cancel_in_transaction
from taskreel.app.jobs.job_ended import act_on_job_end
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.messages.job_task import queue_of_type
from taskreel.app.query_pages import read_pages, read_values
from taskreel.app.services import Services
from taskreel.domain.audit_log import AuditEntry
from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Query, Row, Transaction
from taskreel.store_collections import AUDIT, JOBS

log = logging.getLogger(__name__)

#: The statuses of a job that waits in its queue, or to be put on it. A blocked job waits for other
#: jobs instead.
WAITING = (Status.QUEUED, Status.THROTTLED, Status.SCHEDULED, Status.RETRYING)
#: One request reads so many jobs at most; it says if there are more.
MOST_CLEARED = 1000
_PAGE = 100
#: So many jobs are cancelled at the same time: those of one user share an account.
_AT_ONCE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """The jobs that were cancelled, those that run at a provider and go on, and if more wait."""

    queue: str
    cancelled: int
    running: int
    refunded: int
    more: bool


async def clear_queue(services: Services, caller: Caller, job_type: str, reason: str) -> Cleared:
    """Cancel the jobs of a type that wait. Repeating it goes on where it has stopped.

    A job that has begun in the meantime, or has an operation at a provider, goes on. Once no job
    waits any more, the tasks of the cancelled ones are purged, so that they do not hold up what
    comes next, and each job that goes on gets a new task.
    """
    queue = queue_of_type(job_type)
    cancelled = running = refunded = 0
    rows: Sequence[Row[Job]] = ()
    async for rows in read_pages(services.store, _list_jobs(job_type, WAITING)):
        for start in range(0, len(rows), _AT_ONCE):
            found = await asyncio.gather(
                *(
                    _cancel_waiting_job(services, row.id, caller.user_id)
                    for row in rows[start : start + _AT_ONCE]
                )
            )
            cancelled += sum(job is not None for job in found)
            running += sum(job is None for job in found)
            refunded += sum(job.credits.released for job in found if job is not None)
        if cancelled + running >= MOST_CLEARED:
            break
    more = len(rows) == _PAGE

    action = f"queue cleared: {cancelled} jobs cancelled"
    entry = build_audit_entry(services, caller.user_id, action, subject=queue, reason=reason)
    if cancelled:
        await services.store.transaction(partial(_write_audit, entry=entry))
        if not more:
            await services.tasks.purge(queue)
            await _send_tasks_again(services, job_type, queue)
    log.info(
        "a queue is cleared by an administrator",
        extra={
            "action": "queue_cleared",
            "queue": queue,
            "user_id": caller.user_id,
            "jobs": cancelled,
        },
    )
    return Cleared(queue=queue, cancelled=cancelled, running=running, refunded=refunded, more=more)


async def preview_clear(services: Services, job_type: str) -> Cleared:
    """The numbers that clearing the queue now would give; nothing is changed.

    Costs one read a waiting job, as clearing it does.
    """
    cancelled = running = refunded = 0
    rows: Sequence[Row[Job]] = ()
    async for rows in read_pages(services.store, _list_jobs(job_type, WAITING)):
        for job in read_values(rows):
            if job.operations:
                running += 1
            else:
                cancelled += 1
                refunded += job.credits.held
        if cancelled + running >= MOST_CLEARED:
            break
    return Cleared(
        queue=queue_of_type(job_type),
        cancelled=cancelled,
        running=running,
        refunded=refunded,
        more=len(rows) == _PAGE,
    )


def _list_jobs(job_type: str, statuses: Sequence[Status]) -> Query[Job]:
    return Query(
        collection=JOBS,
        where=(("jobType", "==", job_type), ("status", "in", list(map(str, statuses)))),
        order=(("createdAt", "desc"),),
        limit=_PAGE,
    )


async def _cancel_waiting_job(services: Services, job_id: str, by: str) -> Job | None:
    """Cancel the job if it still waits; None if it goes on, or cannot be read."""

    async def write(tx: Transaction) -> Job | None:
        job = await load_job(tx, job_id)
        # Decided in the transaction: a run may have begun since the list was read.
        if job is None or job.status not in WAITING or job.operations:
            return None
        return await cancel_in_transaction(services.rules, tx, job_id, services.clock.now(), by)

    try:
        job = await services.store.transaction(write)
    except UnreadableDocumentError:
        return None
    return None if job is None else await act_on_job_end(services, job)


async def _send_tasks_again(services: Services, job_type: str, queue: str) -> None:
    """Give each job that goes on a new task: the purge removed those of others too.

    It is a new delivery, since a queue takes a task's id once. Whatever is missed here is found by
    the sweep.
    """
    unfinished = _list_jobs(job_type, (*WAITING, Status.PROCESSING))
    async for rows in read_pages(services.store, unfinished):
        renewed = await asyncio.gather(
            *(services.store.transaction(partial(_renew_delivery, job_id=row.id)) for row in rows)
        )
        jobs = [job for job in renewed if job is not None and find_queue(job) == queue]
        for start in range(0, len(jobs), _AT_ONCE):
            await enqueue_jobs(services, *jobs[start : start + _AT_ONCE])


async def _renew_delivery(tx: Transaction, job_id: str) -> Job | None:
    """Count a new delivery of a job that waits for a task; None for any other."""
    try:
        job = await load_job(tx, job_id)
    except UnreadableDocumentError:
        return None
    if job is None or job.task_due_at is None:
        return None
    renewed = job.with_changes(job.updated_at, delivery=job.delivery + 1)
    store_job(tx, renewed)
    return renewed


async def _write_audit(tx: Transaction, entry: AuditEntry) -> None:
    tx.create(AUDIT, entry.entry_id, entry)
