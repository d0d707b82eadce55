"""Find the conditions of alerts that hold now.

A check costs some ten reads, however many jobs there are: the rollups of the day, one job for each
type that had jobs today, the breakers, and a page of accounts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from taskreel.app.query_pages import read_values
from taskreel.app.records.statistics import RECENT, load_metrics, sum_recent
from taskreel.app.services import Services
from taskreel.domain.alerts import AlertKind, AlertState, AlertThresholds, Finding
from taskreel.domain.breaker import BreakerState
from taskreel.domain.credits import Account
from taskreel.domain.errors import TaskreelError
from taskreel.domain.job import Job
from taskreel.domain.job_metrics import (
    AMBIGUOUS_PURCHASES,
    REFUSED,
    SLOT,
    SPEND_CAPS,
    SWEPT,
    DailyMetrics,
)
from taskreel.domain.job_status import Status
from taskreel.ports import Query
from taskreel.store_collections import ACCOUNTS, JOBS

#: Events are counted by ten minutes: those of the present and of the last.
_EVENTS = SLOT
_PAGE = 10
_MOST_WRONG = 20
_MOST_NAMED = 3
_BUCKET_SECONDS = 5.0
_RESCUED = f"{SWEPT}.rescued."


@dataclass(frozen=True, slots=True)
class Reading:
    """The conditions that hold, and where the check of accounts goes on."""

    findings: tuple[Finding, ...]
    checked_up_to: str | None
    wrong_accounts: tuple[str, ...]


async def find_conditions(
    services: Services,
    state: AlertState,
    limits: AlertThresholds,
    *,
    overdue_seconds: float,
    now: datetime,
) -> Reading:
    """The conditions that hold. Raises StoreError."""
    days = await load_metrics(services, now - RECENT, now)
    waiting, breakers, bucket, accounts = await asyncio.gather(
        asyncio.gather(*(_find_waiting(services, name, limits, now) for name in _list_types(days))),
        _find_breakers(services, now),
        _check_bucket(services),
        _check_accounts(services, state) if days else _pass_accounts(state),
    )
    up_to, wrong = accounts
    late = find_late_sweep(state, limits, now)
    found = [
        *_find_overdue(overdue_seconds, limits),
        *([late] if late is not None else []),
        *(one for one in waiting if one is not None),
        *_find_failures(days, limits, now),
        *_find_events(days, limits, now),
        *_find_spend(days, limits, now),
        *breakers,
        *bucket,
    ]
    if wrong:
        named = ", ".join(wrong[:_MOST_NAMED])
        more = f" and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        found.append(Finding(kind=AlertKind.CREDITS, text=f"Accounts: {named}{more}."))
    return Reading(tuple(found), up_to, wrong)


def find_late_sweep(state: AlertState, limits: AlertThresholds, now: datetime) -> Finding | None:
    """The finding that the last sweep was long ago; None where none has ended yet."""
    if state.swept_at is None or not state.is_sweep_late(limits.sweep_late_seconds, now):
        return None
    minutes = (now - state.swept_at) / timedelta(minutes=1)
    text = f"Before {now:%H:%M} UTC the last sweep ended {minutes:.0f} minutes ago."
    return Finding(kind=AlertKind.SWEEP_LATE, text=text)


def _list_types(days: Sequence[DailyMetrics]) -> list[str]:
    return sorted({one.job_type for one in days})


def _find_overdue(seconds: float, limits: AlertThresholds) -> Iterator[Finding]:
    if seconds > limits.oldest_overdue_seconds:
        text = f"The most overdue has been due for {seconds / 60:.0f} minutes."
        yield Finding(kind=AlertKind.OLDEST_OVERDUE, text=text)


async def _find_waiting(
    services: Services, job_type: str, limits: AlertThresholds, now: datetime
) -> Finding | None:
    """The type's oldest job on its queue; those that wait for a limit may wait for long."""
    query = Query(
        collection=JOBS,
        where=(("jobType", "==", job_type), ("status", "==", str(Status.QUEUED))),
        order=(("createdAt", "asc"),),
        limit=1,
    )
    ages = [
        (now - _find_queued_at(job)).total_seconds()
        for job in read_values(await services.store.query(query))
    ]
    age = max(ages, default=0.0)
    if age <= limits.oldest_waiting_seconds:
        return None
    text = f"The oldest has been on its queue for {age / 60:.0f} minutes."
    return Finding(kind=AlertKind.OLDEST_WAITING, subject=job_type, text=text)


def _find_queued_at(job: Job) -> datetime:
    queued_at = job.status_at.get(Status.QUEUED, job.created_at)
    return max(queued_at, job.next_attempt_at or queued_at)


