"""Recurring jobs for their owners: create, read, pause, resume and delete them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.jobs.queries import Page, decode_cursor, query_page
from taskreel.app.jobs.quote import quote_job
from taskreel.app.jobs.submit import JobRequest, name_project
from taskreel.app.projects.rights import add_stored_role, load_project, require_editor
from taskreel.app.schedules.schedule_owner import explain_ended_key
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
from taskreel.jobtypes import JOB_TYPES, find_job_type
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import DeferredSubmission, Submission
from taskreel.ports import Condition, Query, Transaction
from taskreel.store_collections import RECURRING_JOBS

#: A user, or a project of an API key, has at most so many recurring jobs.
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
    submission = name_project(caller, wanted.submission)
    await quote_job(services, caller, JobRequest(job_type=wanted.job_type, submission=submission))
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
        project_id=submission.project_id,
        job_type=wanted.job_type.name,
        payload=submission.payload(),
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
    return await _find_for_role(services, caller, id_, ProjectRole.VIEWER)


async def list_recurring_jobs(
    services: Services,
    caller: Caller,
    *,
    limit: int,
    cursor: str | None,
    all_users: bool = False,
    project_id: str | None = None,
) -> Page[RecurringJob]:
    """The caller's recurring jobs, newest first; with `all_users` those of everybody (admin).

    With `project_id` those of all its members and API keys, for its members. Raises ForbiddenError.
    """
    if all_users and not caller.admin:
        raise ForbiddenError("Only an admin may list the recurring jobs of all users.")
    # No index starts with a time (DESIGN.md, law 6): all types are named instead.
    everybody: Condition = ("jobType", "in", sorted(JOB_TYPES))
    whose: Condition = everybody if all_users else ("userId", "==", caller.user_id)
    if project_id is not None:
        member = await add_stored_role(services, caller, project_id)
        if not (caller.admin or member.is_member(project_id)):
            raise ForbiddenError(f"You are no member of project {project_id}.")
        whose = ("projectId", "==", project_id)
    query = Query(
        collection=RECURRING_JOBS,
        where=(whose,),
        order=(("createdAt", "desc"),),
        after=decode_cursor(cursor) if cursor else None,
    )
    return await query_page(services, query, limit=limit)


async def pause_recurring_job(services: Services, caller: Caller, id_: str) -> RecurringJob:
    """Make no more runs until it is resumed. Safe to repeat."""

    def pause(recurring: RecurringJob, now: datetime) -> RecurringJob:
        return recurring.pause(now) if recurring.state is RecurrenceState.ACTIVE else recurring

    await _find_for_role(services, caller, id_, ProjectRole.EDITOR)
    return await _change(services, caller, id_, pause, "recurring job paused")


async def resume_recurring_job(services: Services, caller: Caller, id_: str) -> RecurringJob:
    """Make runs again, from its next time on; those that it missed are omitted. Safe to repeat.

    Raises ConflictError when its `endAt` has passed, or its API key was revoked or has expired.
    """

    def resume(recurring: RecurringJob, now: datetime) -> RecurringJob:
        return (
            recurring
            if recurring.state is RecurrenceState.ACTIVE
            else _activate_runs(recurring, now)
        )

    found = await _find_for_role(services, caller, id_, ProjectRole.EDITOR)
    if (reason := await explain_ended_key(services, found)) is not None:
        raise ConflictError(reason)
    return await _change(services, caller, id_, resume, "recurring job resumed")


async def take_over_recurring_job(services: Services, caller: Caller, id_: str) -> RecurringJob:
    """Make a recurring job of a project the caller's own, as an admin of the project.

    Its next runs are submitted as theirs. One that was paused because its API key had ended goes
    on. Raises what `create_recurring_job` does, NotFoundError, and ConflictError for one of no
    project, or whose `endAt` has passed.
    """
    found = await _find_for_role(services, caller, id_, ProjectRole.ADMIN)
    if found.user_id == caller.user_id:
        return found
    if found.project_id is None:
        raise ConflictError("This recurring job is of no project: only its user has it run.")
    project = await load_project(services.store, found.project_id)
    if project is not None:
        # No token is there when it runs: neither an operator's rights nor the roles of a token.
        stored = replace(caller, admin=False, roles=None)
        require_editor(stored, project, services.clock.now())
    job_type = find_job_type(found.job_type)
    submission = job_type.submission.load_stored(found.payload)
    # As the new owner, who may not have the files and jobs that it names.
    await quote_job(services, caller, JobRequest(job_type=job_type, submission=submission))
    await _check_number(services, caller)

    def take_over(recurring: RecurringJob, now: datetime) -> RecurringJob:
        taken = recurring.with_changes(
            now,
            user_id=caller.user_id,
            tier=caller.tier,
            projects=None if caller.projects is None else tuple(sorted(caller.projects)),
        )
        return taken if recurring.pause_reason is None else _activate_runs(taken, now)

    return await _change(services, caller, id_, take_over, "recurring job taken over")


def _activate_runs(recurring: RecurringJob, now: datetime) -> RecurringJob:
    schedule = CronSchedule(recurring.cron_expression, recurring.time_zone)
    active = recurring.with_changes(now, state=RecurrenceState.ACTIVE, pause_reason=None)
    active = active.schedule_next(schedule.next_after(max(now, recurring.start_at or now)), now)
    if active.next_run_at is None:
        raise ConflictError(
            "This recurring job has ended: no run of it comes before its endAt. Create another one."
        )
    return active


async def delete_recurring_job(services: Services, caller: Caller, id_: str) -> RecurringJob:
    """Delete it; the jobs that it has submitted stay. Raises NotFoundError."""
    found = await _find_for_role(services, caller, id_, ProjectRole.ADMIN)

    async def delete(tx: Transaction) -> None:
        tx.delete(RECURRING_JOBS, id_)
        action = "recurring job deleted"
        record_admin_act(services, tx, caller, action, subject=id_, owner=found.user_id)

    await services.store.transaction(delete)
    return found


async def _find_for_role(
    services: Services, caller: Caller, id_: str, least: ProjectRole
) -> RecurringJob:
    """The recurring job, for its owner, and for members of its project with the role `least`.

    Raises NotFoundError for one that the caller may not see, and ForbiddenError for members of a
    lower role.
    """
    found = None
    if len(id_) <= _LONGEST_ID:
        found = await services.store.get(RECURRING_JOBS, id_)
    if found is not None and (caller.admin or found.user_id == caller.user_id):
        return found
    role = None
    if found is not None and found.project_id is not None:
        member = await add_stored_role(services, caller, found.project_id)
        role = member.find_role(found.project_id)
    if found is None or role is None:
        raise NotFoundError(f"There is no recurring job {id_} that you may see.")
    if role < least:
        raise ForbiddenError(
            f"The recurring job {id_} is another's: that needs the role {least.name.lower()} in "
            f"project {found.project_id}."
        )
    return found


async def _change(
    services: Services, caller: Caller, id_: str, change: Any, action: str
) -> RecurringJob:
    """Change it; `action` is the change in the audit log, where an admin makes it to another's."""

    async def write(tx: Transaction) -> RecurringJob:
        recurring = await tx.get(RECURRING_JOBS, id_)
        if recurring is None:
            raise NotFoundError(f"There is no recurring job {id_} that you may see.")
        changed: RecurringJob = change(recurring, services.clock.now())
        if changed is not recurring:
            tx.set(RECURRING_JOBS, id_, changed)
            owner = recurring.user_id
            record_admin_act(services, tx, caller, action, subject=id_, owner=owner)
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
    project_id = caller.key_project
    whose: Condition = ("userId", "==", caller.user_id)
    if project_id is not None:  # keys are made at will: their project's recurring jobs count
        whose = ("projectId", "==", project_id)
    query = Query(collection=RECURRING_JOBS, where=(whose,))
    if (await services.store.aggregate(query))["count"] >= MOST_RECURRING_JOBS:
        owner = "You have" if project_id is None else f"Project {project_id} has"
        raise ConflictError(
            f"{owner} {MOST_RECURRING_JOBS} recurring jobs, which is the limit: delete some."
        )
