"""The operations of a job in the cloud: store reads and writes and task operations, counted."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import pytest

from functions.fake_providers import CLIP, running_with_fakes
from functions.job_requests import NOOP, VIDEO, read_job, submit_job
from functions.test_project_limits import make_limited_project
from providers.fake_provider import build_png as picture
from simulation.world import LIMITS, World, running
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState
from taskreel.ports import Changes, Collection, Query, Row, Store, Transaction
from taskreel.store_collections import JOBS

T = TypeVar("T")
V = TypeVar("V")


@dataclass
class Counting:
    """A store that counts as Firestore bills: a read or a write for each document."""

    store: Store
    reads: int = 0
    writes: int = 0

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        self.reads += 1
        return await self.store.get(collection, id_)

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        self.reads += len(ids)
        return await self.store.get_all(collection, ids)

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        return await self.store.transaction(
            lambda tx: fn(cast(Transaction, CountingTransaction(self, tx)))
        )

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        rows = await self.store.query(query)
        self.reads += len(rows)
        return rows

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        self.reads += 1
        return await self.store.aggregate(query, total=total)

    def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        self.reads += 1
        return self.store.watch(collection, id_)

    async def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        async for changes in self.store.watch_changes(collection, field, value, since=since):
            self.reads += len(changes.documents)
            yield changes

    async def durable(self) -> None:
        await self.store.durable()

    async def close(self) -> None:
        await self.store.close()

    def taken(self) -> tuple[int, int]:
        """Return the reads and writes since the last call."""
        counted = (self.reads, self.writes)
        self.reads = self.writes = 0
        return counted


@dataclass
class CountingTransaction:
    counts: Counting
    tx: Transaction

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        self.counts.reads += 1
        return await self.tx.get(collection, id_)

    def create(
        self, collection: Collection[V], id_: str, data: V, /, *, is_new: bool = False
    ) -> None:
        self.counts.writes += 1
        self.tx.create(collection, id_, data, is_new=is_new)

    def set(self, collection: Collection[V], id_: str, data: V, /) -> None:
        self.counts.writes += 1
        self.tx.set(collection, id_, data)

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        self.counts.writes += 1
        self.tx.update(collection, id_, changes)

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        self.counts.writes += 1
        self.tx.delete(collection, id_)


@pytest.fixture
async def counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[World, Counting]]:
    """A world whose user has had a job before."""
    async with running(
        tmp_path, monkeypatch, wrap=lambda store: cast(Store, Counting(store))
    ) as world:
        await submit_job(world.as_user("ada"))
        await world.settle()
        counts = cast(Counting, world.services.store)
        counts.taken()
        world.delivered.clear()
        yield world, counts


async def test_a_plain_job_takes_at_most_four_reads_six_writes_and_two_task_operations(
    counted: tuple[World, Counting],
) -> None:
    world, counts = counted
    job = await submit_job(world.as_user("ada"))
    created = len(world.queued_tasks())
    await world.settle()
    reads, writes = counts.taken()
    assert reads <= 4
    assert writes <= 6
    assert (created, world.delivered) == (1, [(job["jobId"], 200)])
    assert (await read_job(world.as_user("ada"), job))["status"] == "COMPLETED"


async def test_an_attempt_more_takes_two_reads_and_two_writes_more(
    counted: tuple[World, Counting],
) -> None:
    world, counts = counted
    await submit_job(
        world.as_user("ada"), {**NOOP, "options": {"studio": {"mode": "rate-limit", "seconds": 5}}}
    )
    await world.settle()
    before = counts.taken()
    await world.advance(10)
    reads, writes = counts.taken()
    assert (before[0] + reads, before[1] + writes) <= (6, 8)


async def test_a_job_of_a_project_with_limits_takes_one_read_and_one_write_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limit is read again once in ten seconds, however many jobs there are."""
    async with running(
        tmp_path,
        monkeypatch,
        limits=LIMITS,
        wrap=lambda store: cast(Store, Counting(store)),
    ) as world:
        ada, counts = world.as_user("ada", tier="enterprise"), cast(Counting, world.services.store)
        project = await make_limited_project(ada, activeJobs=5, credits=50)
        taken = {}
        for body in (NOOP, {**NOOP, "projectId": project}):
            await submit_job(ada, body)
            await world.settle()
            counts.taken()
            await submit_job(ada, body)
            await world.settle()
            taken["projectId" in body] = counts.taken()
        plain, limited = taken[False], taken[True]
        assert (limited[0] - plain[0], limited[1] - plain[1]) == (1, 1)


