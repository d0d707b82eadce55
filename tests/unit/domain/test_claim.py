from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain.claim_and_outcome import (
    Claim,
    Verdict,
    claim_job,
    decide_claim,
    find_due_end,
)
from taskreel.domain.errors import Category
from taskreel.domain.job import MOST_LOST_RUNS, Job
from taskreel.domain.job_status import NEXT_STATUSES, Status
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.unit import CLOCK_TOLERANCE, UnitState
from unit.domain.samples import LEASE, NOW, SECOND, error, job, statuses, times, unit, unit_runs

maybe = st.none() | times


@st.composite
def any_jobs(draw: st.DrawFn) -> Job:
    """A job as a delivery may find it."""
    status = draw(statuses)
    ran = status in {Status.PROCESSING, Status.RETRYING, Status.COMPLETED}
    started = ran or (
        draw(st.booleans()) and status not in {Status.SCHEDULED, Status.BLOCKED, Status.THROTTLED}
    )
    return job(
        status,
        status_at={status: NOW, **({Status.PROCESSING: NOW} if started else {})},
        attempt=draw(st.integers(0, 4)),
        units=tuple(draw(st.lists(unit_runs(), min_size=1, max_size=3))),
        lease_until=draw(maybe) if status is Status.PROCESSING else None,
        next_attempt_at=draw(maybe),
        start_by=draw(maybe),
        finish_by=draw(maybe),
    )


@given(any_jobs(), times)
def test_an_ended_job_is_never_touched_but_to_stop_its_provider(found: Job, now: datetime) -> None:
    verdict = decide_claim(found, now).verdict
    if found.status.final:
        left = any(one.operation is not None for one in found.units)
        assert verdict is (Verdict.CLEAN_UP if left else Verdict.IGNORE)
        assert find_due_end(found, now) is None


@given(any_jobs(), times)
def test_a_job_is_run_only_when_it_has_no_lease_and_is_due(found: Job, now: datetime) -> None:
    if decide_claim(found, now).verdict is Verdict.RUN:
        assert found.status in {Status.SCHEDULED, Status.QUEUED, Status.PROCESSING, Status.RETRYING}
        assert found.lease_until is None or found.lease_until <= now
        assert find_due_end(found, now) is None
        clock_went_back = found.updated_at > now + CLOCK_TOLERANCE
        waits = found.next_attempt_at is not None and found.status is not Status.PROCESSING
        if waits and (found.status is Status.SCHEDULED or not clock_went_back):
            assert found.next_attempt_at is not None
            assert now >= found.next_attempt_at - CLOCK_TOLERANCE


@given(any_jobs(), times)
def test_an_ending_is_one_that_the_table_allows(found: Job, now: datetime) -> None:
    claim = decide_claim(found, now)
    if claim.verdict is Verdict.END:
        assert claim.status in NEXT_STATUSES[found.status]
        assert claim.error is not None


@given(any_jobs(), times)
def test_a_claim_excludes_all_others(found: Job, now: datetime) -> None:
    if decide_claim(found, now).verdict is not Verdict.RUN:
        return
    mine = claim_job(found, now, LEASE)
    assert (mine.status, mine.fence) == (Status.PROCESSING, found.fence + 1)
    assert decide_claim(mine, now) == Claim(Verdict.BUSY)
    assert decide_claim(mine, now + LEASE).verdict is not Verdict.BUSY


@given(any_jobs(), times)
def test_a_claim_counts_as_an_attempt_only_when_something_is_due_to_be_tried(
    found: Job, now: datetime
) -> None:
    if decide_claim(found, now).verdict is Verdict.RUN:
        # A claim after the clock went back tries at once what waits for a time of the other clock.
        is_early = found.updated_at > now + CLOCK_TOLERANCE
        to_try = [
            one
            for one in found.units
            if one.state is UnitState.TODO and (one.is_due(now) or is_early)
        ]
        assert found.attempt <= claim_job(found, now, LEASE).attempt <= found.attempt + bool(to_try)


@given(any_jobs(), times)
def test_the_alarm_never_comes_after_a_deadline_that_still_counts(found: Job, at: datetime) -> None:
    deadlines = (
        []
        if found.status.final
        else [found.finish_by, None if found.is_started else found.start_by]
    )
    assert found.next_wake_at(at) == min(time for time in (at, *deadlines) if time is not None)


@pytest.mark.parametrize("status", [Status.BLOCKED, Status.THROTTLED])
def test_a_job_that_may_not_run_yet_is_ignored(status: Status) -> None:
    assert decide_claim(job(status), NOW) == Claim(Verdict.IGNORE)


def test_a_scheduled_job_waits_for_its_time_give_or_take_a_second() -> None:
    waiting = job(Status.SCHEDULED, next_attempt_at=NOW + timedelta(hours=1))
    assert decide_claim(waiting, NOW).verdict is Verdict.IGNORE
    assert decide_claim(waiting, NOW + timedelta(hours=1) - CLOCK_TOLERANCE).verdict is Verdict.RUN


def test_a_run_that_died_spends_none_of_the_users_attempts() -> None:
    dead = job(Status.PROCESSING, attempt=1, lease_until=NOW, retry=RetryPolicy(max_attempts=1))
    for lost_runs in range(1, MOST_LOST_RUNS + 1):
        assert decide_claim(dead, NOW).verdict is Verdict.RUN
        dead = claim_job(dead, NOW, timedelta(0))
        assert (dead.attempt, dead.lost_runs) == (1, lost_runs)


