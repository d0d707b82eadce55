"""Statistics: capped counts of what waits and runs, and stored metrics of what has ended.

No request scans jobs. What it costs depends on the number of job types and days, not on that of
jobs: a count reads a thousand at most, and the metrics of a day are a few documents a type.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from taskreel.app.flow.slots import has_window
from taskreel.app.messages.job_task import queue_of_type
from taskreel.app.query_pages import read_values
from taskreel.app.services import Services
from taskreel.domain.errors import QueueError
from taskreel.domain.job_metrics import RETRIED, SLOT, SUBMITTED, DailyMetrics, name_slot
from taskreel.domain.job_status import Status
from taskreel.domain.queue_control import QueueControl
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import MOST_IN, Operator, Query
from taskreel.store_collections import JOBS, METRICS, QUEUE_CONTROLS

#: A count costs the same, however many jobs there are.
MOST_COUNTED = 1000
#: Recent numbers are those of the last hour.
RECENT = timedelta(hours=1)
#: So many of the last ten minutes are listed one by one.
LISTED_SLOTS = 12
_WAITING = (Status.QUEUED, Status.THROTTLED)
_DELAYED = (Status.SCHEDULED, Status.RETRYING, Status.BLOCKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatistics:
    """A queue now, and its last hour; times in milliseconds, None where no job tells."""

    job_type: str
    queue: str
    paused: bool | None
    waiting: int
    active: int
    delayed: int
    completed: int
    failed: int
    avg_run_ms: float | None
    avg_wait_ms: float | None
    #: Ended jobs a minute.
    throughput: float
    error_rate: float | None
    #: Ended jobs in each of the last LISTED_SLOTS, the oldest first.
    ended: tuple[int, ...]
    #: The mean wait of the jobs that started in each of them; None where none did.
    waits_ms: tuple[float | None, ...]
    #: The most jobs of the type on its queue; None where there is no such limit.
    window: int | None
    #: The newest order of an administrator, if there is one.
    control: QueueControl | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatistics:
    """Jobs by status and by type; of all users also by priority and by day."""

    by_status: Mapping[str, int]
    by_type: Mapping[str, int]
    by_priority: Mapping[str, int] | None = None
    by_day: Mapping[str, Mapping[str, int]] | None = None


async def load_metrics(services: Services, first: datetime, last: datetime) -> list[DailyMetrics]:
    """The metrics of every type and day from `first` to `last`, shards added up."""
    # So that the caller sees what this process has done, too.
    await services.flush_records()
    start = first.astimezone(UTC).date()
    count = (last.astimezone(UTC).date() - start).days + 1
    days = [(start + timedelta(days=number)).isoformat() for number in range(count)]
    pages = await asyncio.gather(
        *(_load_days(services, days[at : at + MOST_IN]) for at in range(0, len(days), MOST_IN))
    )
    found: dict[tuple[str, str], DailyMetrics] = {}
    for metrics in (one for page in pages for one in page):
        key = (metrics.day, metrics.job_type)
        found[key] = found[key].plus(metrics) if key in found else metrics
    return [found[key] for key in sorted(found)]


async def read_queue_statistics(services: Services) -> list[QueueStatistics]:
    """Every job type's queue."""
    now = services.clock.now()
    names = list(JOB_TYPES)
    limits = services.rules.limits
    metrics, counts, pauses, controls = await asyncio.gather(
        load_metrics(services, now - LISTED_SLOTS * SLOT, now),
        asyncio.gather(*(_count_open(services, name) for name in names)),
        asyncio.gather(*(_read_pause(services, name) for name in names)),
        services.store.query(Query(collection=QUEUE_CONTROLS)),
    )
    orders = {control.queue: control for control in read_values(controls)}
    found: list[QueueStatistics] = []
    for name, (waiting, active, delayed), paused in zip(names, counts, pauses, strict=True):
        of_type = [one for one in metrics if one.job_type == name]
        recent, minutes = sum_recent(of_type, now)
        slots = _list_slots(of_type, now)
        completed, failed = recent[Status.COMPLETED], recent[Status.FAILED]
        ended = completed + failed
        found.append(
            QueueStatistics(
                job_type=name,
                queue=queue_of_type(name),
                paused=paused,
                waiting=waiting,
                active=active,
                delayed=delayed,
                completed=completed,
                failed=failed,
                avg_run_ms=_compute_mean(recent["runMs"], recent["ran"]),
                avg_wait_ms=_compute_mean(recent["waitMs"], recent["started"]),
                throughput=round(ended / minutes, 2),
                error_rate=_compute_mean(failed, ended),
                ended=tuple(one[Status.COMPLETED] + one[Status.FAILED] for one in slots),
                waits_ms=tuple(_compute_mean(one["waitMs"], one["started"]) for one in slots),
                window=limits.window(name) if limits and has_window(name) else None,
                control=orders.get(queue_of_type(name)),
            )
        )
    return found


