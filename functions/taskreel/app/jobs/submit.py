"""Submit a job: hold its credits and store it in one transaction, then enqueue its first task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import field
from msgspec.json import Encoder
from msgspec.structs import replace

from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.credits.balances import open_account, run_on_any_shard
from taskreel.app.flow.slots import Room, active_limit, place_job, reserve_room
from taskreel.app.jobs.dependencies import check_references, register_waiter, unblock_if_ready
from taskreel.app.jobs.enqueue import admit_next, enqueue_jobs, enqueue_tasks
from taskreel.app.jobs.job_store import MAX_PAYLOAD_BYTES, is_larger
from taskreel.app.jobs.new_job import (
    SMALL_PAYLOAD_BYTES,
    NewJob,
    build_job,
    choose_priority,
    list_own_webhooks,
    merge_retry_policy,
    remember_request,
)
from taskreel.app.messages.job_events import create_status_event
from taskreel.app.pricing.credit_cost import compute_credits
from taskreel.app.pricing.job_plan import JobPlan, plan_job
from taskreel.app.services import Services
from taskreel.domain.errors import (
    ForbiddenError,
    InvalidError,
    RateExceededError,
    SpendCapError,
    StoreConflictError,
    TooFewCreditsError,
    TooLargeError,
)
from taskreel.domain.ids import key_of_user, keyed_job_id, random_job_id
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.rate_limit import WRITES, RateDecision, decide_request, refuse_request
from taskreel.domain.record import Record
from taskreel.domain.unit import UnitRun
from taskreel.domain.webhook_events import MessageForm, WebhookSubscription, list_wanted
from taskreel.jobtypes.job_type import JobType
from taskreel.jobtypes.submission import DeferredSubmission, Submission
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS, JOBS

if TYPE_CHECKING:  # with caps, shards and cached results alone: cold start
    from taskreel.app.credits.account_shards import JobNeeds, ShardChoice
    from taskreel.app.jobs.earlier_requests import EarlierAnswer
    from taskreel.app.jobs.result_cache import CacheLookup
    from taskreel.app.messages.spend_alerts import SpendAlerts

_encode = Encoder().encode
#: The time from now until which a job may be scheduled: ten years.
LONGEST_SCHEDULE = timedelta(days=3660)


class JobRequest(Record, kw_only=True):
    """A submission: its type, its validated body, and the work that a replay takes over."""

    job_type: JobType[Any]
    submission: Submission
    idempotency_key: str | None = None
    #: The fields of the body that have no effect, for the answer.
    ignored: tuple[str, ...] = ()
    #: Where the request asks for a cached result: the key, and the id of the job to create.
    cache: CacheLookup | None = None
    #: The jobs that it replays, the newest first.
    lineage: tuple[str, ...] = ()
    #: The steps that are done again though they were done.
    redo: tuple[str, ...] = ()
    #: The units, by their place, and the steps that are taken over from the replayed job.
    done_units: Mapping[int, UnitRun] = field(default_factory=dict)
    done_steps: frozenset[str] = frozenset()
    #: The form of the messages to the submission's webhook; None for this API's own.
    webhook_form: MessageForm | None = None

    @property
    def asks_for_cache(self) -> bool:
        """True where an earlier equal job may answer; a replay is made to do its work again."""
        return self.submission.cache_seconds is not None and not self.lineage

    @property
    def body_hash(self) -> str:
        """A digest that is equal for equal requests, whatever their white space."""
        text = "\n".join([self.submission.model_dump_json(), *self.lineage[:1], *self.redo])
        return hashlib.sha256(text.encode()).hexdigest()

    def credits_to_hold(self, plan: JobPlan) -> int:
        """The credits to hold; work that is taken over has been paid for."""
        deferred = isinstance(self.submission, DeferredSubmission)
        if self.job_type.pipeline is not None or deferred:
            return compute_credits(self.job_type, self.submission, without=self.done_steps)
        prices = enumerate(plan.unit_credits)
        return sum(price for place, price in prices if place not in self.done_units)


class Submitted(Record):
    """The job; `repeated` when an earlier request with the same idempotency key made it.

    `rate` is the decision of the rate limit on the submission, where there is one.
    """

    job: Job
    repeated: bool
    rate: RateDecision | None = None
    #: True when an equal job answers, which an earlier request has made.
    cached: bool = False


async def submit_job(services: Services, caller: Caller, request: JobRequest) -> Submitted:
    """Create a job and enqueue it, or return the one that the same idempotency key has made.

    Raises TooFewCreditsError, SpendCapError, InvalidError (a field, provider, model, scheduleAt),
    ForbiddenError (project) and IdempotencyMismatchError.
    """
    request, payload, is_small = check_request(services, caller, request)
    if request.asks_for_cache:
        from taskreel.app.jobs.earlier_requests import EarlierAnswer, ask_cache  # cold start

        found = await ask_cache(services, caller, request, payload)
        if isinstance(found, EarlierAnswer):
            return _repeat_answer(found)
        request = replace(request, cache=found)
    plan = await plan_request(services, caller, request)
    job = await _build_job(services, caller, request, payload, plan)
    try:
        async with reserve_room(services, job) as room:
            new = await _store_on_any_shard(services, job, caller, room)
    except (StoreConflictError, TooFewCreditsError, SpendCapError, RateExceededError):
        existing = await _find_earlier_job(services, caller, request, job.job_id)
        if existing is None:
            raise
        return existing

    stored, rate = new.job, new.rate
    for alerts in new.alerts:
        from taskreel.app.messages.spend_alerts import announce_spend_alerts

        await enqueue_tasks(services, announce_spend_alerts(services, stored, alerts))
    if stored.status is Status.BLOCKED:
        # The jobs that it waits for may have ended before it was registered with them.
        ready = await unblock_if_ready(services, stored.job_id)
        return Submitted(ready or stored, repeated=False)
    if stored.status is Status.THROTTLED:
        if new.may_start:
            # Room that came free while it was being stored does not wait for the sweep.
            await admit_next(services, stored)
        return Submitted(stored, repeated=False, rate=rate)
    if is_small:
        remember_request(stored, request.submission, plan)
    # The job is stored: should the enqueueing fail, the sweep does it.
    await enqueue_jobs(services, stored)
    return Submitted(stored, repeated=False, rate=rate)


def check_request(
    services: Services, caller: Caller, request: JobRequest
) -> tuple[JobRequest, dict[str, Any], bool]:
    """The request with its caller's project, its payload, and True for a small payload.

    Raises InvalidError, ForbiddenError and TooLargeError, before anything is read or written.
    """
    request = _name_project(caller, request)
    _check_identity(caller, request.submission)
    _check_schedule(services, request.submission)
    _check_webhook(services, request.submission)
    payload = request.submission.payload()
    return request, payload, _check_payload(request.submission, payload)


def _name_project(caller: Caller, request: JobRequest) -> JobRequest:
    submission = name_project(caller, request.submission)
    return request if submission is request.submission else replace(request, submission=submission)


def name_project(caller: Caller, submission: Submission) -> Submission:
    """The request with the project of the caller's API key, where it names none."""
    key = key_of_user(caller.user_id)
    if key is None or submission.project_id is not None:
        return submission
    return submission.model_copy(update={"project_id": key.project_id})


