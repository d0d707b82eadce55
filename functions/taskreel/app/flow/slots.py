"""Decide if a job that is ready to run gets a slot of its owner, and room to run.

Room is a place on its type's queue, and where limits are set one of its provider's account and one
of its project.

The account is read and written by the transaction that stores the job, so a limit is exact. Child
jobs take no slot: their pipeline has one. Pipelines need no room of their type: they wait for
their own children, which may be pipelines too, and would never get it from each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime, timedelta

from taskreel.app.job_counts import RoomKey
from taskreel.app.services import Services
from taskreel.domain.credits import Account
from taskreel.domain.errors import Category
from taskreel.domain.flow_limits import FlowLimits
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.job_status import Status
from taskreel.domain.rank import compute_rank, next_pass
from taskreel.domain.record import Record
from taskreel.domain.unit import UnitRun
from taskreel.jobtypes import JOB_TYPES

#: The codes of a waiting job's `error`.
USER_LIMIT = "user_limit"
TYPE_LIMIT = "type_limit"
PROVIDER_LIMIT = "provider_limit"
PROJECT_LIMIT = "project_limit"
_CODES = {
    WaitsFor.TYPE: TYPE_LIMIT,
    WaitsFor.PROVIDER: PROVIDER_LIMIT,
    WaitsFor.PROJECT: PROJECT_LIMIT,
}


class Room(Record):
    """The room that there was for a job; `full` names what had none.

    It is `crowded` if the order of jobs matters.
    """

    full: WaitsFor | None
    crowded: bool

    @property
    def free(self) -> bool:
        """True if the job may go on its queue."""
        return self.full is None


#: Of a type without a window, and where no limits are set.
FREE_ROOM = Room(full=None, crowded=False)


def has_window(job_type: str) -> bool:
    """True for a type whose queue takes a limited number of jobs at a time."""
    known = JOB_TYPES.get(job_type)
    return known is not None and known.pipeline is None


class RoomLimit(Record):
    """A room that a job needs: the jobs that share it, and how many of them it takes."""

    reason: WaitsFor
    key: RoomKey
    places: int


async def list_rooms(services: Services, limits: FlowLimits, job: Job) -> list[RoomLimit]:
    """The rooms that a job needs, that of its type first.

    A read, at most once in some seconds, where a stored project limits its jobs.
    """
    rooms = []
    if has_window(job.job_type):
        key = ("jobType", job.job_type)
        rooms.append(RoomLimit(WaitsFor.TYPE, key, limits.window(job.job_type)))
    # A limit that has been removed since holds no job any more.
    provider = job.provider_slot
    if provider is not None and provider in limits.providers:
        key = ("providerSlot", provider)
        rooms.append(RoomLimit(WaitsFor.PROVIDER, key, limits.providers[provider]))
    project = job.project_slot
    if project is not None:
        places = limits.projects.get(project)
        if places is None:
            from taskreel.app.flow.project_limits import read_places  # of few jobs: cold start

            places = await read_places(services, project)
        if places is not None:
            rooms.append(RoomLimit(WaitsFor.PROJECT, ("projectSlot", project), places))
    return rooms


def find_provider_slot(services: Services, units: Sequence[UnitRun]) -> str | None:
    """The provider's limit that a job with these units counts against: the first that is set.

    It is that of the provider which was planned; one that an outage moves elsewhere counts on.
    """
    limits = services.rules.limits
    if limits is None or not limits.providers:
        return None
    slots = (limits.find_provider_slot(unit.provider, unit.model) for unit in units)
    return next((slot for slot in slots if slot is not None), None)


def reserve_room(services: Services, job: Job) -> AbstractAsyncContextManager[Room]:
    """Reserve all the room that a job needs while it is being stored, or none."""
    limits = services.rules.limits
    return nullcontext(FREE_ROOM) if limits is None else _reserve_rooms(services, limits, job)


@asynccontextmanager
async def _reserve_rooms(services: Services, limits: FlowLimits, job: Job) -> AsyncIterator[Room]:
    counts, now, crowded = services.counts, services.clock.now(), False
    reserved: list[RoomKey] = []
    try:
        for room in await list_rooms(services, limits, job):
            if not await counts.reserve(services.store, room.key, room.places, now):
                yield Room(full=room.reason, crowded=True)
                return
            reserved.append(room.key)
            crowded |= await counts.is_crowded(services.store, room.key, room.places, now)
        yield Room(full=None, crowded=crowded)
    finally:
        for key in reserved:
            counts.release(key)


def active_limit(limits: FlowLimits, account: Account) -> int:
    """The jobs of the account that may run at a time."""
    own = account.max_active  # of a shard it may be 0
    return limits.tier(account.tier).active_jobs if own is None else own


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
        shown = None if account.shard_documents else limit
        return waits, _wait_for_user(services, limits, job, shown, account.waiting)
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
        step = limits.fair_share
        if account.shards:
            # Each of n clocks goes n times as fast: in total they are one.
            step *= account.shards
        place = next_pass(account.passes.get(job.job_type), now, account.active, step)
        rank = compute_rank(place, limits.head_start(job.priority))
        ahead = {name: at for name, at in account.passes.items() if at > now}
        changes["passes"] = {**ahead, job.job_type: place + step}
    job = job.with_changes(job.updated_at, slot_of=account.document_id, rank=rank)
    if room.full is not None:
        job = wait_for_room(services, job, room.full, now)
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
        full = room.full
        placed.append(ranked if full is None else wait_for_room(services, ranked, full, now))
    return placed


def count_leaving(job: Job) -> dict[str, int]:
    """The increments of the account when the job ends, as it was before."""
    found = {}
    if job.slot_of is not None:
        found["active"] = -1
    if job.waits_for is WaitsFor.USER:
        found["waiting"] = -1
    return found


def _wait_for_user(
    services: Services, limits: FlowLimits, job: Job, limit: int | None, ahead: int
) -> Job:
    """The job, waiting for its owner's limit; None where a shard knows only its part of it."""
    now = services.clock.now()
    jobs = "1 job" if limit == 1 else f"{limit} jobs"
    if limit is None:
        taken = "You have as many jobs under way as your plan runs at a time."
    elif job.limited_as is None:
        taken = f"You have {jobs} under way, as many as your plan runs at a time."
    else:
        taken = (
            f"The API keys of project {job.project_id} have {jobs} under way, as many as their "
            "plan runs at a time for all of them."
        )
    message = f"{taken} This one starts when one of them ends."
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
    return _wake_after(services, waiting, now, 1 + ahead / (limit or 1))


