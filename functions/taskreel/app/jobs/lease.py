"""A run's lease on its job: every write of it requires the fencing token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from taskreel.app.jobs.job_store import load_job
from taskreel.domain.errors import LeaseLostError
from taskreel.domain.job import Job
from taskreel.ports import Transaction


async def still_held(tx: Transaction, claimed: Job) -> Job:
    """The job as it is now; LeaseLostError when another run, a cancellation or a deadline took it."""
    job = await load_job(tx, claimed.job_id)
    if job is None or job.fence != claimed.fence:
        raise LeaseLostError("another run, a cancellation or a deadline took the job")
    return job


class Together:
    """A write that many ask for: those who ask while one is under way share the next."""

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        self._write = write
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return when a write that began after the call has ended."""
        if self._next is None:
            self._next = asyncio.create_task(self._go())
        await asyncio.shield(self._next)

    async def _go(self) -> None:
        async with self._one_at_a_time:
            self._next = None
            await self._write()