async def _build_job(
    services: Services, caller: Caller, request: JobRequest, payload: dict[str, Any], plan: JobPlan
) -> Job:
    submission, key = request.submission, request.idempotency_key
    cache, project_slot = request.cache, None
    if submission.project_id is not None:
        from taskreel.app.flow.project_limits import find_project_slot  # of few: cold start

        project_slot = await find_project_slot(services, submission.project_id)
    if key is not None:
        job_id = keyed_job_id(caller.user_id, key)
    else:
        job_id = random_job_id(services.random) if cache is None else cache.job_id
    new = NewJob(
        job_id=job_id,
        job_type=request.job_type,
        submission=submission,
        payload=payload,
        user_id=caller.user_id,
        project_id=submission.project_id,
        project_slot=project_slot,
        priority=choose_priority(services, caller, submission),
        retry=merge_retry_policy(request.job_type.retry, submission.retry),
        held=request.credits_to_hold(plan),
        lineage=request.lineage,
        redo=request.redo,
        # Of every job whose id may come again after its removal: `finish_job.name_entry`.
        request_hash=request.body_hash if key or cache else None,
        cache_key=None if cache is None else cache.key,
        webhooks=list_own_webhooks(caller, request.job_type, submission, request.webhook_form),
    )
    return build_job(services, new, plan)


