from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from taskreel.domain.retry_policy import RetryPolicy
from taskreel.jobtypes import JOB_TYPES
from unit.domain.samples import policies

fractions = st.floats(0, 1, exclude_max=True)
MICROSECOND = 1e-6


@given(policies, st.integers(1, 10**9), fractions)
def test_every_wait_is_between_the_least_and_the_most_give_or_take_the_jitter(
    policy: RetryPolicy, attempt: int, fraction: float
) -> None:
    wait = policy.backoff_after(attempt, fraction).total_seconds()
    assert wait >= policy.min_backoff_seconds * (1 - policy.jitter) - MICROSECOND
    assert wait <= policy.max_backoff_seconds * (1 + policy.jitter) + MICROSECOND


@given(policies, st.integers(1, 100), fractions)
def test_a_later_attempt_never_waits_less(
    policy: RetryPolicy, attempt: int, fraction: float
) -> None:
    assert policy.backoff_after(attempt + 1, fraction) >= policy.backoff_after(attempt, fraction)


def test_the_wait_doubles_until_the_most() -> None:
    policy = RetryPolicy(min_backoff_seconds=2, max_backoff_seconds=10, jitter=0)
    assert [policy.backoff_after(attempt, 0.7).total_seconds() for attempt in (1, 2, 3, 4, 5)] == [
        2,
        4,
        8,
        10,
        10,
    ]


@given(policies, st.integers(1, 30))
def test_as_many_attempts_as_the_policy_says(policy: RetryPolicy, attempt: int) -> None:
    assert policy.allows_another(attempt) is (attempt < policy.max_attempts)


def test_a_policy_whose_least_wait_exceeds_its_most_is_refused() -> None:
    with pytest.raises(
        ValidationError, match="minBackoffSeconds must not exceed maxBackoffSeconds"
    ):
        RetryPolicy().with_changes({"min_backoff_seconds": 10, "max_backoff_seconds": 5})


@pytest.mark.parametrize("name", JOB_TYPES)
def test_the_policy_of_every_job_type_is_one_that_a_caller_could_ask_for(name: str) -> None:
    policy = JOB_TYPES[name].retry
    assert policy.with_changes({}) == policy