def test_a_job_whose_runs_die_again_and_again_fails() -> None:
    lost = {"lease_until": NOW, "lost_runs": MOST_LOST_RUNS, "retry": RetryPolicy(max_attempts=2)}
    dead = claim_job(job(Status.PROCESSING, attempt=1, **lost), NOW, timedelta(0))
    assert (dead.attempt, dead.lost_runs) == (2, MOST_LOST_RUNS + 1)
    claim = decide_claim(dead, NOW)
    assert (claim.verdict, claim.status) == (Verdict.END, Status.FAILED)
    assert claim.error is not None
    assert claim.error.code == "worker_lost"


def test_a_last_attempt_that_stopped_before_its_end_is_gone_on_with() -> None:
    """Its run was stopped, or crashed, after it had done a part of its work."""
    done = unit(UnitState.DONE)
    for status in (Status.QUEUED, Status.RETRYING):
        policy = RetryPolicy(max_attempts=2)
        stopped = job(status, attempt=2, retry=policy, units=(done, unit()))
        assert decide_claim(stopped, NOW).verdict is Verdict.RUN
        assert claim_job(stopped, NOW, LEASE).attempt == 2


def test_a_poll_that_died_is_no_attempt_and_its_operation_is_asked_again() -> None:
    polled = unit(UnitState.RUNNING, operation={"id": "op"}, due_at=NOW)
    dead = job(
        Status.PROCESSING,
        attempt=1,
        lease_until=NOW,
        retry=RetryPolicy(max_attempts=1),
        units=(polled,),
    )
    assert decide_claim(dead, NOW).verdict is Verdict.RUN
    assert claim_job(dead, NOW, LEASE).attempt == 1


def test_what_goes_on_after_a_rate_limit_is_the_same_attempt() -> None:
    limited = unit(error=error(Category.RATE_LIMITED), due_at=NOW)
    waiting = job(Status.RETRYING, attempt=2, next_attempt_at=NOW, units=(limited,))
    assert claim_job(waiting, NOW, LEASE).attempt == 2
    died = claim_job(waiting, NOW, SECOND)
    again = claim_job(died, NOW + 2 * SECOND, LEASE)
    assert (again.attempt, again.lost_runs) == (2, 1)


def test_a_poll_is_no_attempt_of_what_waits_for_its_own_time() -> None:
    polled = unit(UnitState.RUNNING, operation={"id": "op"}, due_at=NOW)
    later = unit(error=error(Category.TEMPORARY), due_at=NOW + timedelta(minutes=1))
    mixed = job(Status.RETRYING, attempt=1, next_attempt_at=NOW, units=(polled, later))
    assert claim_job(mixed, NOW, LEASE).attempt == 1
    assert claim_job(mixed, NOW + timedelta(minutes=1), LEASE).attempt == 2


def test_a_job_that_never_started_expires() -> None:
    claim = decide_claim(job(start_by=NOW), NOW)
    assert (claim.verdict, claim.status) == (Verdict.END, Status.EXPIRED)


def test_a_job_that_started_in_time_may_take_longer_than_its_start_deadline() -> None:
    started = (
        job(start_by=NOW + SECOND)
        .enter_status(Status.PROCESSING, NOW)
        .enter_status(Status.QUEUED, NOW)
    )
    assert decide_claim(started, NOW + 2 * SECOND).verdict is Verdict.RUN


def test_a_job_that_started_and_did_not_finish_in_time_fails() -> None:
    late = (
        job(finish_by=NOW + SECOND)
        .enter_status(Status.PROCESSING, NOW)
        .enter_status(Status.RETRYING, NOW)
    )
    claim = decide_claim(late, NOW + SECOND)
    assert (claim.verdict, claim.status) == (Verdict.END, Status.FAILED)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PROCESSING])
def test_a_job_that_was_made_by_a_clock_an_hour_ahead_is_run(status: Status) -> None:
    """150 queued jobs lost their tasks, and waited until the clock was forward again."""
    made_at = NOW + timedelta(hours=1)
    found = job(status, created_at=made_at, updated_at=made_at, units=())
    assert decide_claim(found, NOW).verdict is Verdict.RUN


def test_a_poll_that_was_due_before_the_clock_went_back_an_hour_is_made() -> None:
    """Its task was ignored, and the operation waited until the clock was forward again."""
    polled_at = NOW + timedelta(hours=1)
    due_at = polled_at + 10 * SECOND
    running = unit(UnitState.RUNNING, operation={"id": "op"}, due_at=due_at)
    limited = unit(error=error(Category.RATE_LIMITED), due_at=due_at)
    done = unit(UnitState.DONE)
    found = job(Status.PROCESSING, updated_at=polled_at, units=(running, limited, done))
    assert decide_claim(found, NOW).verdict is Verdict.RUN
    claimed = claim_job(found, NOW, LEASE)
    assert [one.is_due(NOW) for one in claimed.units] == [True, True, True]
    assert claimed.units[2] == done


def test_a_retry_that_was_due_before_the_clock_went_back_an_hour_is_made() -> None:
    failed_at = NOW + timedelta(hours=1)
    found = job(
        Status.RETRYING, updated_at=failed_at, next_attempt_at=failed_at + 10 * SECOND, attempt=1
    )
    assert decide_claim(found, NOW).verdict is Verdict.RUN
    assert claim_job(found, NOW, LEASE).attempt == 2


def test_a_scheduled_job_waits_for_its_time_whatever_clock_wrote_it() -> None:
    at = NOW + timedelta(hours=2)
    found = job(Status.SCHEDULED, updated_at=NOW + timedelta(hours=1), next_attempt_at=at)
    assert decide_claim(found, NOW).verdict is Verdict.IGNORE
    assert decide_claim(found, at).verdict is Verdict.RUN


def test_a_lease_that_another_clock_gave_is_not_taken() -> None:
    """Its run may still go on, on a machine whose clock is ahead."""
    held = claim_job(job(), NOW + timedelta(hours=1), LEASE)
    assert decide_claim(held, NOW).verdict is Verdict.BUSY
