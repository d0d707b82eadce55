"""Jobs and credits under deliveries in any order, crashes, cancellations and retries."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from nightly_tests import skip_by_day
from simulation.life import FreeLife, Life, PaidLife
from simulation.project_life import ProjectLife

#: Each night four times as many lives are lived, and other ones by `scripts/simulate`.
LENGTH = 4 if os.environ.get("NIGHTLY") else 1
#: A fault that never happens tests nothing.
FAULTS = {
    "answer of the store lost",
    "clock back",
    "clock forward",
    "crashed until it failed",
    "died before a commit",
    "input too large",
    "no room for inputs",
    "purchase lost with the process",
    "run lost with the process",
    "store away",
    "submission found",
    "submission lost with the process",
    "submission repeated",
    "unanswered",
}


def test_life() -> None:
    live_through_every_fault(FreeLife, FAULTS, max_examples=30 * LENGTH)


def test_paid_life() -> None:
    # What is paid is awaited beyond the attempt's time; other work is tried again.
    live_through_every_fault(PaidLife, FAULTS | {"late success"}, max_examples=40 * LENGTH)


@skip_by_day("30 more lives")
def test_life_in_a_project_that_pays() -> None:
    live_through_every_fault(ProjectLife, {"store away"}, max_examples=30)
    assert ProjectLife.paid_jobs > 0


def live_through_every_fault(life: type[Life], faults: set[str], *, max_examples: int) -> None:
    life.happened.clear()
    run_state_machine_as_test(
        life,
        # The same lives each time: among others one of the faults may be missing.
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=50,
            derandomize=True,
            # A life takes seconds, and longer beside other work.
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    assert {name for name in faults if not life.happened[name]} == set()
