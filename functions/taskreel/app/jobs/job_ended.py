"""Follow-up of a job's end: its child jobs, its pipeline, its provider and its dependants."""

from __future__ import annotations

from collections.abc import Sequence

from taskreel.app.jobs.crashes import CrashedRun, record_crash
from taskreel.app.jobs.dependencies import unblock_if_ready
from taskreel.app.jobs.enqueue import (
    admit_next,
    enqueue_events,
    enqueue_jobs,
    schedule_parent_check,
)
from taskreel.app.jobs.finish_pipeline import (
    cancel_open_jobs,
    find_all_child_jobs,
    settle_pipeline,
)
from taskreel.app.services import Services
from taskreel.domain.job import Job


async def act_on_job_end(services: Services, job: Job) -> Job:
    """Follow-up of a job's end: cancel its child jobs, settle its pipeline, clean up, unblock.

    Returns the job as it is then. Safe to repeat; the sweep makes up for a step that was lost. A
    pipeline that `stop_job` has stopped is finished first: its unfinished child jobs are cancelled,
    then it is settled. Enqueues a clean-up task while an operation still runs at a provider,
    unblocks the jobs that depend on this one, schedules a check of the pipeline that this job is a
    part of, and admits the jobs that waited for its slot or its room.
    """
    if job.ending is not None:
        job = await _finish_pipeline(services, job)
    if job.needs_clean_up:
        await enqueue_jobs(services, job)
    elif job.webhooks:
        await enqueue_events(services, job)

    for waiter in job.waiters:
        await unblock_if_ready(services, waiter)

    if job.parent_id is not None and job.parent_lane is not None:
        await schedule_parent_check(services, job.parent_id, job.parent_lane)
    if job.status.final:
        await admit_next(services, job)
        await _end_retention_early(services, job)
    return job


async def _end_retention_early(services: Services, job: Job) -> None:
    if job.steps and services.rules.retention.of(job) < services.rules.retention.longest:
        from taskreel.app.jobs.retained_work import end_retention_of_steps  # of few jobs

        await end_retention_of_steps(services, job)


async def handle_crash(
    services: Services, job_id: str, error: Exception, run: CrashedRun | None = None
) -> Job | None:
    """Count an unexpected error against its job (`record_crash`), and act on its end if it ends."""
    job = await record_crash(services, job_id, error, run)
    if job is not None and (job.status.final or job.ending is not None):
        await act_on_job_end(services, job)
    return job


async def _finish_pipeline(services: Services, job: Job) -> Job:
    """End the child jobs of a pipeline, and theirs in turn; then settle it with all they did."""
    children = await end_child_jobs(services, await find_all_child_jobs(services, job))
    return await settle_pipeline(services, job, children)


async def end_child_jobs(services: Services, jobs: Sequence[Job]) -> list[Job]:
    """Cancel the jobs that have not ended, and act on their end; all as they are then."""
    ended: list[Job] = []
    for before, job in zip(jobs, await cancel_open_jobs(services, jobs), strict=True):
        ended.append(job if before.status.final else await act_on_job_end(services, job))
    return ended
