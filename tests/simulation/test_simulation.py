"""The simulator: it repeats itself, failures shrink, and every fault happens."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from simulation.fault_plan import Fault
from simulation.ordered_process import run_in_order
from simulation.planted_bugs import BUGS
from simulation.simulate import describe_replay, simulate
from simulation.tape import Tape, TapeRandom, shrink_tape
from traced_processes import trace_child

#: Seeds that CI runs, from the first on, each of them so many hours: all kinds of faults happen in
#: them. The rarest, a run whose lease is lost, is in one of 20 seeds, so three of these have it.
CI_FIRST_SEED, CI_SEEDS, CI_HOURS = 146, 45, 0.3
#: Rare branches of the product, by the actions of their log lines.
BRANCHES = (
    "log enqueue_failed",
    "log job_crashed",
    "log lease_lost",
    "log outputs_repeated",
    "log run_write_repeated",
    "log slots_corrected",
    "log start_crashed",
    "log sweep_ended",
    "log sweep_rescued",
    "log unit_failed",
    "deliveries reordered",
    "account divided",
    "account united",
    "cache hit",
    "equal requests at once",
    "result cache purged",
    "upload used",
    "upload with other bytes",
    "live stream resumed",
    "priority schedule",
    "uniform schedule",
)


def run_simulations(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_in_order("simulation.simulate", *arguments, variables=trace_child())


def test_no_seed_of_ci_breaks_an_invariant_and_all_faults_occur() -> None:
    seeds = ("--seed", str(CI_FIRST_SEED), "--seeds", str(CI_SEEDS))
    done = run_simulations(*seeds, "--hours", str(CI_HOURS))
    assert done.returncode == 0, done.stdout + done.stderr
    happened = set(re.findall(r"^ +[\d,]+ × (.*)$", done.stdout, re.MULTILINE))
    missed = {*map(str, Fault), *BRANCHES} - happened
    assert not missed, f"a run in which these never happened shows little: {missed}"


def test_a_seed_repeats_itself_step_by_step() -> None:
    first, again = simulate(5, 0.2), simulate(5, 0.2)
    assert first.steps > 100
    assert (first.steps, first.commits, first.choices) == (
        again.steps,
        again.commits,
        again.choices,
    )


def test_a_recorded_tape_repeats_the_run_of_its_seed() -> None:
    first = simulate(6, 0.2)
    again = simulate(999, 0.2, choices=first.choices)
    assert (first.steps, first.commits) == (again.steps, again.commits)


def test_a_failure_prints_the_command_that_repeats_it_and_its_tape_shrinks() -> None:
    plant = BUGS["one job more than the limit runs"]
    outcome = next(
        found
        for seed in range(1, 20)
        if (found := simulate(seed, 0.2, bug=plant)).violation is not None
    )
    assert describe_replay(outcome, 0.2) == f"scripts/simulate --seed {outcome.seed} --hours 0.2"

    def fails(choices: Sequence[int]) -> bool:
        again = simulate(outcome.seed, 0.2, bug=plant, choices=choices, most_steps=2000)
        return again.violation is not None and again.violation.startswith("limit")

    assert fails(outcome.choices)
    assert len(shrink_tape(outcome.choices, fails, tries=4)) <= len(outcome.choices)


def test_a_tape_shrinks_to_the_choices_that_matter() -> None:
    def fails(choices: Sequence[int]) -> bool:
        return 7 in choices and 9 in choices

    found = shrink_tape([1, 2, 7, 4, 4, 9, 3, 3, 3, 3], fails, tries=200)
    assert [choice for choice in found if choice] == [7, 9]


def test_ids_of_a_tape_that_has_ended_differ() -> None:
    random = TapeRandom(Tape(choices=[]))
    assert len({random.getrandbits(128) for _ in range(100)}) == 100
    assert random.getrandbits(10) == 0
