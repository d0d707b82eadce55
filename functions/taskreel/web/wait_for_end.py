"""Waiting for the end of a job."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.store_collections import JOBS


async def watch_job(services: Services, job_id: str) -> AsyncGenerator[Job]:
    """The job now and after each change, until it has ended or is gone."""
    async for job in services.store.watch(JOBS, job_id):
        if job is None:
            return
        yield job
        if job.status.final:
            return


async def wait_for_end(services: Services, job: Job, seconds: float) -> Job:
    """The job as soon as it has ended, or its state when the time is up."""
    if seconds <= 0 or job.status.final:
        return job
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(watch_job(services, job.job_id)) as changes:
            async for changed in changes:
                job = changed
    return job
