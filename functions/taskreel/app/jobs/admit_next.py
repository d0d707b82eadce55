"""Admit the jobs that an end has made room for, and put them on their queues."""

from __future__ import annotations

from taskreel.app.flow.admission import admit_after_end
from taskreel.app.jobs.enqueue import enqueue_jobs
from taskreel.app.services import Services
from taskreel.domain.job import Job


async def admit_next(services: Services, job: Job) -> None:
    """Admit and enqueue the jobs for which `job` has made room, or which waited beside it."""
    if services.rules.limits is not None:
        await enqueue_jobs(services, *await admit_after_end(services, job))
