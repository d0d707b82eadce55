"""Build a job from its submission and its plan: submitted, as a child job, or unblocked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from taskreel.app.caller import Caller
from taskreel.app.flow.slots import find_provider_slot
from taskreel.app.jobs.enqueue import first_wake_at
from taskreel.app.messages.job_task import queue_of_type
from taskreel.app.pricing.job_plan import JobPlan
from taskreel.app.services import Services
from taskreel.domain.breaker import PROVIDER_RESTING, explain_resting
from taskreel.domain.credits import name_day
from taskreel.domain.errors import Category
from taskreel.domain.ids import find_limit_owner, find_wake_shard, own_endpoint_id
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_fields import JobCredits, Priority
from taskreel.domain.job_history import StatusChange
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.domain.retry_policy import RetryPolicy
from taskreel.domain.unit import served_by_names
from taskreel.domain.validation_messages import invalid_model
from taskreel.domain.webhook_events import FINAL_EVENTS, MessageForm, WebhookSubscription
from taskreel.jobtypes.job_type import JobType, Unit
from taskreel.jobtypes.submission import RetryOptions, Submission
from taskreel.ports import Capability


class ChildPlace(Record, kw_only=True):
    """The pipeline that a child job belongs to, its step, and its index in the step."""

    parent: Job
    step: str
    index: int


class NewJob(Record, kw_only=True):
    """The parts of a new job that its submitter or its pipeline decides."""

    job_id: str
    job_type: JobType[Any]
    submission: Submission
    #: `submission.payload()`, which the submitter has at hand.
    payload: dict[str, Any]
    user_id: str
    project_id: str | None
    #: The project, if it limits its jobs at a time; None for a child job: its pipeline has a slot.
    project_slot: str | None = None
    priority: Priority
    retry: RetryPolicy
    #: The credits that are held for it; a child job holds none, since its pipeline does.
    held: int = 0
    #: A child job's times are its pipeline's: it has no schedule and no deadlines of its own.
    place: ChildPlace | None = None
    lineage: tuple[str, ...] = ()
    redo: tuple[str, ...] = ()
    request_hash: str | None = None
    cache_key: str | None = None
    webhooks: tuple[WebhookSubscription, ...] = ()

    @property
    def blocked(self) -> bool:
        """True when it waits for other jobs; it gets its units and deadline when unblocked."""
        return self.place is None and bool(self.submission.depends_on)


def choose_priority(services: Services, caller: Caller, submission: Submission) -> Priority:
    """The priority that the request names, else the one of the caller's tier."""
    limits = services.rules.limits
    if limits is None or "priority" in submission.model_fields_set:
        return submission.priority
    return limits.tier(caller.tier).priority


def merge_retry_policy(default: RetryPolicy, wanted: RetryOptions | None) -> RetryPolicy:
    """The type's retry policy with the caller's changes; InvalidError when they do not fit."""
    changes = wanted.model_dump(exclude_none=True) if wanted else {}
    if not changes:
        return default
    try:
        return default.with_changes(changes)
    except ValidationError as error:
        raise invalid_model(error, RetryPolicy.reader(), ("retry",)) from None


def list_own_webhooks(
    caller: Caller, job_type: JobType[Any], submission: Submission, form: MessageForm | None
) -> tuple[WebhookSubscription, ...]:
    """The webhook that the request itself names."""
    if submission.webhook_url is None or job_type.capability is Capability.WEBHOOK:
        return ()
    own = WebhookSubscription(
        endpoint_id=own_endpoint_id(caller.user_id),
        events=tuple(submission.webhook_events or FINAL_EVENTS),
        url=submission.webhook_url,
        form=form,
    )
    return (own,)


