"""The recent jobs of a type: times in a place, times of runs, and arrivals by priority.

Waits and runs are estimated from them. They are read at most once in two minutes for each type.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.domain.job_fields import Priority
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.ports import Operator, Query, Row, Store
from taskreel.store_collections import JOBS

#: Jobs of one reading, and of several, from which the mean is taken: forty carry ±8 % at a usual
#: spread of times, three hundred ±3 %.
_RECENT_JOBS = 40
_MOST_JOBS = 300
_RECENT_AGE = timedelta(minutes=2)


class RecentTimes(Record):
    """Of recent completed jobs of a type, the seconds in a place, and those of the run."""

    in_place: tuple[float, ...]
    running: tuple[float, ...]
    #: Arrivals by priority, in jobs a second.
    arrivals: Mapping[Priority, float] = msgspec.field(default_factory=dict)


class _KnownJobs(msgspec.Struct):
    """The completed jobs of a type that were read: their seconds in a place and of their run."""

    read_at: datetime | None = None
    jobs: OrderedDict[str, tuple[float, float]] = msgspec.field(default_factory=OrderedDict)
    arrivals: Mapping[Priority, float] = msgspec.field(default_factory=dict)

    def build_times(self) -> RecentTimes:
        return RecentTimes(
            tuple(in_place for in_place, _ in self.jobs.values()),
            tuple(running for _, running in self.jobs.values()),
            self.arrivals,
        )


class RecentJobs:
    """The recent jobs of each type that were asked for."""

    def __init__(self) -> None:
        self._known: dict[str, _KnownJobs] = {}

    async def read(self, store: Store, job_type: str, now: datetime) -> RecentTimes:
        """The times of the recent jobs of a type."""
        known = self._known.setdefault(job_type, _KnownJobs())
        if known.read_at is None or not _is_recent(known.read_at, now):
            completed = await _read_newest(
                store, [("jobType", "==", job_type), ("status", "==", str(Status.COMPLETED))]
            )
            for job in reversed(completed):
                times = _measure(job)
                if times is not None:
                    known.jobs[job.job_id] = times
                    known.jobs.move_to_end(job.job_id)
            while len(known.jobs) > _MOST_JOBS:
                known.jobs.popitem(last=False)
            known.arrivals = _measure_arrivals(completed, now)
            known.read_at = now if known.jobs else None
        return known.build_times()


def _measure_arrivals(jobs: Sequence[Job], now: datetime) -> Mapping[Priority, float]:
    """Arrivals a second by priority, of the newest completed jobs.

    Exact for those who are served at once, which are the ones that overtake; of jobs that wait for
    long the newest are missing.
    """
    created: dict[Priority, list[datetime]] = {}
    for job in jobs:
        created.setdefault(job.priority, []).append(job.created_at)
    return {
        priority: len(times) / max((now - min(times)).total_seconds(), 1.0)
        for priority, times in created.items()
    }


def _is_recent(read_at: datetime, now: datetime) -> bool:
    return timedelta(0) <= now - read_at < _RECENT_AGE


async def _read_newest(store: Store, where: Sequence[tuple[str, Operator, str]]) -> list[Job]:
    query = Query(
        collection=JOBS, where=tuple(where), order=(("createdAt", "desc"),), limit=_RECENT_JOBS
    )
    values = (_read_value(row) for row in await store.query(query))
    return [job for job in values if job is not None]


def _read_value(row: Row[Job]) -> Job | None:
    try:
        return row.value
    except UnreadableDocumentError:
        return None


def _measure(job: Job) -> tuple[float, float] | None:
    """The seconds that a completed job had a place, and those of its run; None if it never ran."""
    started = job.status_at.get(Status.PROCESSING)
    if started is None:
        return None
    ended = job.status_at[Status.COMPLETED]
    admitted = job.status_at.get(Status.QUEUED, started)
    return (ended - admitted).total_seconds(), (ended - started).total_seconds()
