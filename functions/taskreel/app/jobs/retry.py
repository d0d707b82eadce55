"""Retry a failed job for its owner: the next round, with new attempts and a new hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import field

from taskreel.app.audit_entries import record_admin_act
from taskreel.app.caller import Caller
from taskreel.app.credits.balances import open_account, run_on_any_shard
from taskreel.app.flow.slots import Room, place_job, reserve_room
from taskreel.app.jobs.enqueue import admit_next, enqueue_jobs, enqueue_tasks
from taskreel.app.jobs.job_store import load_job, store_job
from taskreel.app.jobs.queries import find_job_to_change
from taskreel.app.messages.spend_alerts import (
    SpendAlerts,
    announce_spend_alerts,
    create_spend_alerts,
)
from taskreel.app.pricing.credit_cost import compute_credits
from taskreel.app.services import Services
from taskreel.domain.errors import (
    AMBIGUOUS,
    UNSURE,
    ConflictError,
    ForbiddenError,
    NotFoundError,
)
from taskreel.domain.grants import split_hold
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.domain.unit import UnitState
from taskreel.jobtypes import find_job_type
from taskreel.ports import Transaction
from taskreel.store_collections import ACCOUNTS

if TYPE_CHECKING:  # with shards alone: cold start
    from taskreel.app.credits.account_shards import JobNeeds, ShardChoice


async def retry_job(services: Services, caller: Caller, job_id: str, job_type: str) -> Job:
    """Open the next round of a failed job and return the job, queued again.

    Raises ConflictError unless it has failed, TooFewCreditsError, SpendCapError, NotFoundError, and
    ForbiddenError for work that may have been bought, unless an admin asks.
    """
    failed = await find_job_to_change(services, caller, job_id, job_type)
    require_unambiguous(failed, caller)
    known = await _find_facts(services, failed)
    async with reserve_room(services, failed) as room:
        job, alerts = await _open_on_any_shard(services, failed, room, caller, known)
    tasks = [task for one in alerts for task in announce_spend_alerts(services, job, one)]
    await enqueue_tasks(services, tasks)
    if job.status is Status.THROTTLED:
        await admit_next(services, job)
    else:
        await enqueue_jobs(services, job)
    return job


def require_unambiguous(job: Job, caller: Caller) -> None:
    """Refuse to repeat work that may have been bought without our knowing.

    An operator must first search for it at the provider. Raises ForbiddenError unless an admin
    asks.
    """
    if is_ambiguous(job) and not caller.admin:
        raise ForbiddenError(f"Only an admin may have this job's work done again. {UNSURE}")


def is_ambiguous(job: Job) -> bool:
    """True for a job whose work may have been bought without our knowing.

    A job that failed at its deadline while it was buying says nothing of it in its errors.
    """
    errors = [job.error, *(unit.error for unit in job.units)]
    if any(error is not None and error.code == AMBIGUOUS for error in errors):
        return True
    return job.status is Status.FAILED and job.maybe_bought


async def forecast_next_round(services: Services, job: Job) -> int:
    """The credits that `retry_job` would hold, finished steps whose jobs are gone included."""
    return price_next_round(job, await _find_facts(services, job))


class RoundFacts(Record, kw_only=True):
    """The facts of other documents that the price of another round follows from."""

    #: Finished steps whose jobs are gone: they are done again.
    lost_steps: Collection[str] = ()
    #: The exact prices of units by their place, where the lengths of their files are stored.
    prices: Mapping[int, int] = field(default_factory=dict)


async def _find_facts(services: Services, job: Job) -> RoundFacts:
    if job.steps:
        from taskreel.app.jobs.lost_steps import find_lost_steps  # of pipelines: cold start

        return RoundFacts(lost_steps=await find_lost_steps(services, job))
    if not job.units or job.status is not Status.FAILED:
        return RoundFacts()  # a pipeline, or one that cannot be retried
    job_type = find_job_type(job.job_type)
    units = job_type.units(job_type.submission.load_stored(job.payload))
    if all(unit.length_price is None for unit in units):
        return RoundFacts()
    from taskreel.app.jobs.input_length import read_known_prices  # of few jobs: cold start

    return RoundFacts(prices=await read_known_prices(services, job.user_id, units))


def price_next_round(job: Job, known: RoundFacts) -> int:
    """The credits that another round of a failed job holds: for what is still to be done.

    Finished steps and units were captured in an earlier round.
    """
    job_type = find_job_type(job.job_type)
    submission = job_type.submission.load_stored(job.payload)
    done = job.finished_steps.difference(known.lost_steps)
    places = {place for place, unit in enumerate(job.units) if unit.state is UnitState.DONE}
    exact = {place: price for place, price in known.prices.items() if place not in places}
    others = compute_credits(job_type, submission, without=[*done, *places, *exact])
    return others + sum(exact.values())


async def _open_on_any_shard(
    services: Services, failed: Job, room: Room, caller: Caller, known: RoundFacts
) -> tuple[Job, list[SpendAlerts]]:
    """Open the round; in another document of a sharded account where the job's cannot take it."""
    return await run_on_any_shard(
        services,
        failed,
        partial(_list_needs, services),
        lambda tx, choice: _open_next_round(
            services, tx, failed.job_id, room, caller, known, choice=choice
        ),
    )