def build_job(services: Services, new: NewJob, plan: JobPlan) -> Job:
    """The new job, not yet stored."""
    now, place = services.clock.now(), new.place
    limit_owner = find_limit_owner(new.user_id)
    schedule_at = new.submission.schedule_at if place is None else None
    start = _Start.of(schedule_at, plan, now)
    blocked = new.blocked
    status = Status.BLOCKED if blocked else start.status
    start_by = None if place else _add_seconds(start.at, new.submission.start_within_seconds)
    finish_by = place.parent.finish_by if place else _finish_by(new, start.at)
    first_change = StatusChange(
        status=status,
        at=now,
        by=None if place else new.user_id,
        code=None if start.wait_reason is None else start.wait_reason.code,
    )
    return Job(
        job_id=new.job_id,
        job_type=new.job_type.name,
        status=status,
        priority=new.priority,
        user_id=new.user_id,
        project_id=new.project_id,
        payload=new.payload,
        created_at=now,
        updated_at=now,
        status_at={status: now},
        retry=new.retry,
        next_attempt_at=start.next_attempt_at,
        error=start.wait_reason,
        credits=JobCredits(held=new.held),
        held_on=name_day(now) if new.held else None,
        served_by=None if blocked else served_by_names(plan.units),
        units=() if blocked else plan.units,
        wake_shard=find_wake_shard(new.job_id, services.rules.wake_shards),
        wake_at=_find_earliest(first_wake_at(services, start.at, now), start_by, finish_by),
        start_by=start_by,
        finish_by=finish_by,
        request_hash=new.request_hash,
        cache_key=new.cache_key,
        webhooks=new.webhooks,
        lineage=new.lineage,
        redo=new.redo,
        parent_id=place.parent.job_id if place else None,
        parent_lane=queue_of_type(place.parent.job_type) if place else None,
        parent_round=place.parent.round if place else None,
        provider_slot=None if blocked else find_provider_slot(services, plan.units),
        project_slot=new.project_slot,
        limited_as=None if limit_owner == new.user_id else limit_owner,
        pipeline_type=(place.parent.pipeline_type or place.parent.job_type) if place else None,
        step=place.step if place else None,
        index=place.index if place else 0,
        history=(first_change,),
    )


def unblock_job(
    services: Services,
    job: Job,
    submission: Submission,
    payload: Mapping[str, Any],
    plan: JobPlan,
    longest: timedelta,
) -> Job:
    """The blocked job, ready to run with its filled-in payload; not yet stored.

    Without a deadline of its own it gets `longest` from its start.
    """
    now = services.clock.now()
    start = _Start.of(submission.schedule_at, plan, now)
    ready = job.enter_status(
        start.status,
        now,
        payload=dict(payload),
        units=plan.units,
        served_by=served_by_names(plan.units),
        provider_slot=find_provider_slot(services, plan.units),
        next_attempt_at=start.next_attempt_at,
        error=start.wait_reason,
        # Without a deadline of its own the stored one was for the time of waiting.
        finish_by=job.finish_by if submission.deadline_seconds else start.at + longest,
    )
    wake_at = ready.next_wake_at(first_wake_at(services, start.at, now))
    return ready.with_changes(now, wake_at=wake_at)


#: The small requests of jobs that were submitted here and have not run, by the job's id: the
#: payload that was stored, the validated request, its units. The oldest make room for others.
_submitted: dict[str, tuple[dict[str, Any], Submission, tuple[Unit, ...]]] = {}
_MOST_SUBMITTED = 256
#: The JSON of a small payload takes no more.
SMALL_PAYLOAD_BYTES = 5000


def remember_request(job: Job, submission: Submission, plan: JobPlan) -> None:
    """Let a run of the job in this process have its small request, which was validated just now."""
    _submitted[job.job_id] = job.payload, submission, plan.calls
    if len(_submitted) > _MOST_SUBMITTED:
        del _submitted[next(iter(_submitted))]


def load_request(job: Job, job_type: JobType[Any]) -> tuple[Submission, tuple[Unit, ...]]:
    """The job's request and its units: validated at its submission, else from what is stored.

    Raises UnknownRequestError for a stored request that is invalid here.
    """
    submitted = _submitted.pop(job.job_id, None)
    if submitted is not None and submitted[0] is job.payload:
        return submitted[1:]
    submission = job_type.submission.load_stored(job.payload)
    return submission, job_type.units(submission)


class _Start(Record):
    """The start of a job: its first status, its time, and the time of its first task."""

    status: Status
    at: datetime
    next_attempt_at: datetime | None
    #: Set for a job that begins by waiting for a paused provider.
    wait_reason: JobError | None

    @classmethod
    def of(cls, schedule_at: datetime | None, plan: JobPlan, now: datetime) -> _Start:
        scheduled = schedule_at if schedule_at and schedule_at > now else None
        next_attempt_at = scheduled or plan.not_before
        status = Status.SCHEDULED if scheduled else Status.QUEUED
        reason = None
        if scheduled is None and plan.not_before is not None and plan.not_before > now:
            message = explain_resting(plan.served_by or "The provider", plan.not_before)
            reason = JobError(
                code=PROVIDER_RESTING, category=Category.RATE_LIMITED, message=message
            )
        return cls(status, next_attempt_at or now, next_attempt_at, reason)


def _finish_by(new: NewJob, start: datetime) -> datetime | None:
    own = _add_seconds(start, new.submission.deadline_seconds)
    if own is not None or new.blocked:
        return own
    return start + new.job_type.deadline


def _find_earliest(at: datetime, *deadlines: datetime | None) -> datetime:
    return min([at, *(one for one in deadlines if one is not None)])


def _add_seconds(start: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else start + timedelta(seconds=seconds)
