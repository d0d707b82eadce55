"""The simulator finds bugs that are planted into the product."""

from __future__ import annotations

import pytest

from simulation.find_bugs import find_bug
from simulation.planted_bugs import BUGS

#: One of each kind: a lease, money, an event, admission, a wake time, two revisions, a replay, a
#: file. The nightly run looks for all of them.
SAMPLE = (
    "a failed poll begins the work again",
    "a release does not come back to the balance",
    "places that move between shards are there twice",
    "a webhook's body changes between two tries",
    "one job more than the limit runs",
    "a poll whose task is lost is never made up for",
    "an older revision drops unknown fields",
    "a replay takes over units that were not done",
    "a cached result answers every user",
    "a purged result still answers",
    "a file outlives what refers to it",
)


@pytest.mark.parametrize("bug", SAMPLE)
def test_a_planted_bug_is_found_within_ten_thousand_steps(bug: str) -> None:
    assert find_bug(bug).violation is not None


def test_there_are_twenty_planted_bugs_or_more() -> None:
    assert len(BUGS) >= 20
