"""Counts of open and waiting jobs by room, which decide on room without a read for each job.

A room is that of a type, and where limits are set that of a provider's account or of a project.

The process that alone owns the store counts every change itself: exact. Where several processes
share a store, the counts are capped aggregations, refreshed after a second or two while a type is
crowded and less often while it is not; between them a process counts its own changes. So many
processes in total may exceed a window by what arrives in that time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from taskreel.domain.ids import is_shared_by_keys
from taskreel.domain.job import Job
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.job_status import Status
from taskreel.domain.record import Record
from taskreel.ports import Operator, Query, Store
from taskreel.store_collections import JOBS

if TYPE_CHECKING:
    from taskreel.domain.project_key import ProjectKey

#: Jobs of a type in these states take its room.
OPEN = (Status.QUEUED, Status.PROCESSING, Status.RETRYING)

_CROWDED_AGE = timedelta(seconds=2)
_ROOMY_AGE = timedelta(seconds=10)
#: More waiting jobs than that need no exact number.
MOST_COUNTED = 1_000
#: A count during which nothing changed is exact; the last of these tries is taken as it is.
_COUNT_TRIES = 4
#: Users in memory; an unknown user is looked up.
_MOST_USERS = 50_000

#: The stored field of the jobs that share a room, and its value: `("jobType", "video-generation")`.
RoomKey = tuple[str, str]
#: The field of each reason to wait for a room.
ROOM_FIELDS: Mapping[WaitsFor, str] = {
    WaitsFor.TYPE: "jobType",
    WaitsFor.PROVIDER: "providerSlot",
    WaitsFor.PROJECT: "projectSlot",
}


class _RoomCount(msgspec.Struct):
    open: int = 0
    waiting: int = 0
    #: Room that was promised to jobs that are not stored yet.
    reserved: int = 0
    counted_at: datetime | None = None
    #: Grows with each change, to tell if one came in between a count and its answer.
    changes: int = 0


class ProjectPlaces(Record):
    """The jobs at a time that a stored project allows, and when that was read."""

    places: int | None
    read_at: datetime


class KnownKeys(Record):
    """The API keys of a project, and when that was read. There may be no such project."""

    keys: tuple[ProjectKey, ...]
    exists: bool
    read_at: datetime


class JobCounts:
    """The counts of this process."""

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact
        self._rooms: defaultdict[RoomKey, _RoomCount] = defaultdict(_RoomCount)
        #: The jobs at a time that stored projects allow, as they were read last; None is no limit.
        self.places_of_project: dict[str, ProjectPlaces] = {}
        #: The API keys of stored projects, as they were read last.
        self.keys_of_project: dict[str, KnownKeys] = {}
        #: Jobs that wait for their owner's limit; only of users who were looked up.
        self._waiting_of_user: dict[str, int] = {}

    def note_change(self, before: Job | None, after: Job) -> None:
        """Count a committed change of a job."""
        moved = _is_open(after) - _is_open(before)
        self._count_room(("jobType", after.job_type), WaitsFor.TYPE, before, after, moved)
        if after.provider_slot is not None:
            key = ("providerSlot", after.provider_slot)
            self._count_room(key, WaitsFor.PROVIDER, before, after, moved)
        if after.project_slot is not None:
            key = ("projectSlot", after.project_slot)
            self._count_room(key, WaitsFor.PROJECT, before, after, moved)
        of_user = _waits_for(after, WaitsFor.USER) - _waits_for(before, WaitsFor.USER)
        if of_user and after.limit_owner in self._waiting_of_user:
            self._waiting_of_user[after.limit_owner] += of_user

    def _count_room(
        self, key: RoomKey, reason: WaitsFor, before: Job | None, after: Job, moved: int
    ) -> None:
        waits = _waits_for(after, reason) - _waits_for(before, reason)
        if moved or waits:
            count = self._rooms[key]
            count.open += moved
            count.waiting += waits
            count.changes += 1

    async def reserve(self, store: Store, key: RoomKey, window: int, now: datetime) -> bool:
        """Reserve room for one job, if there is some and no other waits for it."""
        count = await self._refresh(store, key, window, now)
        if count.waiting > 0 or count.open + count.reserved >= window:
            return False
        count.reserved += 1
        return True

    def release(self, key: RoomKey) -> None:
        """End a reservation: the job is stored and counted, or was not made."""
        self._rooms[key].reserved -= 1

    def take_for_waiting(self, key: RoomKey, window: int) -> bool:
        """Reserve room for a job that waits; no other job goes before it."""
        count = self._rooms[key]
        if count.open + count.reserved >= window:
            return False
        count.reserved += 1
        return True

    async def is_crowded(self, store: Store, key: RoomKey, window: int, now: datetime) -> bool:
        """True when at least half of the room is taken, or jobs wait for it."""
        count = await self._refresh(store, key, window, now)
        return count.waiting > 0 or 2 * (count.open + count.reserved + 1) > window

    async def may_wait(self, store: Store, key: RoomKey, window: int, now: datetime) -> bool:
        """True when jobs may wait for the room."""
        return (await self._refresh(store, key, window, now)).waiting > 0

    async def read_waiting(self, store: Store, key: RoomKey, window: int, now: datetime) -> int:
        """The number of jobs that wait for the room."""
        return (await self._refresh(store, key, window, now)).waiting

    async def user_may_wait(self, store: Store, user_id: str) -> bool:
        """True when jobs may wait for their owner's limit; unknown where others write too."""
        if not self.exact:
            return True
        known = self._waiting_of_user.get(user_id)
        if known is None:
            if len(self._waiting_of_user) >= _MOST_USERS:
                self._waiting_of_user.clear()
            self._waiting_of_user[user_id] = 0
            found = await _count(store, find_line(user_id), WaitsFor.USER)
            # Changes since are counted on the 0 above; a change that the count saw too is counted
            # twice, which asks the store once too often and no more.
            known = self._waiting_of_user[user_id] = self._waiting_of_user[user_id] + found
        return known > 0

    def forget(self, key: RoomKey, user_id: str) -> None:
        """Count afresh at the next question: the sweep found a job that should not wait."""
        self._rooms[key].counted_at = None
        self._waiting_of_user.pop(user_id, None)

    async def _refresh(self, store: Store, key: RoomKey, window: int, now: datetime) -> _RoomCount:
        count = self._rooms[key]
        if count.counted_at is not None:
            if self.exact:
                return count
            roomy = 2 * (count.open + count.reserved) <= window and count.waiting <= 0
            if timedelta(0) <= now - count.counted_at < (_ROOMY_AGE if roomy else _CROWDED_AGE):
                return count
        for _ in range(_COUNT_TRIES):
            changes = count.changes
            found = await _count_open(store, key, window)
            # While a room has many free places no job waits for it: no second count.
            waiting = 0
            if self.exact or 2 * found > window or count.waiting > 0:
                waiting = await _count(store, key, _REASONS[key[0]])
            if count.changes == changes:
                break
        count.open, count.waiting, count.counted_at = found, waiting, now
        return count


