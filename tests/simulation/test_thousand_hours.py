"""A thousand hours of the whole backend under faults, most of them with rests between its jobs.

`test_simulation.py` has many short and dense runs, which meet every fault. These have what takes
days: retention, caps of a day, recurring jobs, deadlines, grants that end, webhooks tried again.
"""

from __future__ import annotations

import re

from simulation.test_simulation import run_simulations

FIRST_SEED, HOURS, TOTAL_HOURS = 2, 100, 1000


def test_a_thousand_simulated_hours_break_no_invariant() -> None:
    seeds = ("--seed", str(FIRST_SEED), "--total-hours", str(TOTAL_HOURS))
    done = run_simulations(*seeds, "--hours", str(HOURS))
    assert done.returncode == 0, done.stdout + done.stderr
    simulated = re.search(r"seeds, ([\d,]+) simulated hours", done.stdout)
    assert simulated is not None
    assert int(simulated[1].replace(",", "")) >= TOTAL_HOURS
