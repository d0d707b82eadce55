"""The simulator's rule about equal requests at once, with the times that a frozen instance makes.

A process that was frozen answered its request 36 s after the other instance had:
`--seed 600022 --hours 100` at e03977b7.
"""

from __future__ import annotations

import pytest

from simulation.reuse_rules import ReuseWatch
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from unit.domain.samples import job


class Simulated:
    """Jobs that are stored in virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.watch = ReuseWatch(lambda: self.now)

    def store(self, at: float, job_id: str, status: Status = Status.QUEUED) -> Job:
        self.now = at
        stored = job(status, job_id=job_id, payload={"cacheSeconds": 60})
        assert not list(self.watch.check_job(stored))
        return stored


def find_second_flight(*, made_at: float, asked_at: float) -> str | None:
    """One job that ended after 100 s, and another; each answers one of two equal requests."""
    simulated = Simulated()
    older = simulated.store(100, "job_older", Status.COMPLETED)
    newer = simulated.store(made_at, "job_newer")
    watch = simulated.watch
    found = watch.find_second_flight(older, newer, asked_at)
    assert (watch.find_second_flight(newer, older, asked_at) is None) == (found is None)
    return found


def test_a_request_served_when_the_first_answer_was_too_old_has_a_job_of_its_own() -> None:
    assert find_second_flight(asked_at=150, made_at=187) is None


@pytest.mark.parametrize(
    ("asked_at", "made_at"),
    [
        pytest.param(120, 121, id="made while the other was recent"),
        pytest.param(188, 187, id="both there before"),
    ],
)
def test_two_jobs_for_equal_requests_at_once_break_the_rule(
    asked_at: float, made_at: float
) -> None:
    assert find_second_flight(asked_at=asked_at, made_at=made_at) is not None


def test_two_jobs_that_are_both_under_way_break_the_rule() -> None:
    simulated = Simulated()
    older, newer = simulated.store(100, "job_older"), simulated.store(187, "job_newer")
    assert simulated.watch.find_second_flight(older, newer, 90) is not None
