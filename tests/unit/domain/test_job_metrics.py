"""Histograms in buckets that grow by a tenth."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain.errors import Category
from taskreel.domain.job_history import FailedAttempt
from taskreel.domain.job_metrics import MetricsTally, count_change, find_quantile, name_bucket
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from unit.domain.samples import NOW, SECOND, job, unit

TIMES = st.lists(st.integers(1, 30 * 86_400_000), min_size=1, max_size=200)


@given(TIMES, st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_within_five_percent_of_the_true_one(times: list[int], share: float) -> None:
    found = find_quantile(Counter(map(name_bucket, times)), share)
    ordered = sorted(times)
    true = next(t for n, t in enumerate(ordered, 1) if n >= share * len(ordered))
    assert found is not None
    assert abs(found - true) <= 0.05 * true + 0.1


def test_nothing_has_no_quantile() -> None:
    assert find_quantile({}, 0.5) is None


def test_a_merged_tally_has_the_numbers_of_both() -> None:
    units = (unit(cost_usd=0.5),)
    first, second = MetricsTally(), MetricsTally()
    for tally, seconds in ((first, 1), (second, 3)):
        count_change(tally, None, job(units=units))
        started = job(units=units).enter_status(Status.PROCESSING, NOW + seconds * SECOND)
        count_change(tally, job(units=units), started)
        ended = started.enter_status(Status.COMPLETED, NOW + 2 * seconds * SECOND)
        count_change(tally, started, ended)
    first.merge(second)
    assert (first.counts["submitted"], first.counts["COMPLETED"]) == (2, 2)
    assert sum(first.wait_ms.values()) == sum(first.run_ms.values()) == 2
    assert (first.sums["waitMs"], first.sums["runMs"]) == (4_000, 4_000)
    assert first.sums["costUsd"] == 1.0
    assert first.slots["0"]["ran"] == 2


def test_a_failed_job_that_is_run_again_counts_as_retried() -> None:
    tally = MetricsTally()
    count_change(tally, job(Status.FAILED), job(Status.QUEUED))
    assert tally.counts["retried"] == 1
    assert "submitted" not in tally.counts


def test_the_cost_of_a_failed_call_is_that_of_its_own_model() -> None:
    failed = FailedAttempt(
        at=NOW + SECOND,
        attempt=1,
        unit=0,
        provider="runway",
        model="gen4.5",
        code="operation_failed",
        category=Category.TEMPORARY,
        message="No.",
        cost_usd=0.6,
    )
    done = unit(UnitState.DONE, provider="fal", model="wan", cost_usd=0.9)
    started = job(units=(done,)).enter_status(Status.PROCESSING, NOW)
    ended = started.enter_status(Status.COMPLETED, NOW + 2 * SECOND, failed_attempts=(failed,))
    tally = MetricsTally()
    count_change(tally, started, ended)
    assert tally.sums["costUsd"] == 0.9
    assert tally.models["runway/gen4.5"] == {"error.operation_failed": 1, "costUsd": 0.6}
    assert tally.models["fal/wan"]["costUsd"] == pytest.approx(0.3)


def test_a_round_that_ends_adds_what_it_has_cost_to_the_rounds_before() -> None:
    started = job(units=(unit(cost_usd=0.5),)).enter_status(Status.PROCESSING, NOW)
    failed = started.enter_status(Status.FAILED, NOW + SECOND)
    again = failed.next_round(NOW + 2 * SECOND, 1, NOW + 9 * SECOND)
    running = again.enter_status(Status.PROCESSING, NOW + 3 * SECOND)
    done = running.enter_status(
        Status.COMPLETED,
        NOW + 4 * SECOND,
        units=(unit(UnitState.DONE, cost_usd=0.8),),
    )
    tally = MetricsTally()
    count_change(tally, started, failed)
    count_change(tally, running, done)
    assert tally.sums["costUsd"] == pytest.approx(0.8)