def _find_failures(
    days: Sequence[DailyMetrics], limits: AlertThresholds, now: datetime
) -> Iterator[Finding]:
    """The types that fail often, and the number of all failures."""
    all_failed = 0
    for job_type in _list_types(days):
        recent, _ = sum_recent([one for one in days if one.job_type == job_type], now)
        failed, ended = recent[Status.FAILED], recent[Status.FAILED] + recent[Status.COMPLETED]
        all_failed += failed
        own = failed - recent[REFUSED]
        if ended >= limits.error_rate_min_jobs and own > limits.error_rate * ended:
            text = f"{own} of {ended} jobs of the last hour failed, not by their requests."
            yield Finding(kind=AlertKind.ERROR_RATE, subject=job_type, text=text)
    if all_failed > limits.dead_letters:
        text = f"{all_failed} jobs failed for good."
        yield Finding(kind=AlertKind.DEAD_LETTERS, text=text)


def _find_events(
    days: Sequence[DailyMetrics], limits: AlertThresholds, now: datetime
) -> Iterator[Finding]:
    """Events of the last ten to twenty minutes."""
    recent, _ = sum_recent(days, now, _EVENTS)
    repaired = sum(
        count
        for name, count in recent.items()
        # A job that is due later is put on its queue by the sweep: no repair.
        if name.startswith(_RESCUED) and name != f"{_RESCUED}{Status.SCHEDULED}"
    )
    if repaired > limits.repairs:
        text = f"{repaired} in the last 20 minutes."
        yield Finding(kind=AlertKind.REPAIRS, text=text)
    if recent[AMBIGUOUS_PURCHASES] > limits.ambiguous_purchases:
        text = f"{recent[AMBIGUOUS_PURCHASES]} purchases in the last 20 minutes have no answer."
        yield Finding(kind=AlertKind.AMBIGUOUS_PURCHASE, text=text)
    if recent[SPEND_CAPS]:
        text = f"{recent[SPEND_CAPS]} caps in the last 20 minutes."
        yield Finding(kind=AlertKind.SPEND_CAP, text=text)


def _find_spend(
    days: Sequence[DailyMetrics], limits: AlertThresholds, now: datetime
) -> Iterator[Finding]:
    today = now.astimezone(UTC).date().isoformat()
    spent = sum(one.sums.get("costUsd", 0.0) for one in days if one.day == today)
    if spent > limits.spend_usd:
        text = f"${spent:,.2f} since midnight (UTC); the threshold is ${limits.spend_usd:,.2f}."
        yield Finding(kind=AlertKind.SPEND, text=text)


async def _find_breakers(services: Services, now: datetime) -> list[Finding]:
    breakers = await services.providers.breakers.load_breakers(now)
    return [
        Finding(
            kind=AlertKind.BREAKER_OPEN,
            subject=_name_model(id_),
            text="Held open by an administrator." if breaker.forced else "It failed too often.",
        )
        for id_, breaker in sorted(breakers.items())
        if breaker.state_at(now) is BreakerState.OPEN
    ]


def _name_model(breaker_id: str) -> str:
    provider, _, model = breaker_id.partition(".")
    return f"{provider} {unquote(model)}"


async def _check_bucket(services: Services) -> list[Finding]:
    try:
        async with asyncio.timeout(_BUCKET_SECONDS):
            await services.blobs.info("health/probe")
    except (TaskreelError, TimeoutError, OSError):
        text = f"It has not answered within {_BUCKET_SECONDS:g} s, or refused."
        return [Finding(kind=AlertKind.BUCKET_UNREACHABLE, text=text)]
    return []


async def _pass_accounts(state: AlertState) -> tuple[str | None, tuple[str, ...]]:
    """Check none: on a day without jobs no balance changes but by grants."""
    return state.checked_up_to, state.wrong_accounts


async def _check_accounts(
    services: Services, state: AlertState
) -> tuple[str | None, tuple[str, ...]]:
    """Check the next few accounts, and those that were wrong; the last id, and all that are wrong.

    One after the other, a page at each check: a scan of all would cost a read for each.
    """
    after = state.checked_up_to
    query = Query(collection=ACCOUNTS, limit=_PAGE, after=(after,) if after else None)
    rows = await services.store.query(query)
    accounts = list(read_values(rows))
    for id_ in state.wrong_accounts:
        account = await services.store.get(ACCOUNTS, id_)
        accounts += [account] if account is not None else []
    wrong = Counter(one.user_id for one in accounts if not _adds_up(one))
    up_to = rows[-1].id if len(rows) == _PAGE else None
    return up_to, tuple(sorted(wrong)[:_MOST_WRONG])


def _adds_up(account: Account) -> bool:
    parts = account.available + account.held + account.captured + account.expired
    return account.granted == parts
