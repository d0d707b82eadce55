"""Finished steps of a pipeline whose child jobs are not stored any more, in part or all.

The store removes child jobs by their age, those that the pipeline had adopted from an earlier one
before itself. Their work cannot be taken over, so that it has to be paid for again.
"""

from __future__ import annotations

from taskreel.app.jobs.finish_pipeline import find_jobs_of_step
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status


async def find_lost_steps(services: Services, pipeline: Job) -> frozenset[str]:
    """The finished steps of which a child job is gone; nothing is read where none can be."""
    steps = pipeline.steps
    is_old = services.clock.now() >= pipeline.created_at + services.rules.retention.of(pipeline)
    at_risk = [name for name in pipeline.finished_steps if is_old or steps[name].adopted]
    lost: set[str] = set()
    for name in at_risk:
        if len(await _find_places(services, pipeline, name)) < (steps[name].width or 0):
            lost.add(name)
    return frozenset(lost)


async def _find_places(services: Services, pipeline: Job, step: str) -> set[int]:
    """The places of the step that have a completed job: its own, or one that it had adopted."""
    jobs = await find_jobs_of_step(services, pipeline, step)
    return {job.index for job in jobs if job.status is Status.COMPLETED}
