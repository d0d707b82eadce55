"""The metrics of the whole system, read from the store: no instance has to live for them.

A reading costs a bounded number of reads, however many jobs there are: one count for each job type,
five more for a type with open jobs, the stored metrics of two days, and ten of the oldest waiting
jobs. All accounts are summed once an hour. A reading is shared for some seconds by all that ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from taskreel.app.credits.accounts import AccountSums, sum_accounts
from taskreel.app.query_pages import END_OF_TIME, read_values
from taskreel.app.records.statistics import MOST_COUNTED, load_metrics
from taskreel.app.services import Services
from taskreel.domain.breaker import BreakerState
from taskreel.domain.client_webhook import EndpointState
from taskreel.domain.job import Job
from taskreel.domain.job_metrics import DailyMetrics
from taskreel.domain.job_status import Status
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Collection, Condition, Direction, Query
from taskreel.store_collections import DEAD_LETTERS, JOBS, WEBHOOK_DELIVERIES, WEBHOOK_ENDPOINTS

#: A reading is shared for so long.
READING_AGE = timedelta(seconds=15)
#: The sums of the accounts cost a read for each account.
SUMS_AGE = timedelta(hours=1)
#: The states of jobs that are not finished.
OPEN_STATES = tuple(one for one in Status if not one.final)
_WAITING = (Status.QUEUED, Status.THROTTLED)
#: The oldest by their creation; the one that has waited longest is among them, unless so many jobs
#: of the type were scheduled long ago.
_OLDEST_READ = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerReading:
    """The circuit breaker of a provider's model."""

    provider: str
    model: str
    state: BreakerState
    by_hand: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DueReading:
    """Documents whose `wakeAt` is set: all, those whose time has passed, and the oldest of them."""

    pending: int
    overdue: int
    oldest_overdue_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsReading:
    """The system at a time. Counts of documents are exact up to MOST_COUNTED."""

    at: datetime
    #: The stored metrics of yesterday and today (UTC), by type and day.
    days: Sequence[DailyMetrics]
    #: Job type and state → jobs; only types with open jobs.
    depth: Mapping[tuple[str, Status], int]
    #: Job type → the seconds that its oldest job has waited for a run; only types that wait.
    oldest_waiting: Mapping[str, float]
    due_jobs: DueReading
    due_deliveries: DueReading
    endpoints: Mapping[EndpointState, int]
    dead_letter_groups: int
    breakers: Sequence[BreakerReading]
    credits: AccountSums
    credits_read_at: datetime

    @property
    def today(self) -> str:
        """The day (UTC) since whose begin the counters count."""
        return self.at.astimezone(UTC).date().isoformat()


