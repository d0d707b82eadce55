"""What becomes of a job after a run: a pure decision on its units, the policy, the time and a random draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from taskreel.domain.errors import Category
from taskreel.domain.job import Job, JobError, UnitRun, UnitState


@dataclass(frozen=True, slots=True)
class Completed:
    """At least one unit is done and none is open: what is done is captured, the rest of the hold released."""

    units: tuple[UnitRun, ...]
    captured: int


@dataclass(frozen=True, slots=True)
class Failed:
    """No unit is done and none is open."""

    units: tuple[UnitRun, ...]
    error: JobError


@dataclass(frozen=True, slots=True)
class Again:
    """Another delivery is needed at `at`: to try again, or (`why` = "poll") to ask the provider.

    `counted` tells whether the run that has just ended was an attempt.
    """

    units: tuple[UnitRun, ...]
    at: datetime
    why: Literal["retry", "poll"]
    counted: bool
    error: JobError | None


Outcome = Completed | Failed | Again


def decide_outcome(job: Job, units: Sequence[UnitRun], now: datetime, fraction: float) -> Outcome:
    """The rule. A unit that is TODO with an error wants another try; out of attempts, its error is final."""
    open_again = [unit for unit in units if unit.state is UnitState.TODO]
    waits_only = all(unit.error is not None and unit.error.category is Category.RATE_LIMITED for unit in open_again)
    if open_again and not waits_only and not job.retry.allows_another(job.attempt):
        units = [_given_up(unit) for unit in units]
        open_again = []
    polls = [unit.due_at or now for unit in units if unit.state is UnitState.RUNNING]
    if open_again:
        times = [unit.due_at or now + job.retry.wait(job.attempt, fraction) for unit in open_again]
        at = max(times) if waits_only else min(times)
        return Again(tuple(units), min([at, *polls]), "retry", not waits_only, open_again[0].error)
    if polls:
        return Again(tuple(units), min(polls), "poll", True, None)
    return _ended(units)


def _given_up(unit: UnitRun) -> UnitRun:
    return unit.model_copy(update={"state": UnitState.FAILED}) if unit.state is UnitState.TODO else unit


def _ended(units: Sequence[UnitRun]) -> Completed | Failed:
    done = [unit for unit in units if unit.state is UnitState.DONE]
    if done:
        return Completed(tuple(units), sum(unit.credits for unit in done))
    errors = [unit.error for unit in units if unit.error is not None]
    unknown = JobError(code="internal_error", category=Category.PERMANENT, message="The job failed.")
    return Failed(tuple(units), errors[0] if errors else unknown)
