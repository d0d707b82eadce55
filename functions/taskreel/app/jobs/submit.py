"""Create a job: hold its credits and store it in one transaction, then put its first task on its lane."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from taskreel.app.caller import Caller
from taskreel.app.credits.balances import load_account, open_account
from taskreel.app.jobs.dependencies import check_references, dependencies, mark, wake
from taskreel.app.jobs.enqueue import FARTHEST, send
from taskreel.app.jobs.job_store import load_job
from taskreel.app.pricing.credit_cost import compute_credits
from taskreel.app.pricing.job_plan import JobPlan, plan_job
from taskreel.app.providers.selection import served_by_names
from taskreel.app.services import WAKE_SHARDS, Services
from taskreel.domain.claim import next_wake_at
from taskreel.domain.credits import Account, hold
from taskreel.domain.errors import (
    ForbiddenError,
    IdempotencyMismatchError,
    InvalidError,
    StoreConflictError,
    TooFewCreditsError,
)
from taskreel.domain.ids import keyed_job_id, random_job_id
from taskreel.domain.job import Job, JobCredits
from taskreel.domain.job_status import Status
from taskreel.domain.retry import RetryPolicy
from taskreel.domain.unit import UnitRun
from taskreel.domain.validation_messages import invalid_model
from taskreel.jobtypes.job_type import JobType, RetryOptions, Submission, Waiting
from taskreel.ports import Transaction

_LONGEST_SCHEDULE = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A submission as it came: its type, its validated body, and how a repetition of it would be known."""

    job_type: JobType[Any]
    submission: Submission
    idempotency_key: str | None = None
    #: The jobs that it replays, the newest first; the steps that it does again though they were done; and the units,
    #: by their place, and the steps that are taken over.
    lineage: tuple[str, ...] = ()
    redo: tuple[str, ...] = ()
    kept: Mapping[int, UnitRun] = field(default_factory=dict)
    finished: frozenset[str] = frozenset()

    @property
    def body_hash(self) -> str:
        """Equal for equal requests, whatever their order of fields and white space."""
        text = "\n".join([self.submission.model_dump_json(), *self.lineage[:1], *self.redo])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def held(self) -> int:
        """The credits to hold: what is taken over has been paid for."""
        return compute_credits(self.job_type, self.submission, without=[*self.kept, *self.finished])


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job, and whether it had been created before by the same request."""

    job: Job
    replayed: bool


@dataclass(frozen=True, slots=True)
class Quote:
    """What a submission would cost, with nothing created."""

    cost: int
    account: Account
    plan: JobPlan


async def quote(services: Services, caller: Caller, request: Request) -> Quote:
    """Everything that `submit` checks, without doing it."""
    _check_project(caller, request.submission)
    _check_schedule(services, request.submission)
    check_references(request.submission, request.submission.payload())
    await dependencies(services.store, caller.user_id, request.submission)
    plan = await _plan(services, request)
    account = await load_account(services, services.store, caller.user_id)
    return Quote(request.held, account, plan)


async def submit(services: Services, caller: Caller, request: Request) -> Submitted:
    """The new job, or the one that the same idempotency key has made.

    Raises TooFewCreditsError, InvalidError (provider, model, scheduleAt), ForbiddenError (project) and
    IdempotencyMismatchError.
    """
    _check_project(caller, request.submission)
    _check_schedule(services, request.submission)
    payload = request.submission.payload()
    check_references(request.submission, payload)
    job = await _new_job(services, caller, request, payload)
    try:
        await services.store.transaction(lambda tx: _store(services, tx, job))
    except (StoreConflictError, TooFewCreditsError):
        existing = await load_job(services.store, job.job_id) if request.idempotency_key else None
        if existing is None:
            raise
        return _repeated(existing, request)
    if job.status is Status.BLOCKED:
        return Submitted(await wake(services, job.job_id) or job, replayed=False)
    await send(services, job)
    return Submitted(job, replayed=False)


async def _new_job(
    services: Services, caller: Caller, request: Request, payload: dict[str, Any]
) -> Job:
    now = services.clock.now()
    submission, job_type = request.submission, request.job_type
    plan = await _plan(services, request)
    units, not_before = plan.units, plan.not_before
    blocked = bool(submission.depends_on)
    scheduled = (
        submission.schedule_at if submission.schedule_at and submission.schedule_at > now else None
    )
    status = Status.BLOCKED if blocked else Status.SCHEDULED if scheduled else Status.QUEUED
    start = scheduled or not_before or now
    key = request.idempotency_key
    job = Job(
        job_id=keyed_job_id(caller.user_id, key) if key else random_job_id(services.random),
        job_type=job_type.name,
        status=status,
        priority=submission.priority,
        user_id=caller.user_id,
        project_id=submission.project_id,
        payload=payload,
        created_at=now,
        updated_at=now,
        status_at={status: now},
        retry=_retry(job_type.retry, submission.retry),
        next_attempt_at=scheduled or not_before,
        credits=JobCredits(held=request.held),
        served_by=None if blocked else served_by_names(units),
        # A blocked job gets its units, and the time it may take, when it is set free.
        units=() if blocked else units,
        wake_shard=services.random.randrange(WAKE_SHARDS),
        start_by=_after(start, submission.start_within_seconds),
        finish_by=_after(start, submission.deadline_seconds)
        or (None if blocked else start + job_type.deadline),
        request_hash=request.body_hash if key else None,
        lineage=request.lineage,
        redo=request.redo,
    )
    return job.with_changes(now, wake_at=next_wake_at(job, first_alarm(services, start, now)))


async def _plan(services: Services, request: Request) -> JobPlan:
    """What it comes to, as far as that is known; what is taken over need not be planned."""
    if isinstance(request.submission, Waiting):
        return JobPlan(usd=None)
    plan = await plan_job(services, request.job_type, request.submission, without=request.finished)
    units = tuple(request.kept.get(place, unit) for place, unit in enumerate(plan.units))
    return replace(plan, units=units)


def first_alarm(services: Services, start: datetime, now: datetime) -> datetime:
    """When a task that should run at `start` is missed, or has come near enough to be sent."""
    return start - FARTHEST if start > now + FARTHEST else start + services.rules.rescue_after


async def _store(services: Services, tx: Transaction, job: Job) -> None:
    account = await open_account(services, tx, job.user_id, job.created_at)
    after = account.after(hold(account, job.credits.held))
    tx.set("accounts", job.user_id, after.document())
    if job.status is Status.BLOCKED:
        await mark(tx, job)
    tx.create("jobs", job.job_id, job.document())


def _repeated(existing: Job, request: Request) -> Submitted:
    if existing.request_hash != request.body_hash or existing.job_type != request.job_type.name:
        raise IdempotencyMismatchError(
            "This Idempotency-Key was used before with another request. Use a new key for a new request.",
            jobId=existing.job_id,
        )
    return Submitted(existing, replayed=True)


def _check_project(caller: Caller, submission: Submission) -> None:
    project = submission.project_id
    if project is not None and caller.projects is not None and project not in caller.projects:
        raise ForbiddenError(f"Your token does not include project {project!r}.")


def _check_schedule(services: Services, submission: Submission) -> None:
    at = submission.schedule_at
    if at is not None and at > services.clock.now() + _LONGEST_SCHEDULE:
        message = "must be at most a year ahead"
        raise InvalidError.at("scheduleAt", message, text=f"scheduleAt {message}")


def _retry(default: RetryPolicy, wanted: RetryOptions | None) -> RetryPolicy:
    changes = wanted.model_dump(exclude_none=True) if wanted else {}
    try:
        return (
            RetryPolicy.model_validate({**default.model_dump(), **changes}) if changes else default
        )
    except ValidationError as error:
        raise invalid_model(error, RetryPolicy, ("retry",)) from None


def _after(start: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else start + timedelta(seconds=seconds)
