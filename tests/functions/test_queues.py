"""The queue that each task is put on."""

from __future__ import annotations

from typing import Any

import httpx

from functions.job_requests import read_job
from simulation.world import World
from taskreel.app.messages.job_task import POLL_QUEUE, queue_of_type
from taskreel.jobtypes import JOB_TYPES


async def count_tasks(world: World) -> dict[str, int]:
    """The tasks that wait, by queue."""
    stats = [
        await world.tasks.stats(queue) for queue in (*map(queue_of_type, JOB_TYPES), POLL_QUEUE)
    ]
    return {each.queue: each.depth for each in stats if each.depth}


async def submit(ada: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await ada.post("/api/jobs/image-generation", json={"prompt": "a kite", **body})
    job: dict[str, Any] = answer.json()
    assert answer.status_code == 202, job
    return job


async def test_every_priority_of_a_type_shares_its_queue(
    world: World, ada: httpx.AsyncClient
) -> None:
    jobs = [await submit(ada, priority=priority) for priority in ("high", "normal", "low")]
    assert [job["priority"] for job in jobs] == ["high", "normal", "low"]
    assert await count_tasks(world) == {"image-generation-queue": 3}


async def test_a_poll_waits_on_the_queue_of_polls(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit(ada, options={"studio": {"mode": "pending", "times": 2, "seconds": 30}})
    await world.advance(1)
    assert await count_tasks(world) == {"provider-poll-queue": 1}
    await world.advance(120)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_a_paused_type_does_not_stop_the_polls_of_its_jobs(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit(ada, options={"studio": {"mode": "pending", "times": 1, "seconds": 30}})
    await world.advance(1)
    await world.tasks.pause("image-generation-queue")
    await world.advance(60)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_a_child_that_an_earlier_release_made_still_wakes_its_pipeline(
    world: World, ada: httpx.AsyncClient
) -> None:
    step = {"type": "image-generation", "payload": {"prompt": "a kite"}}
    answer = await ada.post("/api/jobs/pipeline", json={"steps": {"picture": step}})
    await world.tasks.pause("image-generation-queue")
    await world.advance(3)
    listed = await ada.get("/api/jobs", params={"parentId": answer.json()["jobId"]})
    child = await world.job(listed.json()["jobs"][0]["jobId"])
    assert child.parent_lane == "pipeline-queue"
    await world.put(child.model_copy(update={"parent_lane": "pipeline-normal"}))
    await world.tasks.resume("image-generation-queue")
    await world.advance(10)
    assert (await read_job(ada, answer.json()))["status"] == "COMPLETED"
