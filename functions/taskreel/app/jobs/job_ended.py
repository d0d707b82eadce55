"""Notifications after a job has ended: its provider, its child jobs, its dependants, its parent."""

from __future__ import annotations

from functools import partial

from taskreel.app.jobs.dependencies import unblock_if_ready
from taskreel.app.jobs.enqueue import enqueue_jobs, schedule_parent_check
from taskreel.app.jobs.finish_job import finish_as_cancelled
from taskreel.app.jobs.job_store import decode_job
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Query


async def notify_job_ended(services: Services, job: Job) -> None:
    """Act on the end of a stored job. Safe to repeat; the sweep makes up for a step that was lost.

    Enqueues a clean-up task while an operation still runs at a provider, cancels the unfinished
    child jobs of a pipeline that did not complete, unblocks the jobs that depend on this one, and
    schedules a check of the pipeline that this job is a part of.
    """
    if job.needs_clean_up:
        await enqueue_jobs(services, job)

    # Only a pipeline has steps: for a plain job there is no query here.
    if job.steps and job.status is not Status.COMPLETED:
        await _cancel_child_jobs(services, job)

    for waiter in job.waiters:
        await unblock_if_ready(services, waiter)

    if job.parent_id is not None and job.parent_lane is not None:
        await schedule_parent_check(services, job.parent_id, job.parent_lane)


async def _cancel_child_jobs(services: Services, parent: Job) -> None:
    """Cancel the unfinished child jobs of a pipeline, and theirs in turn."""
    query = Query(collection="jobs", where=(("parentId", "==", parent.job_id),))
    for row in await services.store.query(query):
        if decode_job(row).status.final:
            continue
        cancelled = await services.store.transaction(
            partial(finish_as_cancelled, job_id=row.id, at=services.clock.now())
        )
        if cancelled is not None:
            await notify_job_ended(services, cancelled)
