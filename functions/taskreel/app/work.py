"""The work of one run: its units' provider calls, their outputs stored, their state kept for the next run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from taskreel.app.inputs import bring, suffix_of
from taskreel.app.services import Services
from taskreel.domain.artifact import Artifact, artifact_path
from taskreel.domain.errors import Category, PermanentError, RateLimitedError, RunError, TemporaryError
from taskreel.domain.job import Job, JobError, UnitRun, UnitState
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.media.probe import probe
from taskreel.ports import Done, Generation, Input, Output, Pending

log = logging.getLogger(__name__)

_PROBE_SECONDS = 60.0
_OPEN = frozenset({UnitState.TODO, UnitState.RUNNING})


class Work:
    """Runs every open unit, some at a time. `units` is always the newest state; `save` keeps it in between."""

    def __init__(self, services: Services, job: Job, job_type: JobType[Any], folder: Path) -> None:
        submission = job_type.submission.model_validate(job.payload)
        self._services = services
        self._job = job
        self._plan: tuple[Unit, ...] = job_type.units(submission)
        self._slots = asyncio.Semaphore(job_type.concurrency(submission))
        self._folder = folder
        self._fractions = [1.0 if unit.state not in _OPEN else 0.0 for unit in job.units]
        self._units = list(job.units)

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """Every unit as it is now."""
        return tuple(self._units)

    @property
    def progress(self) -> int:
        """Whole percent; 100 is for the end alone."""
        return min(99, int(100 * sum(self._fractions) / len(self._fractions)))

    async def run(self, save: Callable[[], Awaitable[None]]) -> None:
        """Do what is open. Whatever happens to a unit is in its state; `save` stores what must not be lost."""
        todo = [index for index, unit in enumerate(self._units) if unit.state in _OPEN]
        if len(todo) == 1:
            await self._one(todo[0])
            return

        async def each(index: int) -> None:
            async with self._slots:
                await self._one(index)
            if self._units[index].operation is not None:
                # Before anything else can happen: a lost operation would be bought again.
                await save()

        await asyncio.gather(*(each(index) for index in todo))

    def time_out(self, limit: timedelta) -> None:
        """The run's time is up: what had not ended may be tried again."""
        error = TemporaryError(f"The attempt took longer than {limit.total_seconds():.0f} s.", code="attempt_timeout")
        for index, unit in enumerate(self._units):
            if unit.state is UnitState.TODO:
                self._set(index, error=_shown(error))

    async def _one(self, index: int) -> None:
        unit = self._units[index]
        try:
            if unit.due_at is not None and unit.due_at > self._services.clock.now():
                return
            await self._call(index, unit)
        except RunError as error:
            self._failed(index, unit, error)
        except Exception:
            log.exception("unit crashed", extra={"action": "unit_crashed", "job_id": self._job.job_id})
            self._failed(index, unit, TemporaryError("Something went wrong on our side.", code="internal_error"))

    async def _call(self, index: int, unit: UnitRun) -> None:
        provider = self._services.providers.get(unit.provider)
        request = self._request(index, unit)
        if unit.operation is not None:
            answer = await provider.poll(unit.operation, request)
        else:
            request = replace(request, inputs=await self._inputs(index, request))
            key = f"{self._job.job_id}.{self._job.round}.{index}"
            answer = await provider.start(request, idempotency_key=key)
        if isinstance(answer, Pending):
            self._pending(index, answer)
        else:
            await self._done(index, answer, request.folder)

    def _request(self, index: int, unit: UnitRun) -> Generation:
        plan = self._plan[index]

        def report(fraction: float) -> None:
            self._fractions[index] = max(self._fractions[index], min(fraction, 1.0))

        return Generation(
            capability=plan.capability,
            model=str(self._job.payload.get("model") or ""),
            params={"seed": self._seed(index), **plan.params},
            folder=self._folder,
            name=f"unit-{index}",
            attempt=self._job.attempt,
            waits=unit.waits,
            report=report,
        )

    def _seed(self, index: int) -> int:
        """The same job's unit is always drawn the same, whoever asks for no seed of their own."""
        return int.from_bytes(f"{self._job.job_id}.{index}".encode(), "big") % 2**32

    async def _inputs(self, index: int, request: Generation) -> tuple[Input, ...]:
        urls = self._plan[index].input_urls
        return await bring(self._services, self._job, urls, request.folder, request.name) if urls else ()

    def _pending(self, index: int, answer: Pending) -> None:
        if answer.progress is not None:
            self._fractions[index] = answer.progress
        due = self._services.clock.now() + answer.poll_after
        self._set(index, state=UnitState.RUNNING, operation=dict(answer.operation), due_at=due, error=None)

    async def _done(self, index: int, answer: Done, folder: Path) -> None:
        several = len(answer.outputs) > 1
        artifacts = tuple(
            [
                await self._store(output, self._plan[index].name + (f"-{number}" if several else ""), folder)
                for number, output in enumerate(answer.outputs, start=1)
            ]
        )
        data = dict(answer.data) if answer.data else None
        self._set(index, state=UnitState.DONE, operation=None, due_at=None, error=None, artifacts=artifacts, data=data)
        self._fractions[index] = 1.0

    async def _store(self, output: Output, stem: str, folder: Path) -> Artifact:
        """Copy an output into our bucket, checked by its content, before the job may complete."""
        file = output.path or await self._download(output, folder / f"{stem}.download")
        info = await self._services.workers.run(probe, file, timeout_seconds=_PROBE_SECONDS)
        name = stem + suffix_of(info.content_type)
        path = artifact_path(self._job.job_id, self._job.fence, name)
        await self._services.blobs.put(path, file, content_type=info.content_type)
        return Artifact(
            name=name,
            path=path,
            content_type=info.content_type,
            bytes=info.bytes,
            sha256=info.sha256,
            width=info.width,
            height=info.height,
            duration_seconds=info.duration_seconds,
        )

    async def _download(self, output: Output, target: Path) -> Path:
        if output.url is None:
            raise PermanentError("The provider named no file.", code="no_output")
        rules = self._services.rules
        seconds = rules.input_timeout.total_seconds()
        await self._services.fetch(output.url, target, max_bytes=rules.max_input_bytes, seconds=seconds)
        return target

    def _failed(self, index: int, unit: UnitRun, error: RunError) -> None:
        """A failed poll is asked again; a failed start waits for the next run; a permanent error ends the unit."""
        shown = _shown(error)
        log.warning("unit failed", extra={"action": "unit_failed", "job_id": self._job.job_id, "code": error.code})
        if error.category is Category.PERMANENT:
            self._set(index, state=UnitState.FAILED, operation=None, due_at=None, error=shown)
            return
        wait = error.retry_after if isinstance(error, RateLimitedError) else None
        if unit.operation is not None:
            wait = wait or self._job.retry.wait(1, self._services.random.random())
        waits = unit.waits + (1 if isinstance(error, RateLimitedError) else 0)
        due = None if wait is None else self._services.clock.now() + wait
        self._set(index, error=shown, due_at=due, waits=waits)

    def _set(self, index: int, **changes: Any) -> None:
        self._units[index] = self._units[index].model_copy(update=changes)


def _shown(error: RunError) -> JobError:
    return JobError(code=error.code, category=error.category, message=error.message)
