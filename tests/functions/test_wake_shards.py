"""The index of wake times may get more shards: jobs of before and after are found by the sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from functions.job_requests import image_request, read_job, submit_job
from simulation.world import World, running
from taskreel.app.query_pages import MOST_WAKE_SHARDS, WAKE_SHARDS, build_due_query
from taskreel.ports import Query
from taskreel.store_collections import JOBS


async def read_shards(world: World) -> dict[str, int]:
    rows = await world.services.store.query(Query(collection=JOBS))
    return {row.id: row.data["wakeShard"] for row in rows}


async def test_jobs_of_before_and_after_a_raise_are_rescued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = "image-generation-queue"
    async with running(tmp_path, monkeypatch, wake_shards=MOST_WAKE_SHARDS) as world:
        ada = world.as_user("ada")
        await world.tasks.pause(queue)
        jobs = [await submit_job(ada, image_request("noop")) for _ in range(12)]
        shards = (await read_shards(world)).values()
        # One with a small number is as a job of before.
        assert min(shards) < WAKE_SHARDS <= max(shards)
        await world.tasks.purge(queue)  # every task is lost
        await world.tasks.resume(queue)
        for _ in range(10):
            await world.advance(60)
            await world.sweep()
        assert {(await read_job(ada, job))["status"] for job in jobs} == {"COMPLETED"}


async def test_a_query_for_what_is_due_asks_for_all_shards_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch, wake_shards=MOST_WAKE_SHARDS) as world:
        ada = world.as_user("ada")
        await world.tasks.pause("image-generation-queue")
        for _ in range(9):
            await submit_job(ada)
            await world.advance(1)
        due = build_due_query(JOBS, world.now().replace(year=2100), page=5, shards=MOST_WAKE_SHARDS)
        first = await world.services.store.query(due)
        second = await world.services.store.query(due.behind(first[-1]))
        times = [row.data["wakeAt"] for row in [*first, *second]]
        assert (len(times), times) == (9, sorted(times))
