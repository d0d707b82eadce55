"""Estimated waits against a simulated queue."""

from __future__ import annotations

import heapq
import random

import pytest

from taskreel.domain.eta import Estimate, estimate_run, estimate_wait


def test_without_recent_jobs_there_is_no_estimate() -> None:
    assert estimate_wait(3, 2, []) is None
    assert estimate_run([]) is None


def test_a_wait_is_the_jobs_ahead_by_the_rate_of_departures() -> None:
    found = estimate_wait(9, 5, [10.0] * 40)
    assert found is not None
    assert found.p50 == 20.0


def test_what_has_passed_is_taken_off_and_never_below_zero() -> None:
    assert Estimate(5, 9).reduced(7) == Estimate(0, 2)


@pytest.mark.parametrize("places", [1, 10])
@pytest.mark.parametrize("ahead", [0, 5, 100])
def test_nine_of_ten_jobs_start_before_their_p90(places: int, ahead: int) -> None:
    draw = random.Random(1)
    recent = [draw.lognormvariate(1, 0.5) for _ in range(40)]
    estimate = estimate_wait(ahead, places, recent)
    assert estimate is not None
    starts = []
    for _ in range(2000):
        busy = [draw.lognormvariate(1, 0.5) * draw.random() for _ in range(places)]
        heapq.heapify(busy)
        for _ in range(ahead):
            heapq.heapreplace(busy, busy[0] + draw.lognormvariate(1, 0.5))
        starts.append(busy[0])
    within = sum(start <= estimate.p90 for start in starts) / len(starts)
    assert within >= 0.85


def test_a_run_is_estimated_by_the_median_and_the_ninth_tenth() -> None:
    assert estimate_run([float(n) for n in range(11)]) == Estimate(5.0, 9.0)
    assert estimate_run([3.0]) == Estimate(3.0, 3.0)


def test_a_time_after_another_is_their_sum() -> None:
    assert Estimate(1, 2).after(Estimate(10, 20)) == Estimate(11, 22)


def test_jobs_that_overtake_lengthen_the_wait_until_their_head_start_ends() -> None:
    alone = estimate_wait(9, 1, [1.0] * 40)
    crowd = estimate_wait(9, 1, [1.0] * 40, lambda seconds: 0.5 * seconds)
    briefly = estimate_wait(9, 1, [1.0] * 40, lambda seconds: 0.5 * min(seconds, 4))
    assert alone is not None
    assert crowd is not None
    assert briefly is not None
    assert alone.p50 == 10
    assert crowd.p50 == pytest.approx(20, abs=0.5)
    assert briefly.p50 == 12


def test_a_band_is_scaled_from_its_median() -> None:
    assert Estimate(10, 14).with_band(2.0) == Estimate(10, 18)
