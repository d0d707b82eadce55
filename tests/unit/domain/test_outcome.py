from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain.claim_and_outcome import (
    Again,
    Completed,
    Failed,
    decide_outcome,
    fail_without_attempts,
)
from taskreel.domain.errors import Category
from taskreel.domain.job_status import Status
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.unit import UnitRun, UnitState
from unit.domain.samples import NOW, error, job, policies, unit, unit_runs

DONE = unit(UnitState.DONE)
BROKEN = unit(UnitState.FAILED, error=error(Category.PERMANENT, "broken"))
TEMPORARY = unit(error=error(Category.TEMPORARY))
MINUTE = timedelta(minutes=1)


def limited(seconds: float) -> UnitRun:
    return unit(error=error(Category.RATE_LIMITED), due_at=NOW + timedelta(seconds=seconds))


def pending(seconds: float) -> UnitRun:
    return unit(UnitState.RUNNING, operation={"id": "op"}, due_at=NOW + timedelta(seconds=seconds))


def outcome(*units: UnitRun, attempt: int = 1, max_attempts: int = 3) -> Completed | Failed | Again:
    policy = RetryPolicy(max_attempts=max_attempts, min_backoff_seconds=2, jitter=0)
    running = job(Status.PROCESSING, attempt=attempt, retry=policy, units=units)
    return decide_outcome(running, units, NOW, 0.5)


@given(
    st.lists(unit_runs(), min_size=1, max_size=6), policies, st.integers(1, 20), st.floats(0, 0.999)
)
def test_a_job_ends_when_no_unit_is_open_and_goes_on_while_one_is(
    units: list[UnitRun], policy: RetryPolicy, attempt: int, fraction: float
) -> None:
    running = job(Status.PROCESSING, attempt=attempt, retry=policy, units=tuple(units))
    found = decide_outcome(running, units, NOW, fraction)
    states = {one.state for one in found.units}
    assert isinstance(found, Again) is bool(states & {UnitState.TODO, UnitState.RUNNING})
    assert isinstance(found, Completed) is (
        not isinstance(found, Again) and UnitState.DONE in states
    )


@given(st.lists(unit_runs(), min_size=1, max_size=6), st.integers(1, 5))
def test_a_unit_that_ended_stays_as_it_is(units: list[UnitRun], attempt: int) -> None:
    found = decide_outcome(
        job(Status.PROCESSING, attempt=attempt, units=tuple(units)), units, NOW, 0
    )
    for before, after in zip(units, found.units, strict=True):
        if before.state in {UnitState.DONE, UnitState.FAILED, UnitState.RUNNING}:
            assert after == before


def test_a_batch_of_which_some_succeeded_completes() -> None:
    assert outcome(DONE, BROKEN, DONE) == Completed((DONE, BROKEN, DONE))


def test_a_job_of_which_nothing_succeeded_fails_with_its_first_error() -> None:
    found = outcome(BROKEN, BROKEN)
    assert isinstance(found, Failed)
    assert found.error.code == "broken"


def test_a_temporary_error_is_tried_again_after_the_backoff() -> None:
    found = outcome(TEMPORARY, DONE, attempt=2)
    then = NOW + timedelta(seconds=4)
    assert found == Again(
        (TEMPORARY.with_changes(due_at=then), DONE), then, "retry", TEMPORARY.error
    )


def test_out_of_attempts_what_is_open_has_failed_and_what_is_done_is_paid() -> None:
    found = outcome(TEMPORARY, DONE, attempt=3)
    assert isinstance(found, Completed)
    assert [one.state for one in found.units] == [UnitState.FAILED, UnitState.DONE]


def test_waiting_for_a_rate_limit_is_no_attempt_even_after_the_last() -> None:
    found = outcome(limited(60), limited(30), attempt=3)
    assert isinstance(found, Again)
    assert (found.at, found.why) == (NOW + MINUTE, "retry")


def test_one_that_failed_beside_the_rate_limited_does_not_wait_for_them() -> None:
    found = outcome(limited(60), TEMPORARY)
    assert isinstance(found, Again)
    assert found.at == NOW + timedelta(seconds=2)


def test_out_of_attempts_a_rate_limited_unit_still_waits() -> None:
    found = outcome(limited(60), TEMPORARY, attempt=3)
    assert isinstance(found, Again)
    assert ([one.state for one in found.units], found.at) == (
        [UnitState.TODO, UnitState.FAILED],
        NOW + MINUTE,
    )


def test_a_poll_neither_brings_a_retry_forward_nor_counts_as_one() -> None:
    waiting = TEMPORARY.with_changes(due_at=NOW + MINUTE)
    found = outcome(waiting, pending(5))
    assert isinstance(found, Again)
    assert (found.units[0], found.at) == (waiting, NOW + timedelta(seconds=5))


def test_all_retries_are_in_one_run() -> None:
    earlier = TEMPORARY.with_changes(due_at=NOW + timedelta(seconds=1.5))
    found = outcome(earlier, TEMPORARY)
    assert isinstance(found, Again)
    assert {one.due_at for one in found.units} == {NOW + timedelta(seconds=2)}


def test_what_a_provider_works_on_is_asked_for_at_its_time() -> None:
    found = outcome(pending(20), pending(10), DONE, attempt=3)
    assert isinstance(found, Again)
    assert (found.at, found.why, found.error) == (NOW + timedelta(seconds=10), "poll", None)


def test_a_poll_comes_before_a_later_retry() -> None:
    found = outcome(limited(60), pending(5))
    assert isinstance(found, Again)
    assert (found.at, found.why) == (NOW + timedelta(seconds=5), "retry")


def test_out_of_attempts_the_operations_go_on() -> None:
    found = outcome(TEMPORARY, pending(5), attempt=3)
    assert isinstance(found, Again)
    assert [one.state for one in found.units] == [UnitState.FAILED, UnitState.RUNNING]


def test_a_run_that_stopped_in_the_last_attempt_leaves_nothing_that_failed_to_be_tried() -> None:
    operation = unit(UnitState.RUNNING, operation={"id": "op"}, due_at=NOW)
    untouched, limited = unit(), unit(error=error(Category.RATE_LIMITED), due_at=NOW)
    earlier = unit(error=error())
    claimed = job(
        Status.PROCESSING,
        attempt=2,
        retry=RetryPolicy(max_attempts=2),
        units=(operation, unit(), untouched, unit(), earlier),
    )
    ended = unit(error=error())
    after = (ended, ended, untouched, limited, earlier)
    failed = ended.with_changes(state=UnitState.FAILED)
    # One that the run has not come to may still be tried in this attempt.
    expected = (failed, failed, untouched, limited, earlier)
    assert fail_without_attempts(claimed, after) == expected
    assert fail_without_attempts(claimed.with_changes(NOW, attempt=1), after) == after
