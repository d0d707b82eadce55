"""GCRA: no more than a burst and its rate in any time, and truthful waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain.rate_limit import Rate, decide_request

NOW = datetime(2026, 1, 1, tzinfo=UTC)
rates = st.tuples(st.floats(0.1, 6000), st.integers(1, 50)).map(
    lambda drawn: Rate.model_validate({"perMinute": round(drawn[0], 2), "burst": drawn[1]})
)
gaps = st.lists(st.floats(0, 120).map(lambda value: timedelta(seconds=value)), max_size=80)


@given(rate=rates, gaps=gaps)
def test_no_interval_has_more_requests_than_a_burst_and_its_rate(
    rate: Rate, gaps: list[timedelta]
) -> None:
    now, arrival, allowed = NOW, None, []
    for gap in gaps:
        now += gap
        decision = decide_request(rate, arrival, now)
        arrival = decision.arrival
        if decision.allowed:
            allowed.append(now)
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            earned = (allowed[last] - allowed[first]) / rate.interval
            assert last - first + 1 <= rate.burst + earned + 1e-6


@given(rate=rates, gaps=gaps)
def test_a_refused_request_is_allowed_after_its_wait_and_not_before(
    rate: Rate, gaps: list[timedelta]
) -> None:
    now, arrival = NOW, None
    for gap in gaps:
        now += gap
        decision = decide_request(rate, arrival, now)
        arrival = decision.arrival
        assert decision.wait > timedelta(0)
        if not decision.allowed:
            assert decide_request(rate, arrival, now + decision.wait).allowed
            early = now + decision.wait - timedelta(microseconds=10)
            assert early <= now or not decide_request(rate, arrival, early).allowed


@given(rate=rates)
def test_the_remaining_requests_are_allowed_at_once_and_no_more(rate: Rate) -> None:
    decision = decide_request(rate, None, NOW)
    for _ in range(decision.remaining):
        decision = decide_request(rate, decision.arrival, NOW)
        assert decision.allowed
    assert decision.remaining == 0
    assert not decide_request(rate, decision.arrival, NOW).allowed


@given(rate=rates, back=st.floats(0, 1e6))
def test_a_clock_that_goes_back_blocks_a_caller_no_longer_than_a_burst(
    rate: Rate, back: float
) -> None:
    stored = NOW + timedelta(seconds=back)
    decision = decide_request(rate, stored, NOW)
    most = max(rate.window, rate.interval) + timedelta(seconds=5)
    assert decision.wait <= most
    # As the first decision stores it: a refusal leaves the time, and an allowance forgets it.
    assert decide_request(rate, decision.arrival, NOW + most).allowed
