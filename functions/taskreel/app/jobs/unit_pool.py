"""The units of one run of a job, with bounded concurrency."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from taskreel.app.jobs.task_group import single_error
from taskreel.app.jobs.unit_runner import RunContext, UnitRunner
from taskreel.app.providers.failover import Failover
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.domain.unit import TriedProvider, UnitRun
from taskreel.jobtypes.job_type import JobType, Unit


class UnitPool:
    """Runs all open units of a job with bounded concurrency; `units` is the current state.

    `save` stores the current state in the middle of the run.
    """

    def __init__(
        self,
        services: Services,
        job: Job,
        job_type: JobType[Any],
        folder: Path,
        save: Callable[[], Awaitable[None]],
    ) -> None:
        submission = job_type.load_submission(job.payload)
        plan = job_type.units(submission)
        self._failover = Failover(services.providers, services.clock, job, submission, plan)
        self._slots = asyncio.Semaphore(job_type.concurrency(submission))
        self._save = save
        context = RunContext(services, job, folder, self._failover, save)
        self._runners = [
            UnitRunner(context, index, _with_fixed_provider(unit, planned), planned)
            for index, (unit, planned) in enumerate(zip(job.units, plan, strict=False))
        ]

    @property
    def units(self) -> tuple[UnitRun, ...]:
        """Every unit as it is now."""
        return tuple(runner.unit for runner in self._runners)

    @property
    def tried(self) -> tuple[TriedProvider, ...]:
        """The providers that failed the job so far."""
        return self._failover.tried

    @property
    def progress(self) -> int:
        """Whole percent, at most 99: 100 is for a completed job."""
        fractions = [runner.fraction for runner in self._runners]
        return min(99, int(100 * sum(fractions) / len(fractions)))

    async def run_units(self) -> None:
        """Run the open units. An error of a provider ends in the unit's state.

        Raises LeaseLostError or StoreError when the state could not be saved.
        """
        todo = [runner for runner in self._runners if runner.unit.open]
        if len(todo) == 1:
            # The end of the run stores it: a job of one unit pays for no write in between.
            await todo[0].run_unit()
            return
        with single_error():
            async with asyncio.TaskGroup() as group:
                for runner in todo:
                    group.create_task(self._run_in_slot(runner))

    def fail_timed_out(self, limit: timedelta) -> None:
        """Record in every unit that did not end that the attempt took longer than `limit`."""
        for runner in self._runners:
            runner.record_time_out(limit)

    async def _run_in_slot(self, runner: UnitRunner) -> None:
        async with self._slots:
            await runner.run_unit()
        if runner.unit.operation is not None:
            # Before anything else can happen: a lost operation would be bought again.
            await self._save()


def _with_fixed_provider(unit: UnitRun, planned: Unit) -> UnitRun:
    """An open unit with the provider that its job type fixes; an older job may name another."""
    if planned.provider is None or unit.provider == planned.provider or not unit.open:
        return unit
    return unit.with_changes(provider=planned.provider)