def _check_webhook(services: Services, submission: Submission) -> None:
    if submission.webhook_url is not None:
        services.webhooks.check_url(submission.webhook_url, "webhookUrl")
    elif submission.webhook_events is not None:
        raise InvalidError.at("webhookEvents", "needs webhookUrl beside it")


async def plan_request(services: Services, caller: Caller, request: JobRequest) -> JobPlan:
    """Plan the job as far as it is known now; work that is taken over needs no plan."""
    if isinstance(request.submission, DeferredSubmission):
        return JobPlan(usd=None)
    plan = await plan_job(
        services, request.job_type, request.submission, without=request.done_steps
    )
    if any(call.length_price is not None for call in plan.calls):
        from taskreel.app.jobs.input_length import price_own_files  # of few requests: cold start

        plan = await price_own_files(services, caller, plan)
    if not request.done_units:
        return plan
    units = tuple(request.done_units.get(place, unit) for place, unit in enumerate(plan.units))
    return replace(plan, units=units)


class _StoredJob(Record, kw_only=True):
    """A job as it was stored; `may_start` tells if a slot is free for it."""

    job: Job
    rate: RateDecision | None
    may_start: bool
    alerts: tuple[SpendAlerts, ...]


async def _store_on_any_shard(
    services: Services, job: Job, caller: Caller, room: Room
) -> _StoredJob:
    """Store the job; in another document of a sharded account where its own cannot take it."""
    return await run_on_any_shard(
        services,
        job,
        partial(_list_needs, services, job),
        lambda tx, choice: _store_new_job(services, tx, job, caller, room, choice),
    )


def _list_needs(services: Services, job: Job, cost: int) -> JobNeeds:
    from taskreel.app.credits.account_shards import JobNeeds  # of few accounts: cold start

    limits = services.rules.limits
    return JobNeeds(
        cost=cost,
        place=limits is not None and job.status is Status.QUEUED,
        writes=None if limits is None else limits.writes,
    )


async def _store_new_job(
    services: Services,
    tx: Transaction,
    job: Job,
    caller: Caller,
    room: Room,
    choice: ShardChoice | None,
) -> _StoredJob:
    """Hold the credits and create the job, in one transaction: there is never one without both.

    The same transaction counts the submission and its spend, and takes a slot of the account's or
    lets the job wait for one. Raises RateExceededError, TooFewCreditsError and SpendCapError, with
    nothing written.
    """
    first = account = await open_account(services, tx, job.limit_owner, job.created_at)
    limits, rate = services.rules.limits, None
    if limits is not None and not first.shard_documents:
        rate = decide_request(limits.writes, account.writes_at, job.created_at)
        if not rate.allowed:
            raise refuse_request(WRITES, rate)
    await _take_from_original(services, tx, job, caller)
    job, of_project = await _hold_in_project(services, tx, job, caller)
    own_cost = job.own_held
    if first.shard_documents:
        from taskreel.app.credits.account_shards import open_shard

        needs = _list_needs(services, job, own_cost)
        account, rate = await open_shard(tx, first, job, needs, choice)
        job = job.with_changes(job.updated_at, account_shard=account.shard)
    if account.grants and own_cost:
        from taskreel.domain.grants import split_hold

        job = job.with_changes(job.updated_at, burned=split_hold(account, own_cost))
    after, alerts = account.hold(own_cost, job.created_at, job.burned), None
    if after.has_caps:
        from taskreel.app.messages.spend_alerts import create_spend_alerts

        after, alerts = create_spend_alerts(tx, after, job.created_at)
    if rate is not None:
        after = after.model_copy(update={"tier": caller.tier, "writes_at": rate.arrival})
    if job.status is Status.BLOCKED:
        job = await register_waiter(tx, job)
    elif job.status is Status.QUEUED:
        after, job = place_job(services, after, job, room, job.created_at)
    tx.set(ACCOUNTS, job.own_account_id, after)
    subscribed = first.webhooks if job.limited_as is None else await _list_own(tx, job)
    if subscribed or job.webhooks:
        job = _add_webhooks(tx, job, subscribed)
    # The ids of others are random.
    has_fixed_id = job.request_hash is not None
    tx.create(JOBS, job.job_id, job, is_new=not has_fixed_id)
    may_start = limits is None or after.active < active_limit(limits, after)
    # Of a shard a slot may have come free in another one meanwhile, for the first that waits.
    may_start = may_start or job.slot_of is not None
    may_start = may_start or (after.shard_documents > 0 and after.waiting == 1)
    told = tuple(one for one in (alerts, of_project) if one is not None)
    return _StoredJob(job=job, rate=rate, may_start=may_start, alerts=told)


