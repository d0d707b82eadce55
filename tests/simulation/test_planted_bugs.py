"""The simulator finds bugs that are planted into the product."""

from __future__ import annotations

import re

import pytest

from simulation.ordered_process import run_in_order
from simulation.planted_bugs import BUGS
from traced_processes import trace_child

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


@pytest.fixture(scope="module")
def report() -> str:
    """A line for each of them: its steps and seeds, its name, and the violation that shows it."""
    done = run_in_order("simulation.find_bugs", *SAMPLE, variables=trace_child())
    return done.stdout + done.stderr


@pytest.mark.parametrize("bug", SAMPLE)
def test_a_planted_bug_is_found_within_ten_thousand_steps(report: str, bug: str) -> None:
    found = re.search(rf" seeds  {re.escape(bug)}: (.+)$", report, re.MULTILINE)
    assert found is not None, report
    assert found[1] != "NOT FOUND", report


def test_there_are_twenty_planted_bugs_or_more() -> None:
    assert len(BUGS) >= 20