def wait_for_room(services: Services, job: Job, full: WaitsFor, now: datetime) -> Job:
    """The job, waiting for a room that is full; it has a rank."""
    match full:
        case WaitsFor.PROVIDER:
            taken = f"All places that the account at {job.provider_slot} allows are taken."
        case WaitsFor.PROJECT:
            taken = f"Project {job.project_slot} has as many jobs under way as its limit allows."
        case _:
            taken = f"All places for {job.job_type} jobs are taken."
    message = (
        f"{taken} This one starts when it is its turn: "
        f"GET /api/queue/{job.job_id}/position tells how many are ahead."
    )
    error = JobError(code=_CODES[full], category=Category.RATE_LIMITED, message=message)
    if job.status is Status.THROTTLED:
        waiting = job.with_changes(now, waits_for=full, error=error)
    else:
        waiting = job.enter_status(
            Status.THROTTLED, now, waits_for=full, next_attempt_at=None, error=error
        )
    return _wake_after(services, waiting, now, 1 + services.random.random())


def move_to_room(services: Services, job: Job, full: WaitsFor) -> Job:
    """A waiting job, waiting from now on for another room, at the place of its rank."""
    return wait_for_room(services, job, full, services.clock.now())


def _wake_after(services: Services, job: Job, now: datetime, times: float) -> Job:
    wait: timedelta = services.rules.rescue_after * times
    return job.with_changes(job.updated_at, wake_at=job.next_wake_at(now + wait))
