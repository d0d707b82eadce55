"""Admit waiting jobs: to a slot of their owner's, and to the room that they need.

A job that finds both at its submission does not wait: `slots.place_job`.

The end of a job frees its slot in its own commit; what follows here is safe to repeat and to
lose. Two ends at once find the same waiting job; the transaction of one admits it, and the other
tries the next. Should a process die in between, the sweep admits.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from enum import Enum, auto
from functools import partial

from msgspec.structs import replace

from taskreel.app.flow.slots import (
    Room,
    RoomLimit,
    active_limit,
    grant_slot,
    list_rooms,
    move_to_room,
    reserve_room,
)
from taskreel.app.job_counts import ROOM_FIELDS, RoomKey, find_line
from taskreel.app.messages.job_events import create_status_event
from taskreel.app.services import Services
from taskreel.domain.errors import StoreError, UnreadableDocumentError
from taskreel.domain.job import Job
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.ports import Query, Transaction
from taskreel.store_collections import ACCOUNTS, JOBS

log = logging.getLogger(__name__)

_PAGE = 20
#: The places of a room whose limit has been removed.
UNLIMITED = 1_000_000_000


async def admit_after_end(services: Services, job: Job) -> list[Job]:
    """Admit the jobs for which the end of `job` made room; the caller enqueues them.

    Never fails: the end has been stored, and the sweep admits what was missed.
    """
    limits = services.rules.limits
    if limits is None:
        return []
    store, counts = services.store, services.counts
    admitted: list[Job] = []
    try:
        if job.parent_id is None and await counts.user_may_wait(store, job.limit_owner):
            admitted += await admit_jobs_of_user(services, job.limit_owner)
        # Where several processes share a store, a job that met much room asks nothing: while jobs
        # wait, at least half of those in the window have a rank, and their ends admit.
        now = services.clock.now()
        may_ask = counts.exact or job.rank is not None
        for room in await list_rooms(services, limits, job) if may_ask else ():
            if await counts.may_wait(store, room.key, room.places, now):
                admitted += await admit_jobs_to_room(services, room)
    except StoreError as error:
        log.warning(
            "waiting jobs were not admitted; the sweep will admit them",
            extra={"action": "admission_failed", "job_id": job.job_id, "error": error.message},
        )
    return admitted


class _Outcome(Enum):
    ADMITTED = auto()
    #: The job has another state by now.
    CHANGED = auto()
    #: The owner has no free slot.
    FULL = auto()


class _Admission(Record):
    outcome: _Outcome
    job: Job | None = None
    #: The owner has another free slot, and another job that waits for it.
    more: bool = False
    #: The document of a sharded account that has no free slot; another may have one.
    full_shard: int | None = None


async def admit_jobs_of_user(services: Services, user_id: str) -> list[Job]:
    """Give the user's free slots to their waiting jobs; return those that go on a queue.

    `user_id` may be the account that the keys of a project share.
    """
    admitted: list[Job] = []
    async for waiting in _list_waiting(services, *find_line(user_id), WaitsFor.USER):
        async with reserve_room(services, waiting) as room:
            admit = partial(_admit_to_slot, services, job_id=waiting.job_id, room=room)
            found = await services.store.transaction(admit)
            while found.full_shard is not None:
                from taskreel.app.credits.account_shards import move_place_to  # cold start

                if not await move_place_to(services, user_id, found.full_shard):
                    break
                # Should another job take that place first, there may be a further one.
                found = await services.store.transaction(admit)
        if found.job is not None and found.job.status is Status.QUEUED:
            admitted.append(found.job)
        if found.outcome is _Outcome.FULL or (
            found.outcome is _Outcome.ADMITTED and not found.more
        ):
            break
    return admitted


async def admit_jobs_to_room(
    services: Services, room: RoomLimit, *, most: int | None = None
) -> list[Job]:
    """Fill a room with the jobs that wait for it, the lowest rank first; return them.

    With `most`, at most so many; the sweep, or the ends of these, admit the others.

    One that needs another room too, in which no place is free, goes on waiting for that one, at the
    place of its rank.
    """
    admitted: list[Job] = []
    counts = services.counts
    waiting = _list_waiting(services, *room.key, room.reason)
    while most is None or len(admitted) < most:
        if not counts.take_for_waiting(room.key, room.places):
            break
        taken = [room.key]
        try:
            found = await anext(waiting, None)
            if found is None:
                break
            full = await _take_other_rooms(services, found, room, taken)
            job = await services.store.transaction(
                partial(_admit_to_queue, services, job_id=found.job_id, room=room, full=full)
            )
        finally:
            for key in taken:
                counts.release(key)
        if job is not None and job.status is Status.QUEUED:
            admitted.append(job)
    return admitted


async def _take_other_rooms(
    services: Services, job: Job, room: RoomLimit, taken: list[RoomKey]
) -> WaitsFor | None:
    """Reserve the other rooms that the job needs; returns the first without a free place."""
    limits, now = services.rules.limits, services.clock.now()
    for other in await list_rooms(services, limits, job) if limits is not None else ():
        if other.key == room.key:
            continue
        # Counted first: a fresh process knows nothing of it.
        await services.counts.may_wait(services.store, other.key, other.places, now)
        if not services.counts.take_for_waiting(other.key, other.places):
            return other.reason
        taken.append(other.key)
    return None


async def _admit_to_slot(
    services: Services, tx: Transaction, /, job_id: str, room: Room
) -> _Admission:
    job = await tx.get(JOBS, job_id)
    limits, now = services.rules.limits, services.clock.now()
    if limits is None or job is None or job.waits_for is not WaitsFor.USER:
        return _Admission(_Outcome.CHANGED)
    account = await tx.get(ACCOUNTS, job.own_account_id)
    if account is None:
        return _Admission(_Outcome.FULL)
    limit = active_limit(limits, account)
    if account.active >= limit:
        full_shard = account.shard if account.shard_documents else None
        return _Admission(_Outcome.FULL, full_shard=full_shard)
    account = account.model_copy(update={"waiting": account.waiting - 1})
    account, job = grant_slot(services, account, put_on_queue(services, job), room, now)
    tx.set(ACCOUNTS, account.document_id, account)
    if job.webhooks:
        job = create_status_event(tx, job)
    tx.set(JOBS, job.job_id, job)
    more = account.active < limit and account.waiting > 0
    return _Admission(_Outcome.ADMITTED, job, more or account.shard_documents > 0)


async def _admit_to_queue(
    services: Services, tx: Transaction, /, job_id: str, room: RoomLimit, full: WaitsFor | None
) -> Job | None:
    """Put the job on its queue, or let it wait for the room that is `full`; None if it changed."""
    job = await tx.get(JOBS, job_id)
    if job is None or job.waits_for is not room.reason:
        return None
    if full is not None:
        moved = move_to_room(services, job, full)
        tx.set(JOBS, job_id, moved)
        return moved
    admitted = put_on_queue(services, job)
    if admitted.webhooks:
        admitted = create_status_event(tx, admitted)
    tx.set(JOBS, job_id, admitted)
    return admitted


def put_on_queue(services: Services, job: Job) -> Job:
    """A waiting job as it goes on its queue, with a new task."""
    now = services.clock.now()
    return job.enter_status(
        Status.QUEUED,
        now,
        error=None,
        # A task of it may have come while it waited, and been ignored.
        delivery=job.delivery + 1,
        wake_at=job.next_wake_at(now + services.rules.rescue_after),
    )


async def _list_waiting(
    services: Services, field: str, value: str, reason: WaitsFor
) -> AsyncIterator[Job]:
    """Yield the waiting jobs of a user or a type by rank, one at first and then by pages.

    A document that cannot be read is passed over, and stops no other job; the sweep reports it.
    """
    query = Query(
        collection=JOBS,
        where=((field, "==", value), ("waitsFor", "==", str(reason))),
        order=(("rank", "asc"),),
        limit=1,
    )
    while True:
        rows = await services.store.query(query)
        for row in rows:
            try:
                yield row.value
            except UnreadableDocumentError:
                continue
        if len(rows) < (query.limit or 0):
            return
        query = replace(query.behind(rows[-1]), limit=_PAGE)


async def recover_waiting(services: Services, job: Job) -> list[Job]:
    """Admit the jobs that wait because an admission was lost; the caller enqueues it.

    The numbers that decide are counted first: a leaked slot would block its owner.
    """
    limits, counts = services.rules.limits, services.counts
    if limits is None:
        return []
    if job.waits_for is WaitsFor.USER:
        from taskreel.app.flow.account_counts import recount_account  # the sweep's: cold start

        counts.forget(("jobType", job.job_type), job.limit_owner)
        await recount_account(services, job.limit_owner)
        return await admit_jobs_of_user(services, job.limit_owner)
    now = services.clock.now()
    needed = await list_rooms(services, limits, job)
    for room in needed:
        counts.forget(room.key, job.limit_owner)
        await counts.may_wait(services.store, room.key, room.places, now)
    rooms = [room for room in needed if room.reason is job.waits_for]
    if not rooms and job.waits_for is not None:
        # The limit that it waits for has been removed, for all that wait for it.
        slots = {WaitsFor.PROVIDER: job.provider_slot, WaitsFor.PROJECT: job.project_slot}
        key = (ROOM_FIELDS[job.waits_for], slots.get(job.waits_for) or job.job_type)
        rooms = [RoomLimit(job.waits_for, key, UNLIMITED)]
    return await admit_jobs_to_room(services, rooms[0]) if rooms else []