class StoreMetrics:
    """Reads the metrics; several callers at once share one reading."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._reading: MetricsReading | None = None
        self._sums: tuple[datetime, AccountSums] | None = None
        self._lock = asyncio.Lock()

    async def read(self) -> MetricsReading:
        """The metrics, at most READING_AGE old. Raises StoreError without the store."""
        async with self._lock:
            now = self._services.clock.now()
            found = self._reading
            # In either direction: the clock may have gone back since.
            if found is None or abs(now - found.at) >= READING_AGE:
                found = self._reading = await self._measure(now)
            return found

    async def _measure(self, now: datetime) -> MetricsReading:
        services = self._services
        (
            (days, counts, groups, sums),
            (jobs, deliveries, endpoints, breakers),
        ) = await asyncio.gather(
            asyncio.gather(
                load_metrics(services, now - timedelta(days=1), now),
                asyncio.gather(*(self._count_states(name) for name in JOB_TYPES)),
                self._count(DEAD_LETTERS),
                self._sum_accounts(now),
            ),
            asyncio.gather(
                self._read_due(JOBS, now),
                self._read_due(WEBHOOK_DELIVERIES, now),
                asyncio.gather(*(self._count_endpoints(state) for state in EndpointState)),
                self._read_breakers(now),
            ),
        )
        depth = {key: count for found in counts for key, count in found.items()}
        waiting = [
            name for name in JOB_TYPES if any(depth.get((name, status)) for status in _WAITING)
        ]
        ages = await asyncio.gather(*(self._find_oldest(name, now) for name in waiting))
        return MetricsReading(
            at=now,
            days=days,
            depth=depth,
            oldest_waiting=dict(zip(waiting, ages, strict=True)),
            due_jobs=jobs,
            due_deliveries=deliveries,
            endpoints=dict(zip(EndpointState, endpoints, strict=True)),
            dead_letter_groups=groups,
            breakers=breakers,
            credits=sums[1],
            credits_read_at=sums[0],
        )

    async def _count_states(self, job_type: str) -> dict[tuple[str, Status], int]:
        """The open jobs of a type by state; one count tells that there are none."""
        of_type: Condition = ("jobType", "==", job_type)
        newest_first: tuple[str, Direction] = ("createdAt", "desc")
        is_open: Condition = ("status", "in", [str(one) for one in OPEN_STATES])
        if not await self._count(JOBS, (of_type, is_open), newest_first, limit=1):
            return {}
        counts = await asyncio.gather(
            *(
                self._count(JOBS, (of_type, ("status", "==", str(status))), newest_first)
                for status in OPEN_STATES
            )
        )
        return {
            (job_type, status): count for status, count in zip(OPEN_STATES, counts, strict=True)
        }

    async def _find_oldest(self, job_type: str, now: datetime) -> float:
        query = Query(
            collection=JOBS,
            where=(
                ("jobType", "==", job_type),
                ("status", "in", [str(status) for status in _WAITING]),
            ),
            order=(("createdAt", "asc"),),
            limit=_OLDEST_READ,
        )
        ages = [
            (now - _waits_since(job)).total_seconds()
            for job in read_values(await self._services.store.query(query))
        ]
        return max(0.0, *ages) if ages else 0.0

    async def _read_due(self, collection: Collection[Any], now: datetime) -> DueReading:
        shards: Condition = ("wakeShard", "in", list(range(self._services.rules.wake_shards)))
        overdue: tuple[Condition, ...] = (shards, ("wakeAt", "<=", now))
        order: tuple[str, Direction] = ("wakeAt", "asc")
        first = Query(collection=collection, where=overdue, order=(order,), limit=1)
        pending, passed, rows = await asyncio.gather(
            # With a bound, or the ended ones would be counted, which have a shard too.
            self._count(collection, (shards, ("wakeAt", "<=", END_OF_TIME)), order),
            self._count(collection, overdue, order),
            self._services.store.query(first),
        )
        return DueReading(
            pending=pending,
            overdue=passed,
            oldest_overdue_seconds=max(
                ((now - row.data["wakeAt"]).total_seconds() for row in rows), default=0.0
            ),
        )

    async def _count_endpoints(self, state: EndpointState) -> int:
        where: tuple[Condition, ...] = (("state", "==", str(state)),)
        return await self._count(WEBHOOK_ENDPOINTS, where, ("createdAt", "desc"))

    async def _count(
        self,
        collection: Collection[Any],
        where: tuple[Condition, ...] = (),
        *order: tuple[str, Direction],
        limit: int = MOST_COUNTED,
    ) -> int:
        query = Query(collection=collection, where=where, order=order, limit=limit)
        return int((await self._services.store.aggregate(query))["count"])

    async def _read_breakers(self, now: datetime) -> list[BreakerReading]:
        found = await self._services.providers.breakers.load_breakers(now)
        readings = []
        for id_, breaker in sorted(found.items()):
            provider, _, model = id_.partition(".")
            readings.append(
                BreakerReading(
                    provider=provider,
                    model=unquote(model),
                    state=breaker.state_at(now),
                    by_hand=breaker.forced is not None,
                )
            )
        return readings

    async def _sum_accounts(self, now: datetime) -> tuple[datetime, AccountSums]:
        if self._sums is None or abs(now - self._sums[0]) >= SUMS_AGE:
            self._sums = now, await sum_accounts(self._services)
        return self._sums


def _waits_since(job: Job) -> datetime:
    """The time from which a job waits for its run: since it entered its state, or was ready."""
    since = [job.status_at[status] for status in _WAITING if status in job.status_at]
    return max(min(since, default=job.created_at), job.next_attempt_at or job.created_at)
