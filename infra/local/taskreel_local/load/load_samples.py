"""Measurements of a load: each submission, each job's end, and what the stack uses each second."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from taskreel.domain.job_status import Status

_FINAL = frozenset(status.value for status in Status if status.final)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One POST. `milliseconds` begin when the job was due."""

    at: float
    milliseconds: float
    #: Milliseconds from the time at which it was due until this program sent it.
    late_ms: float
    #: `code` of a refusal, or the name of the failure; None of an accepted job.
    error: str | None = None

    @property
    def answer_ms(self) -> float:
        """From sending it to its answer, a wait for a free connection included."""
        return self.milliseconds - self.late_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedJob:
    """A job that has ended, by the times that the stack has stored."""

    at: float
    status: str
    #: From the creation to the start of the last attempt; None of a job that never ran.
    wait_ms: float | None
    #: From there to the end.
    run_ms: float | None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The use of memory and processor by the stack's processes on this machine."""

    at: float
    megabytes: float
    descriptors: int
    cpu_seconds: float


#: A live report is made of so many of the newest samples at most.
_RECENT = 10_000
_Sample = TypeVar("_Sample", Submission, EndedJob, Usage)


@dataclass(slots=True)
class Samples:
    """All measurements of one load; times are seconds since its beginning."""

    submissions: list[Submission] = field(default_factory=list)
    ended: list[EndedJob] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    #: Jobs that had not ended when the program stopped waiting for them.
    unfinished: int = 0
    #: Their statuses then, or why those could not be read.
    open_states: Counter[str] = field(default_factory=Counter)
    #: The processor seconds of this program.
    generator_cpu_seconds: float = 0.0

    def count_errors(self) -> Counter[str]:
        """Count the refusals by code, the jobs that failed by theirs, and the others by status."""
        refused = Counter(each.error for each in self.submissions if each.error is not None)
        failed = Counter(f"job: {each.error}" for each in self.ended if each.error is not None)
        unfinished = Counter({f"not ended: {name}": n for name, n in self.open_states.items()})
        return Counter(
            {str(name): count for name, count in (refused | failed | unfinished).items()}
        )

    def take_recent(self, since: float) -> Samples:
        """The samples since a time, among the newest few thousand: quick, however long it runs."""
        return Samples(
            submissions=[each for each in self.submissions[-_RECENT:] if each.at >= since],
            ended=[each for each in self.ended[-_RECENT:] if each.at >= since],
            usage=[each for each in self.usage[-_RECENT:] if each.at >= since],
        )

    @property
    def accepted(self) -> int:
        """The number of accepted jobs."""
        return sum(each.error is None for each in self.submissions)


def find_percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that so many percent of them do not exceed; NaN of no values."""
    ordered = sorted(values)
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def read_ended_job(view: Mapping[str, Any], began: datetime) -> EndedJob | None:
    """Read a job as the API sends it; None while it has not ended."""
    status = str(view["status"])
    if status not in _FINAL:
        return None
    times = {name: datetime.fromisoformat(at) for name, at in view["statusAt"].items()}
    created, ended = datetime.fromisoformat(view["createdAt"]), times[status]
    started = times.get("PROCESSING")
    error = view.get("error") or {}
    return EndedJob(
        at=(ended - began).total_seconds(),
        status=status,
        wait_ms=None if started is None else (started - created).total_seconds() * 1000,
        run_ms=None if started is None else (ended - started).total_seconds() * 1000,
        error=str(error.get("code", status)) if status != Status.COMPLETED else None,
    )


def group_by_time(samples: Sequence[_Sample], seconds: float, width: float) -> list[list[_Sample]]:
    """Group samples by time: one list for each `width` seconds of the load."""
    groups: list[list[_Sample]] = [[] for _ in range(max(1, math.ceil(seconds / width)))]
    for sample in samples:
        place = int(sample.at // width)
        if 0 <= place < len(groups):
            groups[place].append(sample)
    return groups
