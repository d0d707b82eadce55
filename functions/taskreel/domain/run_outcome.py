"""The decision what follows a run. Pure: units, retry policy, the time and a random draw."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from taskreel.domain.errors import Category
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.record import Record
from taskreel.domain.unit import UnitRun, UnitState


class Completed(Record):
    """At least one unit is done and none is open."""

    units: tuple[UnitRun, ...]


class Failed(Record):
    """No unit is done and none is open."""

    units: tuple[UnitRun, ...]
    error: JobError


class Again(Record):
    """Another delivery is needed at `at`: to try again, or ("poll") to ask the provider."""

    units: tuple[UnitRun, ...]
    at: datetime
    why: Literal["retry", "poll"]
    error: JobError | None


Outcome = Completed | Failed | Again


def decide_outcome(job: Job, units: Sequence[UnitRun], now: datetime, fraction: float) -> Outcome:
    """Decide what follows a run. `fraction` in [0, 1) is a random draw for the backoff.

    A unit that is TODO is tried again; without an attempt for it its error is final, except a rate
    limit, which waits and uses no attempt. Units that failed are tried again in one run after the
    backoff: a poll in between neither brings them forward nor counts as an attempt.
    """
    polls = [unit.due_at or now for unit in units if unit.state is UnitState.RUNNING]
    if any(unit.state is UnitState.TODO for unit in units):
        if not job.retry.allows_another(job.attempt):
            units = [_fail_unless_rate_limited(unit) for unit in units]
        retry_at = now + job.retry.backoff_after(job.attempt, fraction)
        units = _put_off_retries(units, now, retry_at)
        to_try = [unit for unit in units if unit.state is UnitState.TODO]
        if to_try:
            at = min([_next_try_at(to_try, retry_at), *polls])
            return Again(tuple(units), at, "retry", to_try[0].error)

    if polls:
        return Again(tuple(units), min(polls), "poll", None)
    return _final_outcome(units)


def fail_without_attempts(job: Job, units: Sequence[UnitRun]) -> tuple[UnitRun, ...]:
    """The units of a run that stopped before it had an outcome; `job` is as the run claimed it.

    A unit that failed in the run, on the last attempt, has failed for good: the next run must not
    try it again. One that the run has not come to is still to be tried, in the same attempt.
    """
    if job.retry.allows_another(job.attempt):
        return tuple(units)
    return tuple(
        _fail_unless_rate_limited(unit) if unit != before and unit.error is not None else unit
        for unit, before in zip(units, job.units, strict=True)
    )


def _fail_unless_rate_limited(unit: UnitRun) -> UnitRun:
    """Fail a unit for which no attempt remains; a rate-limited one goes on waiting."""
    if unit.state is not UnitState.TODO or unit.is_rate_limited:
        return unit
    return unit.with_changes(state=UnitState.FAILED)


def _put_off_retries(units: Sequence[UnitRun], now: datetime, retry_at: datetime) -> list[UnitRun]:
    """Move to `retry_at` the units that failed in this run, and those that wait for a retry."""
    failed_now = any(_failed_in_this_run(unit, now) for unit in units)
    changed: list[UnitRun] = []
    for unit in units:
        joins_retry = failed_now and not unit.is_rate_limited
        if unit.state is UnitState.TODO and (unit.is_due(now) or joins_retry):
            changed.append(unit.with_changes(due_at=retry_at))
        else:
            changed.append(unit)
    return changed


def _failed_in_this_run(unit: UnitRun, now: datetime) -> bool:
    return unit.state is UnitState.TODO and not unit.is_rate_limited and unit.is_due(now)


def _next_try_at(to_try: Sequence[UnitRun], retry_at: datetime) -> datetime:
    """The time of the next try: the latest when all are rate-limited, so that one run does all."""
    times = [unit.due_at or retry_at for unit in to_try]
    if all(unit.is_rate_limited for unit in to_try):
        return max(times)
    return min(times)


def _final_outcome(units: Sequence[UnitRun]) -> Completed | Failed:
    if any(unit.state is UnitState.DONE for unit in units):
        return Completed(tuple(units))

    errors = [unit.error for unit in units if unit.error is not None]
    unknown = JobError(
        code="internal_error", category=Category.PERMANENT, message="The job failed."
    )
    return Failed(tuple(units), errors[0] if errors else unknown)
