"""The recent jobs of a type, which estimates are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app import recent_jobs
from taskreel.app.indexes import LOCAL_INDEXES
from taskreel.app.recent_jobs import RecentJobs
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import undecoded_collection
from taskreel.store_collections import JOBS
from unit.domain.samples import NOW, SECOND, job

TYPE = "batch-generation"


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    made = SqliteStore(":memory:", LOCAL_INDEXES)
    yield made
    await made.close()


def completed(number: int, seconds: float | None) -> Job:
    """A job that ran so many seconds, or never."""
    created = NOW - timedelta(seconds=100 - number)
    at = {Status.QUEUED: created, Status.COMPLETED: NOW}
    if seconds is not None:
        at[Status.PROCESSING] = NOW - timedelta(seconds=seconds)
    fields = {"job_id": f"job_{number:03}", "created_at": created, "status_at": at}
    return job(Status.COMPLETED, wake_at=None, units=(), **fields)


async def put_jobs(store: SqliteStore, *jobs: Job) -> None:
    async def write(tx: Any) -> None:
        for one in jobs:
            tx.set(JOBS, one.job_id, one)

    await store.transaction(write)


async def test_times_of_recent_jobs_are_read_again_after_two_minutes(store: SqliteStore) -> None:
    recent = RecentJobs()
    assert (await recent.read(store, TYPE, NOW)).running == ()
    await put_jobs(store, completed(1, 4.0))
    # Nothing was known: the next question looks again.
    assert (await recent.read(store, TYPE, NOW)).running == (4.0,)
    await put_jobs(store, completed(2, 8.0))
    assert (await recent.read(store, TYPE, NOW + 60 * SECOND)).running == (4.0,)
    found = await recent.read(store, TYPE, NOW + 120 * SECOND)
    assert found.running == (4.0, 8.0)
    assert found.in_place == (99.0, 98.0)
    assert sum(found.arrivals.values()) == pytest.approx(2 / 219)


async def test_a_job_that_never_ran_and_an_unreadable_one_are_omitted(store: SqliteStore) -> None:
    await put_jobs(store, completed(1, None), completed(2, 3.0), completed(3, 5.0))
    raw = undecoded_collection(JOBS.name)

    async def damage(tx: Any) -> None:
        tx.update(raw, "job_003", {"units": "none"})

    await store.transaction(damage)
    assert (await RecentJobs().read(store, TYPE, NOW)).running == (3.0,)


async def test_the_oldest_are_forgotten_beyond_a_number(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent_jobs, "_MOST_JOBS", 2)
    await put_jobs(store, *(completed(number, float(number)) for number in (1, 2, 3)))
    assert (await RecentJobs().read(store, TYPE, NOW)).running == (2.0, 3.0)
