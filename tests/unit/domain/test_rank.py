"""The rank of waiting jobs: bounded by priority and by the owner's fair share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from taskreel.domain.rank import compute_rank, next_pass

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(seconds=5)
seconds = st.floats(0, 1e6).map(lambda value: timedelta(seconds=value))


@given(stored=st.none() | st.floats(-1e6, 1e6), unfinished=st.integers(-5, 10_000))
def test_a_place_is_never_past_and_never_further_than_a_step_a_job(
    stored: float | None, unfinished: int
) -> None:
    at = None if stored is None else NOW + timedelta(seconds=stored)
    place = next_pass(at, NOW, unfinished, STEP)
    assert NOW <= place <= NOW + max(unfinished, 0) * STEP


@given(later=seconds, head_start=st.floats(0, 300).map(lambda value: timedelta(seconds=value)))
def test_no_priority_overtakes_a_job_that_came_a_head_start_earlier(
    later: timedelta, head_start: timedelta
) -> None:
    low = compute_rank(NOW, timedelta(0))
    high = compute_rank(NOW + later, head_start)
    assert (high < low) is (later < head_start)


@given(jobs=st.integers(1, 200))
def test_the_first_job_of_another_stands_behind_one_job_of_an_owner_with_many(jobs: int) -> None:
    passes, stored = [], None
    for active in range(jobs):
        place = next_pass(stored, NOW, active, STEP)
        stored = place + STEP
        passes.append(place)
    assert passes == sorted(passes)
    newcomer = next_pass(None, NOW + timedelta(milliseconds=1), 0, STEP)
    assert sum(place < newcomer for place in passes) == 1


def test_an_owner_whose_jobs_have_ended_begins_afresh() -> None:
    assert next_pass(NOW + timedelta(days=1), NOW, 0, STEP) == NOW
