from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from functions.job_requests import image_request, read_job, submit_job
from simulation.world import World


def parsed(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Every event's name and job."""
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    lines = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(event["event"], json.loads(event["data"])) for event in lines]


async def follow(
    world: World, client: httpx.AsyncClient, job: dict[str, Any], *steps: float
) -> list[Any]:
    """The events while time passes in `steps`, each followed by time for the watch to poll."""
    asking = asyncio.create_task(client.get(job["urls"]["events"]))
    for seconds in steps:
        # The embedded store's watch looks every 20 ms of real time, by timers of this loop: after
        # so many turns of it, it has looked, however slow the machine is.
        for _ in range(5):
            await asyncio.sleep(0.02)
        await world.advance(seconds)
    return parsed((await asking).text)


async def test_a_finished_job_has_one_event(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada)
    await world.settle()
    answer = await ada.get(job["urls"]["events"])
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "no-store" in answer.headers["cache-control"]
    ((name, seen),) = parsed(answer.text)
    assert (name, seen) == ("status", await read_job(ada, job))


async def test_a_job_is_followed_to_its_end(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, image_request("slow", seconds=4))
    events = await follow(world, ada, job, 0, 1.5, 1, 5)
    assert [job["status"] for name, job in events if name == "status"] == [
        "QUEUED",
        "PROCESSING",
        "COMPLETED",
    ]
    progress = [job["progress"] for name, job in events if name == "progress"]
    assert progress
    assert progress == sorted(progress)


async def test_what_comes_again_is_a_status_event_too(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, image_request("fail-temporary"))
    events = await follow(world, ada, job, 0.5, 5)
    seen = [
        job["status"] for name, job in events if name == "status" and job["status"] != "PROCESSING"
    ]
    assert seen == ["QUEUED", "RETRYING", "COMPLETED"]
