"""Jobs whose clients poll them: each is watched once, and answered from memory meanwhile.

fal's Python client asks for a job's status ten times a second. A watch costs one read, and one more
for each change, however often it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from taskreel.app.caller import Caller
from taskreel.app.flow.queue_position import find_position
from taskreel.app.projects.key_callers import check_key
from taskreel.app.projects.rights import add_stored_role
from taskreel.app.services import Services
from taskreel.domain.errors import NotFoundError, TaskreelError
from taskreel.domain.job import Job
from taskreel.web.live.regular_check import RegularCheck
from taskreel.web.wait_for_end import watch_job

#: A job that no client has asked for in so long is no longer watched.
_IDLE_SECONDS = 10.0
_COUNT_SECONDS = 5.0
#: Jobs that are watched at once; the one that was asked for longest ago goes first.
_MOST_JOBS = 1000
#: The right of a stream's reader is checked so often.
RIGHTS_SECONDS = 15.0
#: No longer id is ever stored, and Firestore refuses to read one.
_LONGEST_ID = 100


@dataclass
class _Followed:
    """A watched job. `job` is None until it has been read, and if there is none."""

    job: Job | None = None
    error: TaskreelError | None = None
    #: Set by the next change, which has another one after it.
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    #: The number of jobs ahead of it, and when it was counted.
    ahead: int = 0
    counted_at: float | None = None

    def note_change(self) -> None:
        """Wake everybody who waits for it."""
        self.changed.set()
        self.changed = asyncio.Event()


class FollowedJobs:
    """The jobs that clients poll at this process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._followed: dict[str, _Followed] = {}

    async def read(self, caller: Caller, job_id: str) -> Job:
        """The job as it is now. Raises NotFoundError unless the caller may see it."""
        return await self._check(await self._follow(job_id), caller, job_id)

    async def wait_for_change(self, caller: Caller, job_id: str, seconds: float) -> Job:
        """The job after its next change, or when the time is up; at once if it has ended."""
        followed = await self._follow(job_id)
        job = await self._check(followed, caller, job_id)
        if job.status.final:
            return job
        await _wait_for(followed.changed, seconds)
        return await self._check(followed, caller, job_id)

    async def watch(self, caller: Caller, job_id: str) -> AsyncIterator[Job]:
        """The job now and after each change, until it has ended or the caller may not see it.

        The right is checked regularly, too: a role may have been taken from the caller. Who
        connects again gets the reason for the end.
        """
        rights = RegularCheck(RIGHTS_SECONDS)
        with contextlib.suppress(TaskreelError):
            while True:
                followed = await self._follow(job_id)
                changed = followed.changed
                job = await self._check(followed, caller, job_id)
                yield job
                if job.status.final:
                    return
                while not changed.is_set():
                    if rights.take_turn():
                        await check_key(self._services, caller)
                        await self._check(followed, caller, job_id)
                    await self._follow(job_id)
                    await _wait_for(changed, max(0.0, min(_IDLE_SECONDS / 2, rights.seconds_left)))

    async def count_ahead(self, job: Job) -> int:
        """The number of jobs that start before it, counted again every few seconds."""
        followed = await self._follow(job.job_id)
        now = asyncio.get_running_loop().time()
        if followed.counted_at is None or now - followed.counted_at >= _COUNT_SECONDS:
            followed.counted_at = now
            followed.ahead = (await find_position(self._services, job)).ahead or 0
        return followed.ahead

    async def _check(self, followed: _Followed, caller: Caller, job_id: str) -> Job:
        """The followed job. Raises its error, and NotFoundError unless the caller may see it.

        It costs a read where the caller's role in the project is a stored one, and nothing else.
        """
        if followed.error is not None:
            raise followed.error
        job = followed.job
        if job is not None and not caller.may_see(job):
            caller = await add_stored_role(self._services, caller, job.project_id)
        if job is None or not caller.may_see(job):
            raise _not_found(job_id)
        return job

    async def _follow(self, job_id: str) -> _Followed:
        if len(job_id) > _LONGEST_ID:
            raise _not_found(job_id)
        followed = self._followed.pop(job_id, None)
        if followed is None:
            while len(self._followed) >= _MOST_JOBS:
                self._forget(next(iter(self._followed)))
            followed = _Followed()
            followed.task = asyncio.create_task(self._watch(job_id, followed))
        # What was asked for last is the last in the order.
        self._followed[job_id] = followed
        if followed.timer is not None:
            followed.timer.cancel()
        loop = asyncio.get_running_loop()
        followed.timer = loop.call_later(_IDLE_SECONDS, self._forget, job_id)
        if followed.job is None and followed.error is None:
            await followed.changed.wait()
        return followed

    async def _watch(self, job_id: str, followed: _Followed) -> None:
        try:
            async with aclosing(watch_job(self._services, job_id)) as changes:
                async for job in changes:
                    followed.job = job
                    followed.note_change()
            if followed.job is not None and followed.job.status.final:
                return
            # It does not exist, or was removed.
            followed.error = _not_found(job_id)
        except TaskreelError as error:
            followed.error = error
        # The next one who asks reads the store again.
        if self._followed.get(job_id) is followed:
            self._forget(job_id)
        followed.note_change()

    def _forget(self, job_id: str) -> None:
        followed = self._followed.pop(job_id)
        if followed.timer is not None:
            followed.timer.cancel()
        if followed.task is not None and followed.task is not asyncio.current_task():
            followed.task.cancel()


def _not_found(job_id: str) -> NotFoundError:
    return NotFoundError(f"There is no job {job_id} that you may see.")


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