def _list_needs(services: Services, cost: int) -> JobNeeds:
    from taskreel.app.credits.account_shards import JobNeeds  # of few accounts: cold start

    return JobNeeds(cost=cost, place=services.rules.limits is not None)


async def _open_next_round(  # noqa: PLR0913 - the lambda above gives them all
    services: Services,
    tx: Transaction,
    job_id: str,
    room: Room,
    caller: Caller,
    known: RoundFacts,
    *,
    choice: ShardChoice | None,
) -> tuple[Job, list[SpendAlerts]]:
    job = await load_job(tx, job_id)
    if job is None or job.is_being_removed:
        raise NotFoundError(f"There is no job {job_id}.")
    require_retryable(job)

    now = services.clock.now()
    needed = price_next_round(job, known)
    account = await open_account(services, tx, job.limit_owner, now)
    reopened, of_project = job.next_round(now, needed, now, by=caller.user_id), None
    if job.project_id is not None:
        from taskreel.app.projects.spend import hold_in_project  # of few requests: cold start

        reopened, of_project = await hold_in_project(services, tx, reopened, needed, now, caller)
    own_cost = reopened.own_held
    if account.shard_documents:
        from taskreel.app.credits.account_shards import open_shard  # of few accounts: cold start

        needs = _list_needs(services, own_cost)
        account, _ = await open_shard(tx, account, reopened, needs, choice)
        reopened = reopened.with_changes(now, account_shard=account.shard)
    if own_cost:
        reopened = reopened.with_changes(now, burned=split_hold(account, own_cost))
    after = account.hold(own_cost, now, reopened.burned)
    account, alerts = create_spend_alerts(tx, after, now)
    wake_at = reopened.next_wake_at(now + services.rules.rescue_after)
    reopened = reopened.with_changes(now, wake_at=wake_at)
    account, reopened = place_job(services, account, reopened, room, now)
    tx.set(ACCOUNTS, account.document_id, account)
    store_job(tx, reopened)
    record_admin_act(services, tx, caller, "job retried", subject=job_id, owner=job.user_id)
    return reopened, [alerts] if of_project is None else [alerts, of_project]


def _advise_instead(job: Job) -> str:
    if not job.status.final:
        return "It has not ended: wait for it, or cancel it."
    return f"POST /api/jobs/{job.job_type}/{job.job_id}/replay makes a new job of its request."


def require_retryable(job: Job) -> None:
    """Raise ConflictError, with what to do instead, for a job that cannot be retried."""
    if job.parent_id is not None:
        raise ConflictError(
            f"This job is a part of {job.parent_id}: retry that one.", parentId=job.parent_id
        )
    if job.status is not Status.FAILED:
        raise ConflictError(
            f"Only a failed job can be retried; this one is {job.status}. {_advise_instead(job)}",
            jobStatus=job.status,
        )
    was_blocked = Status.BLOCKED in job.status_at
    if was_blocked and not job.is_started and not job.units and job.payload.get("dependsOn"):
        raise ConflictError(
            "This job never began: a job that it depends on failed. "
            "Retry that one, then replay this."
        )
    if job.needs_clean_up:
        raise ConflictError(
            "An operation of this job is still being cancelled at its provider. "
            "Try again in a minute."
        )