@pytest.mark.parametrize("suffix", ["", "/progress", "/result"])
async def test_a_status_read_is_one_read(counted: tuple[World, Counting], suffix: str) -> None:
    world, counts = counted
    (job,) = (await world.as_user("ada").get("/api/jobs")).json()["jobs"]
    counts.taken()
    await world.as_user("ada").get(f"/api/jobs/{job['jobId']}{suffix}")
    assert counts.taken() == (1, 0)


async def test_a_list_is_one_read_a_row_and_one_for_the_next_page(
    counted: tuple[World, Counting],
) -> None:
    """It tells if there is a next page, so that no cursor leads to an empty one."""
    world, counts = counted
    for _ in range(7):
        await submit_job(world.as_user("ada"))
    counts.taken()
    listed = (await world.as_user("ada").get("/api/jobs?limit=5")).json()["jobs"]
    assert (len(listed), counts.taken()) == (5, (6, 0))


async def test_a_repeated_delivery_is_one_read(counted: tuple[World, Counting]) -> None:
    world, counts = counted
    (job,) = (await world.as_user("ada").get("/api/jobs")).json()["jobs"]
    counts.taken()
    await world.process(job["jobId"])
    assert counts.taken() == (1, 0)


async def test_a_sweep_with_nothing_to_do_reads_nothing(counted: tuple[World, Counting]) -> None:
    world, counts = counted
    # One that comes a while after the last check of operators' alerts checks their conditions.
    await world.sweep()
    assert counts.taken() == (4, 1)
    await world.sweep()
    assert counts.taken() == (0, 0)


async def test_a_poll_takes_two_reads_two_writes_and_one_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of ten minutes at its provider, polled every ten seconds."""
    counting: dict[str, Any] = {"wrap": lambda store: cast(Store, Counting(store))}
    async with running_with_fakes(
        tmp_path, monkeypatch, "google", google_vertex_project="p1", **counting
    ) as setup:
        world, fake = setup.world, setup.fakes["google"]
        fake.polls = 60
        fake.files["mp4"] = picture()
        began = world.now()
        job = await submit_job(setup.user(), CLIP, VIDEO)
        await world.advance(15)  # submitted, started, and polled once
        counts = cast(Counting, world.services.store)
        counts.taken()
        before = len(world.delivered)
        await world.advance(570)
        polls = len(world.delivered) - before
        assert polls == 57
        waiting = await world.job(job["jobId"])
        assert (waiting.status, waiting.lease_until) == (Status.PROCESSING, None)
        assert waiting.units[0].state is UnitState.RUNNING
        reads, writes = counts.taken()
        assert reads <= 2 * polls + 1  # the provider's circuit breaker is read once a while
        assert writes <= 2 * polls
        await world.advance(60)
        done = await read_job(setup.user(), job)
        assert (done["status"], done["attempt"]) == ("COMPLETED", 1), done["error"]
        lasted = datetime.fromisoformat(done["statusAt"]["COMPLETED"]) - began
        assert lasted >= timedelta(minutes=10)
        assert len(world.delivered) == 62


# ── With many jobs ───────────────────────────────────────────────────────────────────────────────

REQUESTS = {
    "status": "/api/jobs/{job}",
    "list": "/api/jobs",
    "by status": "/api/jobs?status=COMPLETED",
    "by type": "/api/jobs?jobType=image-generation",
    "by project": "/api/jobs?projectId=p1",
    "by all": "/api/jobs?status=COMPLETED&jobType=image-generation&projectId=p1",
    "a pipeline's jobs": "/api/jobs?parentId={job}",
    "a pipeline's failed jobs": "/api/jobs?parentId={job}&status=FAILED",
    "next page": "/api/jobs?cursor={cursor}",
    "ledger": "/api/credits/ledger",
    "health": "/api/jobs/health",
    "an admin's list of a type": "/api/jobs?jobType=image-generation",
    "an admin's list": "/api/jobs",
}


@dataclass
class Watched:
    """SQLite's statements, and the number of steps of its machine that they take."""

    connection: sqlite3.Connection
    statements: list[str]
    steps: int = 0

    def start(self) -> None:
        self.statements.clear()
        self.steps = 0
        self.connection.set_trace_callback(self.statements.append)
        self.connection.set_progress_handler(self._step, 1)

    def stop(self) -> None:
        self.connection.set_trace_callback(None)
        self.connection.set_progress_handler(None, 0)

    def plans(self) -> list[str]:
        """The query plan of each query of the stored documents."""
        asked = [text for text in self.statements if text.startswith("SELECT") and "FROM" in text]
        return [
            row[3]
            for text in asked
            for row in self.connection.execute(f"EXPLAIN QUERY PLAN {text}")
        ]

    def _step(self) -> int:
        self.steps += 1
        return 0