async def count_user_jobs(services: Services, user_id: str) -> JobStatistics:
    """The stored jobs of a user, each number up to MOST_COUNTED."""
    statuses, types = [str(one) for one in Status], list(JOB_TYPES)
    by_status, by_type = await asyncio.gather(
        asyncio.gather(
            *(_count(services, ("userId", user_id), ("status", one)) for one in statuses)
        ),
        asyncio.gather(*(_count(services, ("userId", user_id), ("jobType", one)) for one in types)),
    )
    return JobStatistics(
        by_status=dict(zip(statuses, by_status, strict=True)),
        by_type=dict(zip(types, by_type, strict=True)),
    )


async def sum_all_jobs(services: Services, since: datetime) -> JobStatistics:
    """The jobs of all users that were submitted or have ended since then."""
    metrics = await load_metrics(services, since, services.clock.now())
    by_status: Counter[str] = Counter()
    by_type: Counter[str] = Counter()
    by_priority: Counter[str] = Counter()
    by_day: dict[str, Counter[str]] = {}
    for one in metrics:
        by_type[one.job_type] += one.counts.get(SUBMITTED, 0)
        for name, number in one.counts.items():
            group, _, priority = name.partition(".")
            if priority and group == "priority":
                by_priority[priority] += number
            elif name in Status.__members__:
                by_status[name] += number
            if name in Status.__members__ or name in {SUBMITTED, RETRIED}:
                by_day.setdefault(one.day, Counter())[name.lower()] += number
    return JobStatistics(
        by_status=by_status, by_type=by_type, by_priority=by_priority, by_day=by_day
    )


async def _load_days(services: Services, days: Sequence[str]) -> list[DailyMetrics]:
    query = Query(collection=METRICS, where=(("day", "in", list(days)),))
    return list(read_values(await services.store.query(query)))


async def _count_open(services: Services, job_type: str) -> tuple[int, int, int]:
    """The waiting, the active and the delayed jobs of a type; one count tells that there are none.

    Most types have no open job at most times, and each count is paid for.
    """
    of_type = ("jobType", job_type)
    every_open = list(map(str, (*_WAITING, Status.PROCESSING, *_DELAYED)))
    if not await _count(services, of_type, ("status", every_open), limit=1):
        return 0, 0, 0
    waiting, active, delayed = await asyncio.gather(
        _count(services, of_type, ("status", list(map(str, _WAITING)))),
        _count(services, of_type, ("status", str(Status.PROCESSING))),
        _count(services, of_type, ("status", list(map(str, _DELAYED)))),
    )
    return waiting, active, delayed


async def _count(
    services: Services, *equal: tuple[str, str | list[str]], limit: int = MOST_COUNTED
) -> int:
    where: list[tuple[str, Operator, str | list[str]]] = [
        (name, "in" if isinstance(value, list) else "==", value) for name, value in equal
    ]
    query = Query(collection=JOBS, where=tuple(where), order=(("createdAt", "desc"),), limit=limit)
    return int((await services.store.aggregate(query))["count"])


async def _read_pause(services: Services, job_type: str) -> bool | None:
    try:
        return (await services.tasks.stats(queue_of_type(job_type))).paused
    except QueueError:
        return None  # health says that the queue service cannot be reached


def sum_recent(
    metrics: Sequence[DailyMetrics], now: datetime, period: timedelta = RECENT
) -> tuple[Counter[str], float]:
    """The counts of the slots of the last hour, or period, and the minutes that they cover."""
    first = now - period
    first -= timedelta(
        minutes=first.minute % 10, seconds=first.second, microseconds=first.microsecond
    )
    recent: Counter[str] = Counter()
    at = first
    while at <= now:
        day, slot = at.astimezone(UTC).date().isoformat(), name_slot(at.astimezone(UTC))
        for one in metrics:
            if one.day == day:
                recent.update(one.slots.get(slot, {}))
        at += SLOT
    return recent, (now - first) / timedelta(minutes=1)


def _list_slots(metrics: Sequence[DailyMetrics], now: datetime) -> list[Counter[str]]:
    """The counts of each of the last slots, the oldest first."""
    found: list[Counter[str]] = []
    for number in reversed(range(LISTED_SLOTS)):
        at = (now - number * SLOT).astimezone(UTC)
        day, slot = at.date().isoformat(), name_slot(at)
        counts: Counter[str] = Counter()
        for one in metrics:
            if one.day == day:
                counts.update(one.slots.get(slot, {}))
        found.append(counts)
    return found


def _compute_mean(total: float, count: float) -> float | None:
    return round(total / count, 4) if count else None
