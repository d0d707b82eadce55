"""The errors of a unit: how they are explained, and what they make of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from taskreel.app.jobs.failed_attempts import FailedCall
from taskreel.domain.errors import (
    AMBIGUOUS,
    UNSURE,
    Category,
    PermanentError,
    RateLimitedError,
    RunError,
    TemporaryError,
)
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_history import FailedAttempt
from taskreel.domain.unit import UnitRun, UnitState

log = logging.getLogger(__name__)

#: How often a finished result is fetched, each time from the address that a new poll gives.
_MOST_FETCHES = 3


def record_error(
    job: Job, unit: UnitRun, error: RunError, now: datetime, draw: Callable[[], float]
) -> UnitRun:
    """The unit after an error: it has failed, or waits for its next poll or start.

    `draw` returns a random number in [0, 1) for the backoff.
    """
    shown = _describe_error(error)
    if error.category is Category.PERMANENT:
        return unit.with_changes(state=UnitState.FAILED, operation=None, due_at=None, error=shown)
    if error.details.get("ended"):
        # The operation is over and made nothing: the next attempt starts another.
        return unit.with_changes(
            state=UnitState.TODO, operation=None, due_at=None, begun_at=None, error=shown
        )
    # A failed poll is repeated after a backoff, a rate limit after the time that it names; any
    # other failed start has no time of its own and waits for the next attempt.
    wait = error.retry_after if isinstance(error, RateLimitedError) else None
    waits = unit.waits + 1 if wait or unit.operation else unit.waits
    if unit.operation is not None and not wait:
        wait = job.retry.backoff_after(waits, draw())
    due_at = None if wait is None else now + wait
    return unit.with_changes(error=shown, due_at=due_at, waits=waits)


def record_time_out(unit: UnitRun, limit: timedelta) -> UnitRun:
    """The unit of an attempt that took longer than `limit`; one that has ended or runs stays.

    It may be tried again, except where a purchase may have happened.
    """
    if unit.maybe_bought:
        return unit.with_changes(
            state=UnitState.FAILED, error=_describe_error(build_ambiguous_error())
        )
    if unit.state is not UnitState.TODO:
        return unit
    message = f"The attempt took longer than {limit.total_seconds():.0f} s."
    late = TemporaryError(message, code="attempt_timeout")
    return unit.with_changes(error=_describe_error(late))


def describe_failure(
    job: Job, index: int, unit: UnitRun, error: RunError, at: datetime
) -> FailedCall:
    """A failed call, as the job and its answers record it."""
    shown = _describe_error(error)
    attempt = FailedAttempt(
        at=at,
        attempt=job.attempt,
        unit=index,
        provider=unit.provider,
        model=unit.model,
        code=shown.code,
        category=shown.category,
        message=shown.message,
        cost_usd=error.cost_usd,
        cost_estimated=error.cost_estimated,
    )
    answer = error.details.get("answer")
    return FailedCall(attempt, None if answer is None else str(answer))


def explain_crash(
    error: Exception, job: Job, index: int, unit: UnitRun, *, is_paid: bool
) -> RunError:
    """The error of a crash; one that happens again is a fault of the code and permanent.

    A disk that is full is none: while the provider has the result, it is fetched again later,
    perhaps by another instance.
    """
    before = unit.error
    is_fetched_again = unit.operation is not None and isinstance(error, OSError)
    if before is not None and before.code == "internal_error" and not is_fetched_again:
        if unit.operation is not None and is_paid:
            _report_lost_operation(job, index, unit)
        message = "Something went wrong on our side, again at the same work."
        return PermanentError(message, code="internal_error")
    return TemporaryError("Something went wrong on our side.", code="internal_error")


def _report_lost_operation(job: Job, index: int, unit: UnitRun) -> None:
    """Hand an operation whose result the code cannot take to an operator."""
    log.critical(
        "the result of an operation that was bought crashes the code that takes it; the unit "
        "has failed, and the provider has the result",
        extra={
            "action": "bought_unstored",
            "job_id": job.job_id,
            "unit": index,
            "provider": unit.provider,
            "operation": unit.operation,
        },
    )


def explain_lost_result(unit: UnitRun, error: RunError) -> tuple[UnitRun, RunError]:
    """The unit and the error of a paid result that could not be stored.

    One that cannot be fetched is not bought again: while there is an operation, the next poll gives
    a new address, a few times.
    """
    if error.category is Category.PERMANENT and error.code != "input_unreachable":
        return unit, error
    fetches = unit.unfetched + 1
    message = (
        f"{unit.provider} has finished, but its result cannot be fetched: "
        "its address may have expired."
    )
    is_final = unit.operation is None or fetches >= _MOST_FETCHES
    kind = PermanentError if is_final else TemporaryError
    return unit.with_changes(unfetched=fetches), kind(message, code="result_unreachable")


def build_ambiguous_error() -> PermanentError:
    """The error of a call that may have been bought without our knowing."""
    return PermanentError(UNSURE, code=AMBIGUOUS)


def _describe_error(error: RunError) -> JobError:
    """The error as users see it; an ambiguous one always says what to do about it."""
    message = error.message
    if error.code == AMBIGUOUS and message != UNSURE:
        message = f"{message.rstrip('.')}. {UNSURE}"
    return JobError(code=error.code, category=error.category, message=message)
