"""Waits between attempts, the end of trying, and rates: against Google's own numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudtasks.worker import QUEUE, Bench, make_bench
from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.engine_config import EngineConfig
from taskreel_cloud_tasks.messages import Queue, RateLimits, RetryConfig
from taskreel_cloud_tasks.pacing import (
    TokenBucket,
    backoff_after,
    burst_size,
    is_exhausted,
)
from taskreel_cloud_tasks.queue_settings import DEFAULT_RETRY

EXAMPLE = RetryConfig(
    min_backoff=10 * SECOND, max_backoff=300 * SECOND, max_doublings=3, max_attempts=100
)


def test_googles_example_doubles_then_grows_linearly_then_stays_level() -> None:
    waits = [backoff_after(EXAMPLE, failure) // SECOND for failure in range(1, 9)]
    assert waits == [10, 20, 40, 80, 160, 240, 300, 300]


def test_the_default_99_retries_span_three_and_a_half_days() -> None:
    span = sum(backoff_after(DEFAULT_RETRY, failure) for failure in range(1, 100)) / SECOND
    assert 305_000 < span < 305_800


@given(
    shortest=st.integers(0, 10**9),
    longest=st.integers(0, 10**12),
    doublings=st.integers(0, 2**31 - 1),
    failure=st.integers(1, 10**6),
)
def test_a_wait_never_shrinks_and_never_exceeds_the_longest(
    shortest: int, longest: int, doublings: int, failure: int
) -> None:
    config = RetryConfig(min_backoff=shortest, max_backoff=longest, max_doublings=doublings)
    assert backoff_after(config, failure) <= backoff_after(config, failure + 1) <= longest


@pytest.mark.parametrize(
    ("attempts", "seconds", "made", "passed", "ends"),
    [
        (-1, 0, 10**6, 10**9, False),
        (-1, 60, 3, 59, False),
        (-1, 60, 3, 60, True),
        (5, 0, 4, 10**6, False),
        (5, 0, 5, 0, True),
        (5, 60, 5, 59, False),
        (5, 60, 4, 61, False),
        (5, 60, 9, 60, True),
    ],
)
def test_the_stop_rule_table(
    attempts: int, seconds: int, made: int, passed: int, *, ends: bool
) -> None:
    config = RetryConfig(max_attempts=attempts, max_retry_duration=seconds * SECOND)
    assert is_exhausted(config, made, passed * SECOND) is ends


@pytest.mark.parametrize(
    ("rate", "burst"), [(500.0, 100), (1.0, 10), (0.5, 10), (5.0, 10), (51.0, 11)]
)
def test_the_burst_size_of_a_rate(rate: float, burst: int) -> None:
    assert burst_size(rate) == burst


@given(
    rate=st.floats(0.01, 500),
    burst=st.integers(1, 100),
    waits=st.lists(st.integers(0, 5 * SECOND), min_size=1, max_size=60),
)
def test_a_bucket_gives_no_more_than_burst_and_rate_allow(
    rate: float, burst: int, waits: list[int]
) -> None:
    bucket = TokenBucket(rate, burst, 0)
    now = given_out = 0
    for wait in waits:
        now += wait
        while bucket.take_token(now):
            given_out += 1
    assert given_out <= burst + rate * now / SECOND + 1e-6


@given(rate=st.floats(0.01, 500), gap=st.integers(0, 10 * SECOND))
def test_a_token_is_there_when_the_bucket_says_so_and_not_before(rate: float, gap: int) -> None:
    bucket = TokenBucket(rate, 1, 0)
    assert bucket.take_token(gap)
    assert not bucket.take_token(gap)
    ready = bucket.ready_at()
    assert bucket.take_token(ready)


async def limited(rate: float) -> Bench:
    made = await make_bench(EngineConfig(history_size=1))
    limits = RateLimits(max_dispatches_per_second=rate, max_concurrent_dispatches=5000)
    await made.engine.update_queue(Queue(name=QUEUE, rate_limits=limits))
    return made


@pytest.mark.parametrize("rate", [5.0, 0.5, 500.0])
async def test_a_full_queue_is_dispatched_at_its_rate_within_five_percent_over_30_s(
    rate: float,
) -> None:
    made = await limited(rate)
    burst = burst_size(rate)
    for _ in range(int(burst + rate * 31) + 1):
        await made.create()
    await made.advance(0)
    assert len(made.worker.sent) == burst
    await made.advance(30)
    assert abs(len(made.worker.sent) - burst - rate * 30) <= max(1.0, rate * 30 * 0.05)
    await made.engine.close(0)


async def test_after_a_pause_the_bucket_is_full_but_no_fuller() -> None:
    made = await limited(5.0)
    await made.engine.pause_queue(QUEUE)
    for _ in range(30):
        await made.create()
    await made.advance(3600)
    assert not made.worker.sent
    await made.engine.resume_queue(QUEUE)
    await made.advance(0)
    assert len(made.worker.sent) == 10
    await made.engine.close(0)
