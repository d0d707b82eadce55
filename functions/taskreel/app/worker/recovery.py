"""Recover the tasks of queues that were in the memory of a process which has ended."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from taskreel.app.jobs.enqueue import enqueue_jobs
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.query_pages import build_due_query, read_pages
from taskreel.app.services import Services
from taskreel.domain.claim import end_dead_lease
from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Row, Transaction
from taskreel.store_collections import JOBS

log = logging.getLogger(__name__)

_PAGE = 500
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
#: Jobs in these states have no task: they wait for other jobs, or for room.
_WITHOUT_TASK = frozenset({Status.BLOCKED, Status.THROTTLED})


async def recover_jobs(services: Services, started_at: datetime) -> int:
    """Put every unfinished job back on its queue; return their number.

    Only for the process that alone owns the store and its queues: every job that was last changed
    before `started_at` belongs to a process that has ended, and so does its lease. A job that this
    process has changed since has its task. May run while requests are served: a queue takes a task
    once. Pages come in the order of `wake_at`; a job that moves meanwhile has been changed.
    """
    recovered = 0
    every_unfinished = build_due_query(JOBS, _END_OF_TIME, page=_PAGE)
    async for rows in read_pages(services.store, every_unfinished):
        jobs = [job for row in rows if (job := _decode(row)) and _has_lost_task(job, started_at)]
        await _requeue(services, jobs)
        recovered += len(jobs)
    return recovered


def _decode(row: Row[Job]) -> Job | None:
    """The job of a row; None for one that cannot be read: it stops no other, and the sweep logs."""
    try:
        return row.value
    except UnreadableDocumentError:
        return None


def _has_lost_task(job: Job, started_at: datetime) -> bool:
    is_older = job.updated_at < started_at
    return is_older and not job.has_unknown_state and job.status not in _WITHOUT_TASK


async def _requeue(services: Services, jobs: Sequence[Job]) -> None:
    free = [await _end_lease(services, job) if job.lease_until is not None else job for job in jobs]
    await enqueue_jobs(services, *(job for job in free if job is not None))


async def _end_lease(services: Services, found: Job) -> Job | None:
    """End the lease of a run that died with its process; None if the job has gone on since."""

    async def write(tx: Transaction) -> Job | None:
        job = await load_job(tx, found.job_id)
        # The fence tells: a run of this process would have moved it.
        if job is None or job.fence != found.fence or job.lease_until != found.lease_until:
            return None
        ended = end_dead_lease(job, services.clock.now())
        store_job(tx, ended)
        return ended

    return await services.store.transaction(write)
