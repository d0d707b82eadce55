"""Histograms in buckets that grow by a tenth."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain.job_metrics import MetricsTally, count_change, find_quantile, name_bucket
from taskreel.domain.job_status import Status
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