async def fill(world: World, count: int) -> str:
    """Store `count` finished jobs of ada's, a second apart; return the middle one's id."""
    job = await submit_job(world.as_user("ada"), {**NOOP, "projectId": "p1"})
    await world.settle()
    base = await world.job(job["jobId"])

    async def copy(tx: Transaction) -> None:
        for number in range(count):
            at = base.created_at + timedelta(seconds=number + 1)
            one = base.model_copy(update={"job_id": f"job_{number:06d}", "created_at": at})
            tx.set(JOBS, one.job_id, one)

    await world.services.store.transaction(copy)
    return f"job_{count // 2:06d}"


async def measured(folder: Path, patch: pytest.MonkeyPatch, count: int) -> dict[str, Watched]:
    """The work of every request with a number of jobs in the store."""
    found = {}
    async with running(folder, patch, store_url=f"sqlite:////{folder}/store{count}.db") as world:
        job = await fill(world, count)
        users = {"a": world.as_user("root", role="admin"), "": world.as_user("ada")}
        cursor = (await users[""].get(f"/api/jobs?limit={min(100, count // 2)}")).json()[
            "nextCursor"
        ]
        cursor = await deep(users[""], cursor, count)
        connection = world.sqlite.file.open()
        for name, path in REQUESTS.items():
            watched = found[name] = Watched(connection, [])
            client = users["a" if name.startswith("an admin") else ""]
            await client.get(path.format(job=job, cursor=cursor))  # what is made once, is made
            watched.start()
            answer = await client.get(path.format(job=job, cursor=cursor))
            watched.stop()
            assert answer.status_code == 200
            watched.statements = watched.plans()
    return found


async def deep(client: httpx.AsyncClient, cursor: str, count: int) -> str:
    """A cursor of about the middle."""
    for _ in range(count // 200):
        cursor = (await client.get(f"/api/jobs?limit=100&cursor={cursor}")).json()["nextCursor"]
    return cursor


async def test_reads_cost_the_same_with_a_hundred_times_as_many_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = await measured(tmp_path, monkeypatch, 100)
    many = await measured(tmp_path, monkeypatch, 10_000)
    grown = {
        name: (few[name].steps, many[name].steps)
        for name in REQUESTS
        if many[name].steps > few[name].steps * 1.3
    }
    assert grown == {}


#: Releases of SQLite call it the right part, or the last term.
SORTS_TIES = "FOR (RIGHT PART|LAST TERM) OF ORDER BY"


async def test_every_query_is_answered_by_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An admin's list of all types merges one walk a type; the others sort only rows of one time.

    The indexes end without the id, by which such rows are ordered.
    """
    found = await measured(tmp_path, monkeypatch, 100)
    steps = {name: watched.statements for name, watched in found.items()}
    assert [step for step in steps.pop("an admin's list") if step.startswith("SCAN jobs")] == []
    assert [
        (name, step)
        for name, plan in steps.items()
        for step in plan
        if not step.startswith("SEARCH") and not re.search(SORTS_TIES, step)
    ] == []
