"""What a caller sees of a pipeline, its steps and its jobs."""

from __future__ import annotations

from typing import Any

import httpx

from functions.test_pipelines import ended, fan, start
from functions.test_replay import replayed
from simulation.world import World


async def test_forty_replays_in_a_row_find_what_the_first_job_made(world: World, ada: httpx.AsyncClient) -> None:
    job: dict[str, Any] = await ended(world, ada, await start(ada, many=fan("noop", "noop")), "COMPLETED")
    for _ in range(40):
        job = await ended(world, ada, await replayed(ada, job), "COMPLETED")
    assert job["credits"]["captured"] == 0
    assert len(job["result"]["items"]) == 2
