"""The times of recent completed jobs of a type, from which waits and runs are estimated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.job_status import Status
from taskreel.ports import Query, Store
from taskreel.store_collections import JOBS

_RECENT_JOBS = 40
_RECENT_AGE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class RecentTimes:
    """Of recent completed jobs of a type, the seconds in a place, and those of the run."""

    in_place: tuple[float, ...]
    running: tuple[float, ...]


class RecentJobs:
    """The times of recent jobs, read at most once in two minutes for each type."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[datetime, RecentTimes]] = {}

    async def read(self, store: Store, job_type: str, now: datetime) -> RecentTimes:
        """The times of the recent jobs of a type."""
        known = self._known.get(job_type)
        if known is not None and timedelta(0) <= now - known[0] < _RECENT_AGE:
            return known[1]
        query = Query(
            collection=JOBS,
            where=(("jobType", "==", job_type), ("status", "==", str(Status.COMPLETED))),
            order=(("createdAt", "desc"),),
            limit=_RECENT_JOBS,
        )
        in_place, running = [], []
        for row in await store.query(query):
            try:
                entered = row.value.status_at
            except UnreadableDocumentError:
                continue
            ended, started = entered[Status.COMPLETED], entered.get(Status.PROCESSING)
            if started is not None:
                running.append((ended - started).total_seconds())
                admitted = entered.get(Status.QUEUED, started)
                in_place.append((ended - admitted).total_seconds())
        times = RecentTimes(tuple(in_place), tuple(running))
        if times.running:
            self._known[job_type] = now, times
        return times
