"""Find each planted bug within so many steps, over as few seeds as it takes.

`python -m simulation.find_bugs` prints the steps for each; `.ci/nightly` runs it for all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from simulation.planted_bugs import BUGS
from simulation.simulate import CRASHED, simulate

MOST_STEPS = 10_000
#: The seeds from which those steps are counted. A bug that only a rare fault shows may miss one.
STARTS = (1, 1001, 2001)
#: Many short seeds meet more than a few long ones.
_HOURS = 0.3


@dataclass(frozen=True)
class Find:
    """A bug, and the violation that shows it, after so many steps of so many seeds."""

    bug: str
    steps: int
    seeds: int
    violation: str | None


def find_bug(name: str, *, starts: Sequence[int] = STARTS) -> Find:
    """Run seeds with the bug until an invariant breaks within the steps from one of the starts."""
    find = Find(name, 0, 0, None)
    for first_seed in starts:
        find = _find_from(name, first_seed, MOST_STEPS)
        if find.violation is not None:
            break
    return find


def _find_from(name: str, first_seed: int, most_steps: int) -> Find:
    steps, seed = 0, first_seed
    while steps < most_steps:
        outcome = simulate(seed, _HOURS, bug=BUGS[name], most_steps=most_steps - steps)
        steps += outcome.steps
        if outcome.violation is not None and outcome.violation.startswith(CRASHED):
            raise RuntimeError(f"the plant of {name!r} does not fit: {outcome.violation}")
        if outcome.violation is not None:
            return Find(name, steps, seed - first_seed + 1, outcome.violation)
        seed += 1
    return Find(name, steps, seed - first_seed, None)


def main() -> int:
    """Look for the bugs that the command line names; 1 if one is not found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(BUGS), help="bugs (default: all)")
    given = parser.parse_args()
    missed = 0
    for find in map(find_bug, given.names):
        missed += find.violation is None
        shown = "NOT FOUND" if find.violation is None else find.violation.splitlines()[0][:110]
        print(f"{find.steps:6,} steps, {find.seeds:3} seeds  {find.bug}: {shown}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
