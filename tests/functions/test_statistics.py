"""Statistics: queues now, jobs by status, and performance by day."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem, image_request, submit_job
from simulation.world import World
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.jobtypes import JOB_TYPES
from taskreel.ports import Query
from taskreel.store_collections import METRICS

PENDING = image_request("pending", times=1, seconds=20)
FAILING = image_request("fail-permanent")


async def read_queue(client: httpx.AsyncClient, job_type: str = "image-generation") -> Any:
    answer = await client.get("/api/jobs/queues/stats")
    assert answer.status_code == 200, answer.text
    (found,) = [one for one in answer.json()["queues"] if one["jobType"] == job_type]
    return found


async def read_day(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/api/jobs/performance")
    assert answer.status_code == 200, answer.text
    (day,) = answer.json()["days"]
    found: dict[str, Any] = day
    return found


async def test_a_queue_shows_what_waits_runs_and_has_ended(
    world: World, ada: httpx.AsyncClient
) -> None:
    await submit_job(ada, FAILING)
    for _ in range(3):
        await submit_job(ada)
    await world.advance(60)
    running = await submit_job(ada, PENDING)
    await world.advance(2)
    await world.tasks.pause("image-generation-queue")
    await submit_job(ada)
    await submit_job(ada, {**image_request("noop"), "scheduleAt": "2030-01-01T00:00:00Z"})
    found = await read_queue(ada)
    assert running["status"] == "QUEUED"
    assert found["queue"] == {
        "name": "image-generation-queue",
        "paused": True,
        "waiting": 1,
        "active": 1,
        "completed": 3,
        "failed": 1,
        "delayed": 1,
    }
    assert found["performance"]["errorRate"] == 0.25
    assert found["performance"]["throughput"] == pytest.approx(4 / 61, abs=0.01)
    assert (await read_queue(ada, "movie-creation"))["performance"]["errorRate"] is None


async def test_a_type_without_open_jobs_costs_one_count(
    ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit_job(ada)
    counted: list[str] = []
    aggregate = SqliteStore.aggregate

    async def count(store: SqliteStore, asked: Query[Any], /, **totals: Any) -> Any:
        counted.append({name: value for name, _, value in asked.where}["jobType"])
        return await aggregate(store, asked, **totals)

    monkeypatch.setattr(SqliteStore, "aggregate", count)
    assert (await read_queue(ada))["queue"]["waiting"] == 1
    assert Counter(counted) == {**dict.fromkeys(JOB_TYPES, 1), "image-generation": 4}


async def test_numbers_of_the_last_hour_leave_out_older_ones(
    world: World, ada: httpx.AsyncClient
) -> None:
    await submit_job(ada)
    await world.advance(2 * 3600)
    await submit_job(ada)
    await world.settle()
    assert (await read_queue(ada))["queue"]["completed"] == 1


async def test_a_queue_shows_the_waits_of_each_ten_minutes(
    world: World, ada: httpx.AsyncClient
) -> None:
    for seconds in (30, 10):
        await world.tasks.pause("image-generation-queue")
        await submit_job(ada)
        await world.advance(seconds)
        await world.tasks.resume("image-generation-queue")
        await world.advance(1200)
    await world.tasks.pause("image-generation-queue")
    await submit_job(ada)
    waits = (await read_queue(ada))["performance"]["waits"]
    # One that still waits has no wait yet: the oldest due job is told by the health.
    assert len(waits) == 12
    assert [wait for wait in waits if wait is not None] == [
        pytest.approx(30_000, abs=1500),
        pytest.approx(10_000, abs=1500),
    ]
    assert waits[-1] is None
    assert (await read_queue(ada, "movie-creation"))["performance"]["waits"] == [None] * 12


async def test_performance_has_the_waits_and_runs_of_a_day(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await world.tasks.pause("image-generation-queue")
    for _ in range(4):
        await submit_job(ada, PENDING)
    await world.advance(10)
    await world.tasks.resume("image-generation-queue")
    await world.advance(60)
    failing = await submit_job(ada, FAILING)
    await world.advance(1)
    await ada.post(f"/api/jobs/image-generation/{failing['jobId']}/retry")
    await world.advance(1)
    day = await read_day(admin)
    assert (day["submitted"], day["completed"], day["failed"], day["retried"]) == (5, 4, 2, 1)
    assert day["successRate"] == pytest.approx(4 / 6, abs=0.001)
    assert day["wait"]["p50"] == pytest.approx(10_000, rel=0.06)
    assert day["run"]["p50"] == pytest.approx(20_000, rel=0.06)
    assert day["credits"] == 4
    assert "credits" not in await read_day(ada)


async def test_each_process_stores_its_counts_every_half_minute(
    world: World, ada: httpx.AsyncClient
) -> None:
    for _ in range(3):
        await submit_job(ada)
    await world.advance(29)
    stored = Query(collection=METRICS)
    assert await world.services.store.query(stored) == []
    await world.advance(2)
    (row,) = await world.services.store.query(stored)
    assert row.value.counts["COMPLETED"] == 3


async def test_stats_are_your_own_and_for_admins_those_of_all(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await submit_job(ada)
    await submit_job(world.as_user("bob"), {**image_request("noop"), "priority": "high"})
    await submit_job(ada, FAILING)
    await world.advance(2)
    own = (await ada.get("/api/jobs/stats")).json()
    assert (own["byStatus"]["COMPLETED"], own["byStatus"]["FAILED"]) == (1, 1)
    assert (own["userId"], own["byType"]["image-generation"]) == ("ada", 2)
    everyone = (await admin.get("/api/jobs/stats")).json()
    assert everyone["byStatus"] == {"COMPLETED": 2, "FAILED": 1}
    assert everyone["byPriority"] == {"normal": 2, "high": 1}
    assert list(everyone["byDay"].values()) == [{"submitted": 3, "completed": 2, "failed": 1}]
    assert (await admin.get("/api/jobs/stats?userId=bob")).json()["byType"]["image-generation"] == 1
    expect_problem(await ada.get("/api/jobs/stats?userId=bob"), 403, "forbidden")
    expect_problem(await ada.get("/api/jobs/performance?days=0"), 422, "invalid_request")


async def test_statistics_read_no_jobs(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their cost is that of counts with a limit and of a few documents a type and day."""
    for _ in range(5):
        await submit_job(ada)
    await world.advance(2)
    read: list[str] = []
    query, aggregate = SqliteStore.query, SqliteStore.aggregate

    async def noted(store: SqliteStore, asked: Query[Any], /) -> Any:
        read.append(asked.collection.name)
        return await query(store, asked)

    async def limited(store: SqliteStore, asked: Query[Any], /, **options: Any) -> Any:
        assert asked.limit is not None
        return await aggregate(store, asked, **options)

    monkeypatch.setattr(SqliteStore, "query", noted)
    monkeypatch.setattr(SqliteStore, "aggregate", limited)
    for path in ("stats", "queues/stats", "performance"):
        assert (await admin.get(f"/api/jobs/{path}")).status_code == 200
        assert (await ada.get(f"/api/jobs/{path}")).status_code == 200
    # Queue controls are a document a job type at most.
    assert set(read) == {"job_performance_metrics", "queue_controls"}
