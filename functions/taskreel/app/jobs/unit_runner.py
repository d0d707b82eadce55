"""The work of one run: its units' provider calls, their outputs stored, their state kept for the next run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_camel

from taskreel.app.jobs.input_files import bring
from taskreel.app.jobs.output_files import keep
from taskreel.app.providers.failover import Failover
from taskreel.app.services import Services
from taskreel.domain.errors import (
    AMBIGUOUS,
    UNSURE,
    Category,
    LeaseLostError,
    PermanentError,
    RateLimitedError,
    RunError,
    TemporaryError,
)
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.unit import TriedProvider, UnitRun, UnitState
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.ports import Done, Generation, Input, Pending, WorkRequest

log = logging.getLogger(__name__)

#: How often a finished result is fetched, each time from the address that a new poll gives.
_FETCHES = 3
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
        self._failover = Failover(services.providers, services.clock, job, submission, self._plan)
        self._save: Callable[[], Awaitable[None]] = _nothing

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """Every unit as it is now."""
        return tuple(self._units)

    @property
    def tried(self) -> tuple[TriedProvider, ...]:
        """Who has failed the job so far."""
        return self._failover.tried

    @property
    def progress(self) -> int:
        """Whole percent; 100 is for the end alone."""
        return min(99, int(100 * sum(self._fractions) / len(self._fractions)))

    async def run(self, save: Callable[[], Awaitable[None]]) -> None:
        """Do what is open. Whatever happens to a unit is in its state; `save` stores what must not be lost."""
        self._save = save
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

        running = [asyncio.ensure_future(each(index)) for index in todo]
        try:
            await asyncio.gather(*running)
        finally:
            for one in running:
                one.cancel()

    def time_out(self, limit: timedelta) -> None:
        """The run's time is up: what had not ended may be tried again, except where a purchase may be under way."""
        late = TemporaryError(
            f"The attempt took longer than {limit.total_seconds():.0f} s.", code="attempt_timeout"
        )
        for index, unit in enumerate(self._units):
            if unit.maybe_bought:
                self._set(index, state=UnitState.FAILED, error=_shown(_unsure()))
            elif unit.state is UnitState.TODO:
                self._set(index, error=_shown(late))

    async def _one(self, index: int) -> None:
        """Do the unit: with another provider when one fails before anything was bought."""
        if self._units[index].maybe_bought:
            self._failed(index, self._units[index], _unsure())
            return
        while self._is_due(index):
            called_at = self._services.clock.now()
            failure = await self._attempt(self._call(index))
            if failure is None:
                return
            unit = self._units[index]
            if self._buys(unit):
                await self._failover.record_failure(unit, failure, called_at)
                other = await self._failover.find_replacement(unit, self._plan[index], failure)
                if other is not None:
                    self._units[index] = other
                    continue
            self._failed(index, unit, failure)
            return

    def _is_due(self, index: int) -> bool:
        return self._units[index].is_due(self._services.clock.now())

    async def _attempt(self, work: Awaitable[None]) -> RunError | None:
        try:
            await work
        except LeaseLostError:
            raise
        except RunError as error:
            return error
        except Exception:
            log.exception(
                "unit crashed", extra={"action": "unit_crashed", "job_id": self._job.job_id}
            )
            return TemporaryError("Something went wrong on our side.", code="internal_error")
        return None

    async def _call(self, index: int) -> None:
        unit, request = self._units[index], self._request(index)
        if unit.operation is not None:
            provider = self._services.providers.get(unit.provider)
            await self._take(index, await provider.poll(unit.operation, request))
            return
        request = replace(request, inputs=await self._inputs(index, request))
        if self._buys(unit):
            await self._buy(index, request)
        else:
            await self._take(index, await self._start(index, request))

    async def _buy(self, index: int, request: Generation) -> None:
        """Begin what is paid for. It is stored as begun first: a run that dies here must not buy it twice."""
        unit = await self._failover.admit_unit(self._units[index], self._plan[index])
        self._units[index] = unit.model_copy(update={"begun_at": self._services.clock.now()})
        await self._save()
        buying = asyncio.ensure_future(self._bought(index, request))
        try:
            await asyncio.shield(buying)
        except asyncio.CancelledError:
            # The run is over, the purchase is not: its answer is waited for, and what it brings is kept.
            error = await self._attempt(asyncio.shield(buying))
            if error is not None:
                self._failed(index, self._units[index], error)
            raise

    async def _bought(self, index: int, request: Generation) -> None:
        try:
            answer = await self._start(index, request)
        except RunError as error:
            if error.code != AMBIGUOUS:
                self._set(index, begun_at=None)
            raise
        except Exception as error:
            log.exception(
                "start crashed", extra={"action": "start_crashed", "job_id": self._job.job_id}
            )
            raise _unsure() from error
        await self._take(index, answer)

    async def _start(self, index: int, request: Generation) -> Done | Pending:
        unit, key = self._units[index], f"{self._job.job_id}.{self._job.round}.{index}"
        provider = self._services.providers.get(unit.provider)
        return await provider.start(replace(request, model=self._model(unit)), idempotency_key=key)

    async def _take(self, index: int, answer: Done | Pending) -> None:
        if isinstance(answer, Pending):
            self._pending(index, answer)
        else:
            await self._done(index, answer)

    def _buys(self, unit: UnitRun) -> bool:
        return self._services.providers.is_paid(unit.provider)

    def _request(self, index: int) -> Generation:
        plan, unit = self._plan[index], self._units[index]

        def report(fraction: float) -> None:
            self._fractions[index] = max(self._fractions[index], min(fraction, 1.0))

        return Generation(
            capability=plan.capability,
            model=self._model(unit),
            params={"seed": self._seed(index), **plan.params},
            folder=self._folder,
            name=f"unit-{index}",
            attempt=self._job.attempt,
            waits=unit.waits,
            report=report,
        )

    def _model(self, unit: UnitRun) -> str:
        return unit.model or str(self._job.payload.get("model") or "")

    def _seed(self, index: int) -> int:
        """The same job's unit is always drawn the same, whoever asks for no seed of their own."""
        return int.from_bytes(f"{self._job.job_id}.{index}".encode(), "big") % 2**32

    async def _inputs(self, index: int, request: Generation) -> tuple[Input, ...]:
        urls = self._plan[index].input_urls
        return (
            await bring(self._services, self._job, urls, request.folder, request.name)
            if urls
            else ()
        )

    def _pending(self, index: int, answer: Pending) -> None:
        if answer.progress is not None:
            self._fractions[index] = answer.progress
        due = self._services.clock.now() + answer.poll_after
        operation = dict(answer.operation)
        self._set(
            index, state=UnitState.RUNNING, operation=operation, due_at=due, error=None, waits=0
        )

    async def _done(self, index: int, answer: Done) -> None:
        unit, plan, began = self._units[index], self._plan[index], self._services.clock.now()
        catalogue = self._services.providers.catalogue
        asked = WorkRequest(
            plan.capability, unit.model or "", plan.params, len(plan.input_urls), began
        )
        try:
            artifacts = await keep(
                self._services, self._job, answer.outputs, plan.name, self._folder
            )
        except RunError as error:
            raise self._unkept(index, error) from error
        cost: dict[str, Any] = {}
        if self._buys(unit):
            await self._failover.record_success(unit, began)
            known = answer.cost_usd
            estimate = catalogue.estimate(unit.provider, asked) if known is None else None
            cost = {
                "cost_usd": estimate if known is None else known,
                "cost_estimated": estimate is not None,
            }
        data = {**(answer.data or {}), **plan.facts}
        if ignored := catalogue.ignored(unit.provider, asked, options_given(self._job.payload)):
            data["ignoredOptions"] = dict(ignored)
        ended = dict.fromkeys(("operation", "begun_at", "due_at", "error"))
        self._set(
            index, state=UnitState.DONE, **ended, artifacts=artifacts, data=data or None, **cost
        )
        self._fractions[index] = 1.0

    def _unkept(self, index: int, error: RunError) -> RunError:
        """What a result that could not be fetched means: a poll gives a new address, but nothing is bought again."""
        unit = self._units[index]
        lost = error.category is not Category.PERMANENT or error.code == "input_unreachable"
        if not lost or not self._buys(unit):
            return error
        tries = unit.unfetched + 1
        self._set(index, unfetched=tries)
        message = f"{unit.provider} has finished, but its result cannot be fetched: its address may have expired."
        if unit.operation is None or tries >= _FETCHES:
            return PermanentError(message, code="result_unreachable")
        return TemporaryError(message, code="result_unreachable")

    def _failed(self, index: int, unit: UnitRun, error: RunError) -> None:
        """A failed poll is asked again; a failed start waits for the next run; a permanent error ends the unit."""
        shown = _shown(error)
        log.warning(
            "unit failed",
            extra={"action": "unit_failed", "job_id": self._job.job_id, "code": error.code},
        )
        if error.category is Category.PERMANENT:
            self._set(index, state=UnitState.FAILED, operation=None, due_at=None, error=shown)
            return
        if error.details.get("ended"):
            anew = dict.fromkeys(("operation", "begun_at", "due_at"))
            self._set(index, state=UnitState.TODO, **anew, error=shown)
            return
        wait = error.retry_after if isinstance(error, RateLimitedError) else None
        waits = unit.waits + (1 if wait or unit.operation else 0)
        if unit.operation is not None:
            wait = wait or self._job.retry.wait(waits, self._services.random.random())
        due = None if wait is None else self._services.clock.now() + wait
        self._set(index, error=shown, due_at=due, waits=waits)

    def _set(self, index: int, **changes: Any) -> None:
        self._units[index] = self._units[index].model_copy(update=changes)


def options_given(payload: Mapping[str, Any]) -> set[str]:
    """The names, as provider calls carry them, of all that a caller has set; what is only a default is not there."""
    found = {to_camel(name) for name in payload}
    for name, value in payload.items():
        if isinstance(value, Mapping) and name not in {"providerOptions", "studio"}:
            found |= options_given(value)
    return found


async def _nothing() -> None:
    """Before `run` there is nothing to save."""


def _unsure() -> PermanentError:
    return PermanentError(UNSURE, code=AMBIGUOUS)


def _shown(error: RunError) -> JobError:
    message = error.message
    if error.code == AMBIGUOUS and message != UNSURE:
        message = f"{message.rstrip('.')}. {UNSURE}"
    return JobError(code=error.code, category=error.category, message=message)