def find_line(account_id: str) -> tuple[str, str]:
    """The stored field, and its value, of what counts against an account's limits.

    It is that of a user, or of all the API keys of a project.
    """
    return "limitedAs" if is_shared_by_keys(account_id) else "userId", account_id


def _is_open(job: Job | None) -> int:
    return int(job is not None and job.status in OPEN)


def _waits_for(job: Job | None, reason: WaitsFor) -> int:
    return int(job is not None and job.waits_for is reason)


_REASONS = {field: reason for reason, field in ROOM_FIELDS.items()}


async def _count_open(store: Store, key: RoomKey, window: int) -> int:
    where: tuple[tuple[str, Operator, object], ...] = (
        (key[0], "==", key[1]),
        ("status", "in", [str(status) for status in OPEN]),
    )
    query = Query(
        collection=JOBS, where=where, order=(("createdAt", "desc"),), limit=window + MOST_COUNTED
    )
    return int((await store.aggregate(query))["count"])


async def _count(store: Store, of: tuple[str, str], reason: WaitsFor) -> int:
    name, value = of
    query = Query(
        collection=JOBS,
        where=((name, "==", value), ("waitsFor", "==", str(reason))),
        order=(("rank", "asc"),),
        limit=MOST_COUNTED,
    )
    return int((await store.aggregate(query))["count"])
