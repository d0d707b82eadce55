"""Recurring jobs for their owners: create, read, pause, resume and delete them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from taskreel.app.caller import Caller
from taskreel.app.jobs.queries import Page, decode_cursor, query_page
from taskreel.app.jobs.quote import quote_job
from taskreel.app.jobs.submit import JobRequest
from taskreel.app.services import Services
from taskreel.domain.cron import CronSchedule
from taskreel.domain.errors import (
    ConflictError,
    ForbiddenError,
    IdempotencyMismatchError,
    InvalidError,
    NotFoundError,
)
from taskreel.domain.ids import keyed_recurring_job_id, random_recurring_job_id
from taskreel.domain.recurring_job import Overlap, RecurrenceState, RecurringJob
from taskreel.jobtypes import JOB_TYPES
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import DeferredSubmission, Submission
from taskreel.ports import Condition, Query, Transaction
from taskreel.store_collections import RECURRING_JOBS

#: A user has at most so many recurring jobs.
MOST_RECURRING_JOBS = 1000
_LONGEST_ID = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A request for a recurring job."""

    job_type: JobType[Any]
    submission: Submission
    cron_expression: str
    time_zone: str
    overlap: Overlap
    skip_cache: bool
    start_at: datetime | None
    end_at: datetime | None
    idempotency_key: str | None = None


async def create_recurring_job(
    services: Services, caller: Caller, wanted: Recurrence
) -> RecurringJob:
    """Store a recurring job; its first run comes at the first time of its cron expression.

    The request is checked now as its runs will be, except for the balance. With an idempotency key
    a repetition returns the first one. Raises InvalidError (cron expression, time zone, a field of
    the request), ForbiddenError (project), ConflictError (too many), IdempotencyMismatchError.
    """
    _check_recurrence(wanted)
    schedule = CronSchedule(wanted.cron_expression, wanted.time_zone)
    await quote_job(
        services, caller, JobRequest(job_type=wanted.job_type, submission=wanted.submission)
    )
    now, key = services.clock.now(), wanted.idempotency_key
    recurring = RecurringJob(
        recurring_job_id=(
            keyed_recurring_job_id(caller.user_id, key)
            if key
            else random_recurring_job_id(services.random)
        ),
        user_id=caller.user_id,
        tier=caller.tier,
        projects=None if caller.projects is None else tuple(sorted(caller.projects)),
        project_id=wanted.submission.project_id,
        job_type=wanted.job_type.name,
        payload=wanted.submission.payload(),
        cron_expression=wanted.cron_expression,
        time_zone=wanted.time_zone,
        overlap=wanted.overlap,
        skip_cache=wanted.skip_cache,
        start_at=wanted.start_at,
        end_at=wanted.end_at,
        wake_shard=services.random.randrange(services.rules.wake_shards),
        created_at=now,
        updated_at=now,
    )
    first_run_at = schedule.next_after(max(now, wanted.start_at or now))
    recurring = recurring.schedule_next(first_run_at, now)
    if recurring.next_run_at is None:
        raise InvalidError.at("options.endAt", "must be after the first run")

    async def store_new(tx: Transaction) -> RecurringJob:
        existing = await tx.get(RECURRING_JOBS, recurring.recurring_job_id)
        if existing is not None:
            return existing
        tx.create(RECURRING_JOBS, recurring.recurring_job_id, recurring)
        return recurring

    await _check_number(services, caller)
    stored = await services.store.transaction(store_new)
    if (stored.payload, stored.cron_expression) != (recurring.payload, wanted.cron_expression):
        raise IdempotencyMismatchError(
            "This Idempotency-Key was used before with another request. "
            "Use a new key for a new request.",
            recurringJobId=stored.recurring_job_id,
        )
    return stored


async def find_recurring_job(services: Services, caller: Caller, id_: str) -> RecurringJob:
    """The recurring job, if there is one that the caller may see. Raises NotFoundError."""
    found = None
    if len(id_) <= _LONGEST_ID:
        found = await services.store.get(RECURRING_JOBS, id_)
    if found is None or not (caller.admin or found.user_id == caller.user_id):
        raise NotFoundError(f"There is no recurring job {id_} that you may see.")
    return found


