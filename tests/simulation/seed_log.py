"""A log of simulated seeds, from which a simulation of many hours goes on after an interruption.

One JSON line a seed. All lines are of one code state and one length of a simulation: hours of
different code prove nothing together.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulation.world import ROOT

#: Whatever decides what a seed does.
_CODE = ("functions", "infra/local", "tests/simulation")
_TYPES = {".py", ".yaml", ".json"}


@dataclass
class Outcome:
    """The outcome of one simulation."""

    seed: int
    hours: float = 0.0
    steps: int = 0
    commits: int = 0
    jobs: int = 0
    violation: str | None = None
    happened: Counter[str] = field(default_factory=Counter)
    choices: list[int] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def add(self, other: Outcome) -> None:
        """Add the numbers of another simulation."""
        self.hours += other.hours
        self.steps += other.steps
        self.commits += other.commits
        self.jobs += other.jobs
        self.cpu_seconds += other.cpu_seconds
        self.happened.update(other.happened)


class WrongLogError(Exception):
    """A log belongs to another code state, or to simulations of another length."""


@dataclass
class SeedLog:
    """The outcomes in a file, by seed. Each new one is appended at once."""

    file: Path
    asked_hours: float
    code: str
    done: dict[int, Outcome] = field(default_factory=dict)

    @classmethod
    def open(cls, file: Path, asked_hours: float, *, root: Path = ROOT) -> SeedLog:
        """Read what an earlier run has left. Raises WrongLogError."""
        log = cls(file, asked_hours, hash_code(root))
        text = file.read_text() if file.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            file.write_text(whole)  # its process died while it wrote the last line
        for row in map(json.loads, whole.splitlines()):
            if (row["code"], row["askedHours"]) != (log.code, asked_hours):
                raise WrongLogError(
                    f"{file} has seeds of other code, or of another number of hours: hours count "
                    "together only on one code state. Name another file."
                )
            outcome = _decode(row)
            log.done[outcome.seed] = outcome
        return log

    def append(self, outcome: Outcome) -> None:
        """Write an outcome behind the others."""
        self.done[outcome.seed] = outcome
        row = {"code": self.code, "askedHours": self.asked_hours, **_encode(outcome)}
        with self.file.open("a") as opened:
            opened.write(f"{json.dumps(row)}\n")


def hash_code(root: Path) -> str:
    """The name of a code state: a checksum of the product and of its simulator."""
    found = hashlib.sha256()
    for folder in _CODE:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in _TYPES and file.is_file():
                found.update(f"{file.relative_to(root).as_posix()}\0".encode())
                found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def _encode(outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": outcome.seed,
        "hours": round(outcome.hours, 3),
        "steps": outcome.steps,
        "commits": outcome.commits,
        "jobs": outcome.jobs,
        "cpuSeconds": round(outcome.cpu_seconds, 2),
        "violation": outcome.violation,
        "happened": dict(sorted(outcome.happened.items())),
    }


def _decode(row: dict[str, Any]) -> Outcome:
    return Outcome(
        seed=row["seed"],
        hours=row["hours"],
        steps=row["steps"],
        commits=row["commits"],
        jobs=row["jobs"],
        violation=row["violation"],
        happened=Counter(row["happened"]),
        cpu_seconds=row["cpuSeconds"],
    )
