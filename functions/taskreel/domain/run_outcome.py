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
    """Another delivery is needed at `at`: to try again, or (`why` = "poll") to ask the provider."""

    units: tuple[UnitRun, ...]
    at: datetime
    why: Literal["retry", "poll"]
    error: JobError | None


Outcome = Completed | Failed | Again


def decide_outcome(job: Job, units: Sequence[UnitRun], now: datetime, fraction: float) -> Outcome:
    """The rule. A unit that is TODO wants another try; out of attempts its error is final, unless it is a rate limit.

    What is tried again is tried together, after the backoff: a poll in between neither hastens it nor counts.
    """
    if not job.retry.allows_another(job.attempt):
        units = [_given_up(unit) if _to_try(unit) and not unit.limited else unit for unit in units]
    then = now + job.retry.wait(job.attempt, fraction)
    failed_now = any(_to_try(unit) and not unit.limited and unit.is_due(now) for unit in units)
    units = [
        _put_off(unit, then) if _waits(unit, now, failed_now=failed_now) else unit for unit in units
    ]
    open_again = [unit for unit in units if _to_try(unit)]
    polls = [unit.due_at or now for unit in units if unit.state is UnitState.RUNNING]
    if open_again:
        times = [unit.due_at or then for unit in open_again]
        at = max(times) if all(unit.limited for unit in open_again) else min(times)
        return Again(tuple(units), min([at, *polls]), "retry", open_again[0].error)
    if polls:
        return Again(tuple(units), min(polls), "poll", None)
    return _ended(units)


def _to_try(unit: UnitRun) -> bool:
    return unit.state is UnitState.TODO


def _waits(unit: UnitRun, now: datetime, *, failed_now: bool) -> bool:
    """Whether the unit is to be tried when those are that have failed now."""
    return _to_try(unit) and (unit.is_due(now) or (failed_now and not unit.limited))


def _put_off(unit: UnitRun, then: datetime) -> UnitRun:
    return unit.model_copy(update={"due_at": then})


def _given_up(unit: UnitRun) -> UnitRun:
    return unit.model_copy(update={"state": UnitState.FAILED})


def _ended(units: Sequence[UnitRun]) -> Completed | Failed:
    done = [unit for unit in units if unit.state is UnitState.DONE]
    if done:
        return Completed(tuple(units), sum(unit.credits for unit in done))
    errors = [unit.error for unit in units if unit.error is not None]
    unknown = JobError(
        code="internal_error", category=Category.PERMANENT, message="The job failed."
    )
    return Failed(tuple(units), errors[0] if errors else unknown)
