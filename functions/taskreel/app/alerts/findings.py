"""Find the conditions of alerts that hold now.

A check costs the same reads however many jobs there are: of each type that had jobs today up to
four rollups and one job, the breakers, and a page of accounts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote

from taskreel.app.query_pages import read_values
from taskreel.app.records.statistics import RECENT, load_metrics, sum_recent
from taskreel.app.services import Services
from taskreel.domain.alerts import AlertKind, AlertState, AlertThresholds, Finding
from taskreel.domain.breaker import Breaker, BreakerState
from taskreel.domain.credits import Account, name_day
from taskreel.domain.errors import TaskreelError
from taskreel.domain.job import Job
from taskreel.domain.job_metrics import (
    AMBIGUOUS_PURCHASES,
    PROJECT_SPEND_CAPS,
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
_BUCKET_SECONDS = 5.0
_UNASKED = timedelta(hours=1)
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
    # A job may wait on its queue for days, on which no other job of its type comes.
    waited = {one.subject for one in state.active if one.kind is AlertKind.OLDEST_WAITING}
    types = sorted({*_list_types(days), *waited})
    waiting, breakers, bucket, accounts = await asyncio.gather(
        asyncio.gather(*(_find_waiting(services, name, limits, now) for name in types)),
        _find_breakers(services, state, now),
        _check_bucket(services),
        _check_accounts(services, state, had_jobs=bool(days)),
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
        # Not their names: a chat is no place for users' ids, and who erases a user cannot reach it.
        text = "Of one account." if len(wrong) == 1 else f"Of {len(wrong)} accounts."
        found.append(Finding(kind=AlertKind.CREDITS, text=text))
    return Reading(tuple(found), up_to, wrong)


def find_late_sweep(state: AlertState, limits: AlertThresholds, now: datetime) -> Finding | None:
    """The finding that the last sweep was long ago; None where none has ended yet."""
    if state.swept_at is None or not state.is_sweep_late(limits.sweep_late_seconds, now):
        return None
    ago = _write_count((now - state.swept_at) / timedelta(minutes=1), "minute")
    text = f"The last sweep ended at {state.swept_at:%H:%M} UTC, {ago} ago."
    return Finding(kind=AlertKind.SWEEP_LATE, text=text)


def _write_count(number: float, noun: str) -> str:
    """Such as "1 job" and "2 jobs"."""
    whole = round(number)
    return f"{whole} {noun}" if whole == 1 else f"{whole} {noun}s"


def _list_types(days: Sequence[DailyMetrics]) -> list[str]:
    return sorted({one.job_type for one in days})


def _find_overdue(seconds: float, limits: AlertThresholds) -> Iterator[Finding]:
    if seconds > limits.oldest_overdue_seconds:
        text = f"The most overdue has been due for {_write_count(seconds / 60, 'minute')}."
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
    text = f"The oldest has been on its queue for {_write_count(age / 60, 'minute')}."
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
            text = (
                f"{own} of {ended} jobs of the last hour failed, and not because of their requests."
            )
            yield Finding(kind=AlertKind.ERROR_RATE, subject=job_type, text=text)
    if all_failed > limits.dead_letters:
        text = f"{_write_count(all_failed, 'job')} failed for good."
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
        count = _write_count(recent[AMBIGUOUS_PURCHASES], "purchase")
        text = f"{count} without an answer in the last 20 minutes."
        yield Finding(kind=AlertKind.AMBIGUOUS_PURCHASE, text=text)
    for subject, event in (("users", SPEND_CAPS), ("projects", PROJECT_SPEND_CAPS)):
        if recent[event]:
            text = f"{_write_count(recent[event], 'cap')} in the last 20 minutes."
            yield Finding(kind=AlertKind.SPEND_CAP, subject=subject, text=text)


def _find_spend(
    days: Sequence[DailyMetrics], limits: AlertThresholds, now: datetime
) -> Iterator[Finding]:
    today = name_day(now)
    spent = sum(one.sums.get("costUsd", 0.0) for one in days if one.day == today)
    if spent > limits.spend_usd:
        text = f"${spent:,.2f} since midnight (UTC); the threshold is ${limits.spend_usd:,.2f}."
        yield Finding(kind=AlertKind.SPEND, text=text)


async def _find_breakers(services: Services, state: AlertState, now: datetime) -> list[Finding]:
    breakers = await services.providers.breakers.load_breakers(now)
    announced = {one.subject for one in state.active if one.kind is AlertKind.BREAKER_OPEN}
    found = []
    for id_, breaker in sorted(breakers.items()):
        subject = _name_model(id_)
        if breaker.state_at(now) is BreakerState.OPEN:
            by_hand = breaker.forced is not None
            text = "Held open by an administrator." if by_hand else "It failed too often."
        elif subject in announced and _awaits_probe(breaker, now):
            text = "It failed too often, and has not been tried since."
        else:
            continue
        found.append(Finding(kind=AlertKind.BREAKER_OPEN, subject=subject, text=text))
    return found


def _awaits_probe(breaker: Breaker, now: datetime) -> bool:
    """True for a breaker that the next job probes: only its success ends the pause.

    A model that no job has asked for in an hour holds up no job.
    """
    is_half_open = breaker.state_at(now) is BreakerState.HALF_OPEN
    return is_half_open and breaker.probe_at is not None and now - breaker.probe_at < _UNASKED


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


async def _check_accounts(
    services: Services, state: AlertState, *, had_jobs: bool
) -> tuple[str | None, tuple[str, ...]]:
    """Check the next few accounts, and those that were wrong; the last id, and all that are wrong.

    One after the other, a page at each check: a scan of all would cost a read for each. On a day
    without jobs no balance changes but by grants and repairs: only the wrong ones are checked.
    """
    up_to = state.checked_up_to
    accounts: list[Account] = []
    if had_jobs:
        query = Query(collection=ACCOUNTS, limit=_PAGE, after=(up_to,) if up_to else None)
        rows = await services.store.query(query)
        accounts += read_values(rows)
        up_to = rows[-1].id if len(rows) == _PAGE else None
    for id_ in state.wrong_accounts:
        account = await services.store.get(ACCOUNTS, id_)
        accounts += [account] if account is not None else []
    wrong = {one.document_id for one in accounts if not _adds_up(one)}
    return up_to, tuple(sorted(wrong)[:_MOST_WRONG])


def _adds_up(account: Account) -> bool:
    parts = account.available + account.held + account.captured + account.expired
    return account.granted == parts
