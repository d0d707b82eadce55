"""Histograms in buckets that grow by a tenth."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain.job_metrics import find_quantile, name_bucket

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
