"""The counts of jobs by room: exact where one process owns the store, else refreshed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from taskreel.app import job_counts
from taskreel.app.job_counts import JobCounts
from taskreel.domain.job_fields import WaitsFor
from taskreel.domain.job_status import Status
from unit.domain.samples import NOW, SECOND, job

ROOM = ("jobType", "batch-generation")
WINDOW = 10


class CountedStore:
    """A store that answers aggregations with what it is told, and counts them."""

    def __init__(self, open_jobs: int = 0, waiting: int = 0) -> None:
        self.open_jobs = open_jobs
        self.waiting = waiting
        self.queries = 0
        self.during: Callable[[], None] = lambda: None

    async def aggregate(self, query: Any, /, **_: Any) -> dict[str, int]:
        self.queries += 1
        self.during()
        is_waiting = any(name == "waitsFor" for name, *_ in query.where)
        return {"count": self.waiting if is_waiting else self.open_jobs}


async def reserve(counts: JobCounts, store: Any, seconds: float = 0.0) -> bool:
    return await counts.reserve(store, ROOM, WINDOW, NOW + timedelta(seconds=seconds))


async def test_the_owner_of_the_store_counts_once_and_then_every_change_itself() -> None:
    store, counts = CountedStore(open_jobs=WINDOW - 1), JobCounts(exact=True)
    assert await reserve(counts, store)
    assert not await reserve(counts, store)
    counts.release(ROOM)
    assert await reserve(counts, store, seconds=3600)
    counts.note_change(job(Status.QUEUED), job(Status.COMPLETED))
    assert await reserve(counts, store, seconds=7200)
    assert store.queries == 2


async def test_a_shared_store_is_counted_again_sooner_while_the_room_is_crowded() -> None:
    store, counts = CountedStore(open_jobs=WINDOW), JobCounts(exact=False)
    assert not await reserve(counts, store)
    store.open_jobs = 0
    assert not await reserve(counts, store, seconds=1)
    assert await reserve(counts, store, seconds=3)
    # Now there is much room: other processes' jobs are seen ten seconds later.
    store.open_jobs = WINDOW
    assert await reserve(counts, store, seconds=12)
    assert not await reserve(counts, store, seconds=14)


async def test_while_a_room_has_much_room_waiting_jobs_are_not_counted() -> None:
    store, counts = CountedStore(open_jobs=1), JobCounts(exact=False)
    assert await reserve(counts, store)
    assert store.queries == 1
    assert not await counts.may_wait(store, ROOM, WINDOW, NOW)  # type: ignore[arg-type]


async def test_a_count_during_which_a_job_changed_is_repeated() -> None:
    store, counts = CountedStore(), JobCounts(exact=True)

    def submit_once() -> None:
        store.during = lambda: None
        store.open_jobs = WINDOW
        counts.note_change(None, job())

    store.during = submit_once
    assert not await reserve(counts, store)
    assert store.queries == 4


async def test_after_some_tries_a_count_is_taken_as_it_is() -> None:
    store, counts = CountedStore(), JobCounts(exact=True)
    store.during = lambda: counts.note_change(None, job())
    assert await reserve(counts, store)
    assert store.queries == 2 * 4


async def test_a_job_that_waits_goes_before_one_that_arrives() -> None:
    store, counts = CountedStore(open_jobs=1, waiting=1), JobCounts(exact=True)
    assert not await reserve(counts, store)
    assert await counts.read_waiting(store, ROOM, WINDOW, NOW) == 1  # type: ignore[arg-type]
    assert counts.take_for_waiting(ROOM, WINDOW)
    assert not counts.take_for_waiting(ROOM, 2)


async def test_the_waiting_jobs_of_a_user_are_read_once_by_the_owner_of_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store: Any = CountedStore()
    assert await JobCounts(exact=False).user_may_wait(store, "ada")
    assert store.queries == 0
    counts = JobCounts(exact=True)
    assert not await counts.user_may_wait(store, "ada")
    waits = job(Status.THROTTLED, waits_for=WaitsFor.USER, rank=NOW)
    counts.note_change(job(), waits)
    assert await counts.user_may_wait(store, "ada")
    counts.note_change(waits, job(Status.QUEUED, updated_at=NOW + SECOND))
    assert not await counts.user_may_wait(store, "ada")
    assert store.queries == 1
    # The sweep found one that should not wait: the next question counts afresh.
    store.waiting = 1
    counts.forget(ROOM, "ada")
    assert await counts.user_may_wait(store, "ada")
    # Memory is bounded: beyond the most users all are forgotten.
    monkeypatch.setattr(job_counts, "_MOST_USERS", 1)
    store.waiting = 0
    assert not await counts.user_may_wait(store, "bob")
    assert not await counts.user_may_wait(store, "ada")
