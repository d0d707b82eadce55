"""Dead letters: failed jobs by the kind of their failure, and another round for many of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from taskreel.app.caller import Caller
from taskreel.app.jobs.hold_forecast import HoldForecast
from taskreel.app.jobs.retry import forecast_next_round, is_ambiguous, require_retryable, retry_job
from taskreel.app.query_pages import read_values
from taskreel.app.services import Services
from taskreel.domain.dead_letters import DeadLetterGroup
from taskreel.domain.errors import (
    InvalidError,
    NotFoundError,
    RequestError,
    StoreError,
    TaskreelError,
    UnreadableDocumentError,
)
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Operator, Query
from taskreel.store_collections import DEAD_LETTERS, JOBS

#: Failed jobs of a group are counted up to that number.
MOST_COUNTED = 1000
#: One redrive judges so many failed jobs at most.
MOST_READ = 500


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """A group of failures, and the number of its jobs that are failed still."""

    group: DeadLetterGroup
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterFilter:
    """The failed jobs that are meant; None does not filter. Pipelines' own jobs never are."""

    fingerprint: str | None = None
    job_type: str | None = None
    user_id: str | None = None
    code: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class RedriveOutcome:
    """A failed job: the credits that its next round holds, or the reason why it has none."""

    job: Job
    cost: int
    reason: str | None


async def list_groups(services: Services, job_type: str | None, limit: int) -> list[OpenGroup]:
    """The groups whose last failure is the newest."""
    await services.flush_records()
    types = [job_type] if job_type else list(JOB_TYPES)
    query = Query(
        collection=DEAD_LETTERS,
        where=(("jobType", "in", types),),
        order=(("lastSeenAt", "desc"),),
        limit=limit,
    )
    groups = list(read_values(await services.store.query(query)))
    numbers = await asyncio.gather(*(_count_open(services, one.fingerprint) for one in groups))
    return [OpenGroup(group, number) for group, number in zip(groups, numbers, strict=True)]


async def list_user_groups(
    services: Services, user_id: str, job_type: str | None, limit: int
) -> list[OpenGroup]:
    """The same of one user's failed jobs, from the newest MOST_READ of them: one read for each.

    What was retried since is not among them.
    """
    groups: dict[str, DeadLetterGroup] = {}
    wanted = DeadLetterFilter(user_id=user_id, job_type=job_type)
    # The oldest first: the newest message and the newest jobs are those of a group.
    for job in reversed(await _find_failed_jobs(services, wanted)):
        failure = DeadLetterGroup.of(job)
        if failure is not None:
            known = groups.get(failure.fingerprint)
            groups[failure.fingerprint] = failure if known is None else known.plus(failure)
    newest = sorted(groups.values(), key=lambda group: group.last_seen_at, reverse=True)
    return [OpenGroup(group, group.seen) for group in newest[:limit]]


async def redrive_jobs(
    services: Services, caller: Caller, wanted: DeadLetterFilter, *, limit: int, dry_run: bool
) -> list[RedriveOutcome]:
    """Open the next round of up to `limit` failed jobs that may have one, newest first.

    The jobs' owners pay for it. Those that may not, among the jobs that were checked, are listed
    with the reason. With `dry_run` nothing is changed. Raises InvalidError without any filter, and
    NotFoundError for a fingerprint that no failure has had.
    """
    if wanted == DeadLetterFilter():
        raise InvalidError.at(
            "fingerprint", "name a fingerprint, jobType, userId or code: not every failed job"
        )
    outcomes: list[RedriveOutcome] = []
    eligible = 0
    forecast = HoldForecast(services)
    jobs = await _find_failed_jobs(services, wanted)
    if not jobs and wanted.fingerprint is not None:
        await _require_group(services, wanted.fingerprint)
    for job in jobs:
        if eligible == limit:
            break
        outcome = await _judge(services, job, forecast)
        if outcome.reason is None and not dry_run:
            outcome = await _redrive(services, caller, outcome)
        eligible += outcome.reason is None
        outcomes.append(outcome)
    return outcomes


async def _require_group(services: Services, fingerprint: str) -> None:
    """Raise NotFoundError for an unknown group; one whose jobs were all retried is known."""
    await services.flush_records()
    group = None
    if fingerprint.isalnum():  # a slash is no part of a document's id
        group = await services.store.get(DEAD_LETTERS, fingerprint)
    if group is None:
        raise NotFoundError(
            f"There is no dead-letter group with the fingerprint {fingerprint}: "
            "GET /api/jobs/dead-letters lists them."
        )


async def _judge(services: Services, job: Job, forecast: HoldForecast) -> RedriveOutcome:
    """Tell if the job may have another round, after those before it."""
    if is_ambiguous(job):
        # An admin may retry each by itself, having checked at the provider.
        return RedriveOutcome(job, 0, "its work may have been bought: retry it by itself")
    try:
        require_retryable(job)
        cost = await forecast_next_round(services, job)
    except TaskreelError as error:
        return RedriveOutcome(job, 0, error.message)
    return RedriveOutcome(job, cost, await forecast.hold(job.user_id, cost, job.project_id))


async def _redrive(services: Services, caller: Caller, outcome: RedriveOutcome) -> RedriveOutcome:
    """Retry the job; an error, as after a change meanwhile, is the outcome of this job alone."""
    job = outcome.job
    try:
        await retry_job(services, caller, job.job_id, job.job_type)
    except (RequestError, StoreError) as error:
        return RedriveOutcome(job, outcome.cost, error.message)
    return outcome


async def _find_failed_jobs(services: Services, wanted: DeadLetterFilter) -> list[Job]:
    """The failed jobs that the filter means, among the newest MOST_READ of its index."""
    query = _build_query(wanted)
    found: list[Job] = []
    for row in await services.store.query(query):
        try:
            job = row.value
        except UnreadableDocumentError:
            continue
        if job.status is Status.FAILED and job.parent_id is None and _matches(wanted, job):
            found.append(job)
    return found


def _build_query(wanted: DeadLetterFilter) -> Query[Job]:
    if wanted.fingerprint is not None:
        return Query(
            collection=JOBS,
            where=(("fingerprint", "==", wanted.fingerprint),),
            limit=MOST_READ,
        )
    where: list[tuple[str, Operator, object]] = [("status", "==", str(Status.FAILED))]
    if wanted.user_id is not None:
        where.append(("userId", "==", wanted.user_id))
    elif wanted.job_type is not None:
        where.append(("jobType", "==", wanted.job_type))
    else:
        where.append(("jobType", "in", sorted(JOB_TYPES)))
    if wanted.created_after is not None:
        where.append(("createdAt", ">=", wanted.created_after))
    if wanted.created_before is not None:
        where.append(("createdAt", "<", wanted.created_before))
    return Query(
        collection=JOBS,
        where=tuple(where),
        order=(("createdAt", "desc"),),
        limit=MOST_READ,
    )


def _matches(wanted: DeadLetterFilter, job: Job) -> bool:
    """True for a job that all filters mean, those of the query too."""
    after, before = wanted.created_after, wanted.created_before
    return (
        wanted.job_type in {None, job.job_type}
        and wanted.user_id in {None, job.user_id}
        and (wanted.code is None or (job.error is not None and job.error.code == wanted.code))
        and (after is None or job.created_at >= after)
        and (before is None or job.created_at < before)
    )


async def _count_open(services: Services, fingerprint: str) -> int:
    query = Query(collection=JOBS, where=(("fingerprint", "==", fingerprint),), limit=MOST_COUNTED)
    return int((await services.store.aggregate(query))["count"])
