"""The steps of SQLite's machine for what the product asks do not grow with the stored jobs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.local.sqlite_queries import build_select
from taskreel.app.indexes import LOCAL_INDEXES
from taskreel.app.query_pages import END_OF_TIME, WAKE_SHARDS, build_due_query
from taskreel.domain.job import Job
from taskreel.domain.job_fields import JobCredits
from taskreel.domain.job_status import Status
from taskreel.ports import Collection, Condition, Direction, Index, Query, Transaction
from taskreel.store_collections import JOBS

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
FEW, MANY = 1500, 15_000
OPEN = 30
NEWEST_FIRST: tuple[tuple[str, Direction], ...] = (("createdAt", "desc"),)
TYPES = ("image-generation", "video-generation")
ENDS = (Status.COMPLETED, Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def build_job(number: int, status: Status) -> Job:
    at = NOON + timedelta(seconds=number)
    open_ = not status.final
    return Job(
        job_id=f"job_{number:08}",
        job_type=TYPES[number // 4 % 2],
        status=status,
        user_id="ada" if number // 8 % 2 else "bob",
        project_id="p" if number // 16 % 2 else None,
        payload={"prompt": "a kite"},
        created_at=at,
        updated_at=at,
        status_at={status: at},
        credits=JobCredits(captured=1),
        wake_at=at if open_ else None,
        wake_shard=number % 8,
        expire_at=None if open_ else at + timedelta(days=90),
    )


class Grown:
    """A store with some open jobs, and `ended` others."""

    def __init__(self, ended: int) -> None:
        self.ended = ended
        self.store = SqliteStore(":memory:", LOCAL_INDEXES)

    async def fill(self) -> None:
        jobs = [build_job(number, ENDS[number % 4]) for number in range(self.ended)]
        jobs += [build_job(self.ended + number, Status.QUEUED) for number in range(OPEN)]

        async def write(tx: Transaction) -> None:
            for job in jobs:
                tx.create(JOBS, job.job_id, job)

        await self.store.transaction(write)
        await self.store.durable()
        self.store._cache.clear()

    async def count_steps(self, ask: Callable[[Grown], Awaitable[Any]]) -> int:
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        connection = self.store.file.open()
        connection.set_progress_handler(count, 1)
        await ask(self)
        await self.store.durable()
        connection.set_progress_handler(None, 0)
        return steps


@pytest.fixture(scope="module")
def grown() -> tuple[Grown, Grown]:
    stores = Grown(FEW), Grown(MANY)
    for store in stores:
        asyncio.run(store.fill())
    return stores


def listing(*where: tuple[str, str]) -> Callable[[Grown], Awaitable[Any]]:
    query = Query(
        collection=JOBS,
        where=tuple((field, "==", value) for field, value in where),
        order=NEWEST_FIRST,
        limit=20,
    )

    async def ask(grown: Grown) -> None:
        rows = await grown.store.query(query)
        assert len(rows) == 20
        assert len(await grown.store.query(query.behind(rows[-1]))) in range(21)

    return ask


def counting(*where: tuple[str, str]) -> Callable[[Grown], Awaitable[Any]]:
    query = Query(
        collection=JOBS,
        where=tuple((field, "==", value) for field, value in where),
        order=NEWEST_FIRST,
        limit=100,
    )

    async def ask(grown: Grown) -> None:
        assert await grown.store.aggregate(query) == {"count": 100}

    return ask


async def read_status(grown: Grown) -> None:
    assert await grown.store.get(JOBS, f"job_{grown.ended // 2:08}") is not None


async def submit(grown: Grown) -> None:
    job = build_job(10**7, Status.QUEUED)

    async def write(tx: Transaction) -> None:
        tx.create(JOBS, job.job_id, job)

    await grown.store.transaction(write)
    await grown.store.durable()


async def claim_and_end(grown: Grown) -> None:
    job_id = f"job_{grown.ended + 3:08}"

    async def claim(tx: Transaction) -> None:
        job = await tx.get(JOBS, job_id)
        assert job is not None
        tx.set(JOBS, job_id, job.with_changes(job.updated_at, fence=job.fence + 1))

    await grown.store.transaction(claim)
    await grown.store.durable()


async def sweep_or_start(grown: Grown) -> None:
    far = NOON + timedelta(days=9)
    due = build_due_query(JOBS, far, page=500, shards=WAKE_SHARDS)
    assert len(await grown.store.query(due)) >= OPEN


async def start_with_waiting_jobs(grown: Grown) -> None:
    """Those that wait for room have no task to recover, and are passed over in the file."""
    statuses = [str(one) for one in Status if one not in {Status.THROTTLED, Status.QUEUED}]
    for shard in range(WAKE_SHARDS):
        query = Query(
            collection=JOBS,
            where=(
                ("wakeShard", "==", shard),
                ("wakeAt", "<=", END_OF_TIME),
                ("status", "in", statuses),
            ),
            order=(("wakeAt", "asc"),),
            limit=500,
        )
        assert await grown.store.query(query) == []


async def find_expired(grown: Grown) -> None:
    query = Query(
        collection=JOBS,
        where=(("jobType", "==", TYPES[0]), ("updatedAt", "<=", NOON + timedelta(days=1))),
        order=(("updatedAt", "asc"),),
        limit=100,
    )
    assert len(await grown.store.query(query)) == 100


ASKED: dict[str, Callable[[Grown], Awaitable[Any]]] = {
    "status": read_status,
    "list": listing(("userId", "ada")),
    "list by status": listing(("userId", "ada"), ("status", "FAILED")),
    "list by type": listing(("userId", "ada"), ("jobType", TYPES[1])),
    "list by project": listing(("projectId", "p")),
    "list of a type by status": listing(("jobType", TYPES[0]), ("status", "FAILED")),
    "count of a user": counting(("userId", "ada"), ("status", "COMPLETED")),
    "count of a type": counting(("jobType", TYPES[0]), ("status", "COMPLETED")),
    "sweep and start": sweep_or_start,
    "start with waiting jobs": start_with_waiting_jobs,
    "expiry": find_expired,
    "submit": submit,
    "claim": claim_and_end,
}


@pytest.mark.parametrize("name", ASKED)
async def test_a_call_takes_the_same_steps_with_ten_times_the_jobs(
    grown: tuple[Grown, Grown], name: str
) -> None:
    few, many = [await one.count_steps(ASKED[name]) for one in grown]
    assert few > 0
    assert many <= 1.1 * few + 20, f"{few} steps with {FEW} jobs, {many} with {MANY}"


async def test_a_call_that_grows_would_be_noticed(grown: tuple[Grown, Grown]) -> None:
    async def count_all(one: Grown) -> None:
        await one.store.aggregate(Query(collection=JOBS, where=(("userId", "==", "ada"),)))

    few, many = [await one.count_steps(count_all) for one in grown]
    assert many > 5 * few


@pytest.mark.parametrize(
    "index", LOCAL_INDEXES, ids=lambda index: f"{index.collection}: {', '.join(dict(index.fields))}"
)
async def test_each_index_serves_its_query_in_order(index: Index) -> None:
    """It is read where the query's rows begin, and none is sorted but those with equal fields."""
    store = SqliteStore(":memory:", LOCAL_INDEXES)
    *equal, (last, way) = index.fields
    bound: tuple[Condition, ...] = ((last, "<=", NOON),) if index.is_bounded else ()
    query = Query(
        collection=Collection(index.collection, dict, dict),
        where=(*((name, "==", "a") for name, _ in equal), *bound),
        order=((last, way),),
        limit=20,
    )
    sql, values = build_select(store.file.open_table(index.collection), query)
    plan = [row[3] for row in store.file.fetch_all(f"EXPLAIN QUERY PLAN {sql}", values)]
    name = "_".join([index.collection, *(f"{field}_{to}" for field, to in index.fields)])
    assert f"USING INDEX {name}" in plan[0], plan
    # Releases of SQLite call it the right part, or the last term.
    assert all(re.search("FOR (RIGHT PART|LAST TERM) OF ORDER BY", step) for step in plan[1:]), plan
    await store.close()
