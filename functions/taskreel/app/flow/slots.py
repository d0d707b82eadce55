"""Decide if a job that is ready to run gets a slot of its owner and room on its type's queue.

The account is read and written by the transaction that stores the job, so a limit is exact. Child
jobs take no slot: their pipeline has one. Pipelines need no room of their type: they wait for
their own children, which may be pipelines too, and would never get it from each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.errors import Category
from taskreel.domain.flow_limits import FlowLimits
from taskreel.domain.job import Job, WaitsFor
from taskreel.domain.job_error import JobError
from taskreel.domain.job_status import Status
from taskreel.domain.rank import compute_rank, next_pass
from taskreel.jobtypes import JOB_TYPES

#: The codes of a waiting job's `error`.
USER_LIMIT = "user_limit"
TYPE_LIMIT = "type_limit"


@dataclass(frozen=True, slots=True)
class Room:
    """The room that a type had for a job: some, or none; `crowded` if the order matters."""

    free: bool
    crowded: bool


#: Of a type without a window, and where no limits are set.
FREE_ROOM = Room(free=True, crowded=False)


def has_window(job_type: str) -> bool:
    """True for a type whose queue takes a limited number of jobs at a time."""
    known = JOB_TYPES.get(job_type)
    return known is not None and known.pipeline is None


@asynccontextmanager
async def reserve_room(services: Services, job_type: str) -> AsyncIterator[Room]:
    """Reserve room on a type's queue while its job is being stored."""
    limits = services.rules.limits
    if limits is None or not has_window(job_type):
        yield FREE_ROOM
        return
    counts, window, now = services.counts, limits.window(job_type), services.clock.now()
    if not await counts.reserve(services.store, job_type, window, now):
        yield Room(free=False, crowded=True)
        return
    try:
        yield Room(True, await counts.is_crowded(services.store, job_type, window, now))
    finally:
        counts.release(job_type)


def active_limit(limits: FlowLimits, account: Account) -> int:
    """The jobs of the account that may run at a time."""
    return account.max_active or limits.tier(account.tier).active_jobs


def place_job(
    services: Services, account: Account, job: Job, room: Room, now: datetime
) -> tuple[Account, Job]:
    """Give a job that is ready to run a slot and room, or let it wait; both as to be stored.

    A job that is not ready, or has its slot, stays as it is.
    """
    limits = services.rules.limits
    is_ready = job.status in {Status.QUEUED, Status.SCHEDULED} and job.slot_of is None
    if limits is None or not is_ready or job.parent_id is not None:
        return account, job
    limit = active_limit(limits, account)
    # Jobs that wait go first, also in the moment in which a slot is free.
    if account.active >= limit or account.waiting > 0:
        waits = account.model_copy(update={"waiting": account.waiting + 1})
        return waits, _wait_for_user(services, limits, job, limit, account.waiting)
    return grant_slot(services, account, job, room, now)


def grant_slot(
    services: Services, account: Account, job: Job, room: Room, now: datetime
) -> tuple[Account, Job]:
    """Give the job a slot of its owner's; it goes on its queue, or waits for room there."""
    limits = services.rules.limits
    if limits is None:
        return account, job
    changes: dict[str, object] = {"active": account.active + 1}
    rank = None
    if room.crowded:
        place = next_pass(account.passes.get(job.job_type), now, account.active, limits.fair_share)
        rank = compute_rank(place, limits.head_start(job.priority))
        ahead = {name: at for name, at in account.passes.items() if at > now}
        changes["passes"] = {**ahead, job.job_type: place + limits.fair_share}
    job = job.with_changes(job.updated_at, slot_of=job.user_id, rank=rank)
    if not room.free:
        job = wait_for_type(services, job, now)
    return account.model_copy(update=changes), job


def place_child_jobs(services: Services, jobs: Iterable[Job], rooms: Iterable[Room]) -> list[Job]:
    """The child jobs of a pipeline, each on its queue or waiting for room there.

    Each stands a step behind the one before, as jobs do that their owner submits one by one.
    """
    limits = services.rules.limits
    if limits is None:
        return list(jobs)
    now = services.clock.now()
    placed = []
    for index, (job, room) in enumerate(zip(jobs, rooms, strict=True)):
        ranked = job
        if room.crowded:
            rank = compute_rank(now + index * limits.fair_share, limits.head_start(job.priority))
            ranked = job.with_changes(job.updated_at, rank=rank)
        placed.append(ranked if room.free else wait_for_type(services, ranked, now))
    return placed


def count_leaving(job: Job) -> dict[str, int]:
    """The increments of the account when the job ends, as it was before."""
    found = {}
    if job.slot_of is not None:
        found["active"] = -1
    if job.waits_for is WaitsFor.USER:
        found["waiting"] = -1
    return found


def _wait_for_user(services: Services, limits: FlowLimits, job: Job, limit: int, ahead: int) -> Job:
    now = services.clock.now()
    jobs = "1 job" if limit == 1 else f"{limit} jobs"
    message = (
        f"You have {jobs} under way, as many as your plan runs at a time. "
        "This one starts when one of them ends."
    )
    waiting = job.enter_status(
        Status.THROTTLED,
        now,
        waits_for=WaitsFor.USER,
        rank=compute_rank(now, limits.head_start(job.priority)),
        next_attempt_at=None,
        error=JobError(code=USER_LIMIT, category=Category.RATE_LIMITED, message=message),
    )
    # Should an admission be lost, the sweep makes up for it. The times are spread, so that it
    # meets a few of many waiting jobs and not all of them.
    return _wake_after(services, waiting, now, 1 + ahead / limit)


def wait_for_type(services: Services, job: Job, now: datetime) -> Job:
    """The job, waiting for room on its type's queue; it has a rank."""
    message = (
        f"All places for {job.job_type} jobs are taken. This one starts when it is its turn: "
        f"GET /api/queue/{job.job_id}/position tells how many are ahead."
    )
    waiting = job.enter_status(
        Status.THROTTLED,
        now,
        waits_for=WaitsFor.TYPE,
        next_attempt_at=None,
        error=JobError(code=TYPE_LIMIT, category=Category.RATE_LIMITED, message=message),
    )
    return _wake_after(services, waiting, now, 1 + services.random.random())


def _wake_after(services: Services, job: Job, now: datetime, times: float) -> Job:
    wait: timedelta = services.rules.rescue_after * times
    return job.with_changes(job.updated_at, wake_at=job.next_wake_at(now + wait))