async def _list_own(tx: Transaction, job: Job) -> tuple[WebhookSubscription, ...]:
    """The webhooks of one key of a project, whose keys share their limits."""
    own = await tx.get(ACCOUNTS, job.user_id)
    return () if own is None else own.webhooks


def _add_webhooks(tx: Transaction, job: Job, subscribed: Sequence[WebhookSubscription]) -> Job:
    """The job with the webhooks of its user's endpoints, which get its events."""
    webhooks = (*job.webhooks, *list_wanted(subscribed, job.project_id))
    if not webhooks:
        return job
    return create_status_event(tx, job.model_copy(update={"webhooks": webhooks}))


async def _take_from_original(
    services: Services, tx: Transaction, job: Job, caller: Caller
) -> None:
    if job.lineage:
        from taskreel.app.audit_entries import record_admin_act  # of few requests: cold start
        from taskreel.app.jobs.removal_marks import take_from_original

        original = job.lineage[0]
        await take_from_original(tx, original, job.created_at)
        record_admin_act(services, tx, caller, "job replayed", subject=original, owner=job.user_id)


async def _hold_in_project(
    services: Services, tx: Transaction, job: Job, caller: Caller
) -> tuple[Job, SpendAlerts | None]:
    if job.project_id is None:
        return job, None
    from taskreel.app.projects.spend import hold_in_project  # of few requests: cold start

    return await hold_in_project(services, tx, job, job.credits.held, job.created_at, caller)


async def _find_earlier_job(
    services: Services, caller: Caller, request: JobRequest, job_id: str
) -> Submitted | None:
    """The answer to a request whose job another one has made meanwhile; None if there is none."""
    if request.idempotency_key is None and request.cache is None:
        return None
    from taskreel.app.jobs.earlier_requests import find_rival_job, release_key  # cold start

    earlier = await find_rival_job(services, caller, request, job_id)
    if earlier is not None:
        return _repeat_answer(earlier)
    # The key is free again if it meant a job that was removed since.
    is_free = await release_key(services, caller, request)
    return await submit_job(services, caller, request) if is_free else None


def _repeat_answer(earlier: EarlierAnswer) -> Submitted:
    return Submitted(earlier.job, repeated=earlier.repeated, cached=earlier.cached)


def _check_identity(caller: Caller, submission: Submission) -> None:
    """Raise ForbiddenError for a body that claims another user, or a project of others."""
    user, project = submission.user_id, submission.project_id
    if user is not None and user != caller.user_id:
        raise ForbiddenError(
            f"userId is {user!r}, and your token is for {caller.user_id!r}. "
            "Leave userId out, or send the token of that user."
        )
    if project is not None and caller.projects is not None and project not in caller.projects:
        raise ForbiddenError(f"Your token does not include project {project!r}.")
    if project is not None and caller.find_role(project) is ProjectRole.VIEWER:
        raise ForbiddenError(
            f"You are a viewer of project {project}: submitting to it needs the role editor."
        )


def _check_payload(submission: Submission, payload: dict[str, Any]) -> bool:
    """Raise TooLargeError for a payload that leaves no room for the job's state and results.

    Also InvalidError for references to what there is not. Return True for a small payload.
    """
    text = _encode(payload)
    is_small = len(text) <= SMALL_PAYLOAD_BYTES
    if not is_small and is_larger(payload, MAX_PAYLOAD_BYTES):
        raise TooLargeError(
            f"The request takes more than {MAX_PAYLOAD_BYTES:,} bytes when it is stored, or would "
            "encrypted, as random text does, which does not compress. "
            "Pass large texts and files by URL, or split the job."
        )
    # Nearly every payload is decided by this search alone, which is a superset of the rule: no
    # other part of a payload's text has two opening braces in sequence.
    if text.count(b"{{"):
        check_references(submission, payload)
    return is_small


def _check_schedule(services: Services, submission: Submission) -> None:
    at = submission.schedule_at
    if at is not None and at > services.clock.now() + LONGEST_SCHEDULE:
        message = "must be at most ten years ahead"
        raise InvalidError.at("scheduleAt", message, text=f"scheduleAt {message}")