async def list_recurring_jobs(
    services: Services,
    caller: Caller,
    *,
    limit: int,
    cursor: str | None,
    all_users: bool = False,
) -> Page[RecurringJob]:
    """The caller's recurring jobs, newest first; with `all_users` those of everybody (admin).

    Raises ForbiddenError.
    """
    if all_users and not caller.admin:
        raise ForbiddenError("Only an admin may list the recurring jobs of all users.")
    # No index starts with a time (DESIGN.md, law 6): all types are named instead.
    everybody: Condition = ("jobType", "in", sorted(JOB_TYPES))
    query = Query(
        collection=RECURRING_JOBS,
        where=(everybody if all_users else ("userId", "==", caller.user_id),),
        order=(("createdAt", "desc"),),
        after=decode_cursor(cursor) if cursor else None,
    )
    return await query_page(services, query, limit=limit)


async def pause_recurring_job(services: Services, caller: Caller, id_: str) -> RecurringJob:
    """Make no more runs until it is resumed. Safe to repeat."""

    def pause(recurring: RecurringJob, now: datetime) -> RecurringJob:
        if recurring.state is RecurrenceState.ACTIVE:
            return recurring.with_changes(now, state=RecurrenceState.PAUSED, wake_at=None)
        return recurring

    return await _change(services, caller, id_, pause)


async def resume_recurring_job(services: Services, caller: Caller, id_: str) -> RecurringJob:
    """Make runs again, from its next time on; those that it missed are left out. Safe to repeat.

    Raises ConflictError when its `endAt` has passed.
    """

    def resume(recurring: RecurringJob, now: datetime) -> RecurringJob:
        if recurring.state is RecurrenceState.ACTIVE:
            return recurring
        schedule = CronSchedule(recurring.cron_expression, recurring.time_zone)
        active = recurring.with_changes(now, state=RecurrenceState.ACTIVE)
        active = active.schedule_next(schedule.next_after(max(now, recurring.start_at or now)), now)
        if active.next_run_at is None:
            raise ConflictError(
                "This recurring job has ended: no run of it comes before its endAt. "
                "Create another one."
            )
        return active

    return await _change(services, caller, id_, resume)


async def delete_recurring_job(services: Services, caller: Caller, id_: str) -> RecurringJob:
    """Delete it; the jobs that it has submitted stay. Raises NotFoundError."""
    found = await find_recurring_job(services, caller, id_)

    async def delete(tx: Transaction) -> None:
        tx.delete(RECURRING_JOBS, id_)

    await services.store.transaction(delete)
    return found


async def _change(services: Services, caller: Caller, id_: str, change: Any) -> RecurringJob:
    await find_recurring_job(services, caller, id_)

    async def write(tx: Transaction) -> RecurringJob:
        recurring = await tx.get(RECURRING_JOBS, id_)
        if recurring is None:
            raise NotFoundError(f"There is no recurring job {id_} that you may see.")
        changed: RecurringJob = change(recurring, services.clock.now())
        if changed is not recurring:
            tx.set(RECURRING_JOBS, id_, changed)
        return changed

    return await services.store.transaction(write)


def _check_recurrence(wanted: Recurrence) -> None:
    submission = wanted.submission
    if isinstance(submission, DeferredSubmission) or submission.depends_on:
        raise InvalidError.at("data.dependsOn", "a recurring job cannot depend on other jobs")
    if submission.schedule_at is not None:
        raise InvalidError.at("data.scheduleAt", "its cronExpression says when it runs")
    if wanted.start_at and wanted.end_at and wanted.end_at <= wanted.start_at:
        raise InvalidError.at("options.endAt", "must be after startAt")


async def _check_number(services: Services, caller: Caller) -> None:
    # Two requests at once may both pass: the limit protects the sweep, and is no exact quota.
    query = Query(collection=RECURRING_JOBS, where=(("userId", "==", caller.user_id),))
    if (await services.store.aggregate(query))["count"] >= MOST_RECURRING_JOBS:
        raise ConflictError(
            f"You have {MOST_RECURRING_JOBS} recurring jobs, which is the limit: delete some."
        )
