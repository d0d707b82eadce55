"""Following a job: waiting for its end, and its changes as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.store_collections import JOBS
from taskreel.web.responses import build_job_view

if TYPE_CHECKING:
    from fastapi.sse import ServerSentEvent


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


async def follow_job(
    services: Services, job_id: str, base_url: str
) -> AsyncIterator[ServerSentEvent]:
    """An event for each change: `status` for a new status, else `progress`.

    Each carries the whole job, so that a client needs no other request.
    """
    from fastapi.sse import ServerSentEvent

    status: Status | None = None
    async with aclosing(watch_job(services, job_id)) as changes:
        async for job in changes:
            kind = "progress" if job.status is status else "status"
            status = job.status
            view = await build_job_view(services, job, base_url)
            yield ServerSentEvent(event=kind, raw_data=view.model_dump_json(by_alias=True))
