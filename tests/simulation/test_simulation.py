"""The simulator: it repeats itself, its failures shrink, and the bugs that it found stay mended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from simulation.simulate import simulate
from simulation.tape import Tape, TapeRandom, shrink_tape
from simulation.world import ROOT

#: Seeds that found a bug, with the hours that it took, and the bug; all mended.
FOUND = {
    (1, 1.0): "a disk that was full twice dropped the result of an operation that was paid for",
    (18, 3.0): "a retry bought again what a job was buying when its deadline passed",
}


def run_simulations(*arguments: str, seconds: float = 900) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, whose sets have a fixed order."""
    paths = [str(ROOT / name) for name in ("functions", "infra/local", "tests")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}
    return subprocess.run(
        [sys.executable, "-m", "simulation.simulate", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@pytest.mark.parametrize(("seed", "hours"), FOUND, ids=FOUND.values())
def test_a_seed_that_found_a_bug_finds_none_any_more(seed: int, hours: float) -> None:
    done = run_simulations("--seed", str(seed), "--hours", str(hours))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_repeats_itself_step_by_step() -> None:
    first, again = simulate(5, 0.5), simulate(5, 0.5)
    assert first.steps > 100
    assert (first.steps, first.commits, first.choices) == (
        again.steps,
        again.commits,
        again.choices,
    )


def test_a_recorded_tape_repeats_the_run_of_its_seed() -> None:
    first = simulate(6, 0.3)
    again = simulate(999, 0.3, choices=first.choices)
    assert (first.steps, first.commits) == (again.steps, again.commits)


def test_a_tape_shrinks_to_the_choices_that_matter() -> None:
    def fails(choices: Sequence[int]) -> bool:
        return 7 in choices and 9 in choices

    found = shrink_tape([1, 2, 7, 4, 4, 9, 3, 3, 3, 3], fails, tries=200)
    assert [choice for choice in found if choice] == [7, 9]


def test_ids_of_a_tape_that_has_ended_differ() -> None:
    random = TapeRandom(Tape(choices=[]))
    assert len({random.getrandbits(128) for _ in range(100)}) == 100
    assert random.getrandbits(10) == 0
