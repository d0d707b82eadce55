"""The two decisions on a run: may a delivery claim the job now, and what follows the run. Pure.

They take a job, its units and the time, and for the backoff a random draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Literal

from taskreel.domain.errors import AMBIGUOUS, UNSURE, Category
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_fields import JobChanges
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.domain.unit import CLOCK_TOLERANCE, UnitRun, UnitState

#: How much longer than its lease a run has that may hold an answer which was paid for. While the
#: store is away no run can renew a lease; then the run stores the answer before another run
#: declares it lost.
ANSWER_GRACE = timedelta(minutes=2)


class Verdict(Enum):
    """The action that a delivery takes."""

    RUN = auto()
    #: Another run holds the lease: the queue should deliver again later.
    BUSY = auto()
    #: Nothing to do, now or for this delivery.
    IGNORE = auto()
    #: The job has ended while an operation of it runs at a provider: cancel the operation.
    CLEAN_UP = auto()
    #: The job ends here, as `status` with `error`.
    END = auto()


class Claim(Record):
    """The verdict; with END, the final status and its error."""

    verdict: Verdict
    status: Status | None = None
    error: JobError | None = None


def decide_claim(job: Job, now: datetime) -> Claim:
    """Decide what a delivery may do with a job. The one rule, for repeated deliveries too."""
    # The work of a job in a state of a newer revision is left to that revision.
    if job.status.final or job.has_unknown_state:
        return Claim(Verdict.CLEAN_UP if job.awaits_clean_up else Verdict.IGNORE)

    # A lease that still counts comes before everything else, deadlines included: its run may be
    # storing work that has been paid for.
    if job.lease_until is not None and run_over_at(job, job.lease_until) > now:
        return Claim(Verdict.BUSY)

    missed = _find_end_of_open_job(job, now)
    if missed is not None:
        return missed

    job = _make_due(job, now)
    waits_for_others = job.status in {Status.BLOCKED, Status.THROTTLED}
    if waits_for_others or now < _next_step_at(job, now) - CLOCK_TOLERANCE:
        return Claim(Verdict.IGNORE)

    run_died = job.lease_until is not None
    if run_died and job.counts_as_attempt(now) and not job.retry.allows_another(job.attempt):
        return _end_after_lost_run(job)
    return Claim(Verdict.RUN)


def run_over_at(job: Job, lease_until: datetime) -> datetime:
    """The time from which another run may take the job."""
    return lease_until + ANSWER_GRACE if job.maybe_bought else lease_until


def end_dead_lease(job: Job, now: datetime) -> Job:
    """Copy the job with the lease of a run that is known to be dead: over, its grace included.

    The lease stays, as that of a run that died: the claim that follows counts it. The fence need
    not move, since no one is alive who could write with it.
    """
    return job.with_changes(now, lease_until=now - ANSWER_GRACE, wake_at=job.next_wake_at(now))


def find_due_end(job: Job, now: datetime) -> Claim | None:
    """The end of a job whose deadline has passed, or that has begun to end.

    None while it has time, or once it has ended.
    """
    return None if job.status.final or job.has_unknown_state else _find_end_of_open_job(job, now)


def _find_end_of_open_job(job: Job, now: datetime) -> Claim | None:
    """The end of a job that has not ended; None while it has time."""
    if job.ending is not None:
        return Claim(Verdict.END, job.ending.status, job.ending.error)
    finish_missed = job.finish_by is not None and job.finish_by <= now
    start_missed = job.start_by is not None and job.start_by <= now
    if not job.is_started and (start_missed or finish_missed):
        return _end_claim(
            Status.EXPIRED,
            "start_deadline_passed",
            "The job did not start in the time it was given.",
        )
    if finish_missed:
        return _end_claim(
            Status.FAILED, "deadline_passed", "The job did not finish in the time it was given."
        )
    return None


def claim_job(job: Job, now: datetime, lease: timedelta) -> Job:
    """Copy the job as claimed by a run: PROCESSING, a new fencing token, a lease.

    The attempt number grows only when the run counts as an attempt, and never above the most that
    the retry policy allows: a run of the last attempt that stopped or crashed is gone on with. A
    lease that is still there belonged to a run that died.
    """
    job = _make_due(job, now)
    lost_runs = job.lost_runs if job.lease_until is None else job.lost_runs + 1
    is_new = job.counts_as_attempt(now) and job.attempt < job.retry.max_attempts
    attempt = job.attempt + 1 if is_new else job.attempt
    lease_until = now + lease
    # The fence grows, so that no earlier run of the job can write any more.
    claimed: JobChanges = {
        "attempt": attempt,
        "fence": job.fence + 1,
        "lease_until": lease_until,
        "wake_at": job.next_wake_at(lease_until),
        "next_attempt_at": None,
        "rescues": 0,
        "lost_runs": lost_runs,
    }
    if job.status is Status.PROCESSING:
        return job.with_changes(now, **claimed)
    return job.enter_status(Status.PROCESSING, now, **claimed)


def _make_due(job: Job, now: datetime) -> Job:
    """The job with what it waits for due now, if the clock has gone back since its last write.

    Its times are then those of another clock: up to hours ahead, while its task has come. A poll or
    a try that is early does no harm, and a task that is ignored would be lost. The time of a
    scheduled job is the caller's own and stays.
    """
    if job.updated_at <= now + CLOCK_TOLERANCE or job.status is Status.SCHEDULED:
        return job
    units = tuple(
        unit.with_changes(due_at=now) if unit.is_open and unit.due_at is not None else unit
        for unit in job.units
    )
    return job.with_changes(job.updated_at, units=units, next_attempt_at=None)


def _end_after_lost_run(job: Job) -> Claim:
    """The end of a job of which too many runs died with their workers."""
    if job.maybe_bought:
        return _end_claim(Status.FAILED, AMBIGUOUS, UNSURE)
    return _end_claim(
        Status.FAILED,
        "worker_lost",
        "The worker died too often while it ran this job, and no attempt remains.",
    )


def _end_claim(status: Status, code: str, message: str) -> Claim:
    error = JobError(code=code, category=Category.PERMANENT, message=message)
    return Claim(Verdict.END, status, error)


def _next_step_at(job: Job, now: datetime) -> datetime:
    """The time at which the job's next step may begin; `now` when nothing is waited for.

    It is not the time of an earlier write: another machine's clock may have been ahead.
    """
    only_polls = all(unit.state is not UnitState.TODO for unit in job.units)
    if job.status is Status.PROCESSING and only_polls:
        polls = [unit.due_at for unit in job.units if unit.due_at is not None]
        return min(polls, default=now)
    return job.next_attempt_at or now


# ── After the run ────────────────────────────────────────────────────────────────────────────────


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
