"""The stream of a prediction: what comes while it runs, its ends, and who may read it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem
from simulation.world import World
from taskreel import wiring
from taskreel.web.live_context import MOST_CONNECTIONS

PREDICTIONS = "/replicate/v1/predictions"
SLOW = {"studio": {"mode": "sleep", "seconds": 3600}}


async def create(ada: httpx.AsyncClient, model: str, given: dict[str, Any]) -> dict[str, Any]:
    body = {"version": f"taskreel/{model}", "input": given, "stream": True}
    answer = await ada.post(PREDICTIONS, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def parse(text: str) -> list[tuple[str, str]]:
    """The events with their data."""
    events = []
    for block in text.strip().split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines()]
        data = "\n".join(value for name, _, value in lines if name == "data")
        events.append((lines[0][2], data))
    return events


async def test_the_stream_of_a_cancelled_prediction_ends_with_the_reason(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await create(ada, "image-generation", {"prompt": "a kite", "options": SLOW})
    reading = asyncio.create_task(world.api.get(made["urls"]["stream"]))
    await world.advance(1)
    await ada.post(f"{PREDICTIONS}/{made['id']}/cancel")
    await world.settle()
    answer = await asyncio.wait_for(reading, 60)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert parse(answer.text)[-1] == (
        "done",
        json.dumps({"reason": "canceled"}, separators=(",", ":")),
    )


async def test_files_come_in_the_order_of_the_result_and_once(
    world: World, ada: httpx.AsyncClient
) -> None:
    given = {"prompts": ["a kite", "a boat", "a hill"], "options": {"width": 64, "height": 64}}
    made = await create(ada, "batch-generation", given)
    reading = asyncio.create_task(world.api.get(made["urls"]["stream"]))
    await world.advance(30)
    events = parse((await asyncio.wait_for(reading, 60)).text)
    sent = [data.partition("?")[0] for event, data in events if event == "output"]
    output = (await ada.get(f"{PREDICTIONS}/{made['id']}")).json()["output"]
    assert sent == [url.partition("?")[0] for url in output]
    assert len(sent) == 3
    again = parse((await world.api.get(made["urls"]["stream"])).text)
    assert [event for event, _ in again][-4:] == ["output", "output", "output", "done"]


async def test_a_result_without_text_or_files_comes_as_json(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await create(ada, "story-generation", {"prompt": "two bakers"})
    await world.advance(30)
    events = dict(parse((await world.api.get(made["urls"]["stream"])).text))
    assert "title" in json.loads(events["output"])


async def test_a_failed_prediction_tells_its_error_before_the_end(
    world: World, ada: httpx.AsyncClient
) -> None:
    options = {"studio": {"mode": "fail-permanent"}}
    made = await create(ada, "image-generation", {"prompt": "a kite", "options": options})
    await world.advance(5)
    events = parse((await world.api.get(made["urls"]["stream"])).text)
    assert [event for event, _ in events][-2:] == ["error", "done"]
    assert "fails permanently" in json.loads(dict(events)["error"])["detail"]


@pytest.mark.parametrize("change", ["expires=9", "signature=0"])
async def test_only_the_link_itself_opens_a_stream(
    world: World, ada: httpx.AsyncClient, change: str
) -> None:
    made = await create(ada, "image-generation", {"prompt": "a kite"})
    other = await create(ada, "image-generation", {"prompt": "a boat"})
    url = made["urls"]["stream"]
    name = change.partition("=")[0]
    expect_problem(await world.api.get(url.replace(f"{name}=", change)), 403, "forbidden")
    expect_problem(await world.api.get(url.replace(made["id"], other["id"])), 403, "forbidden")


async def test_streams_count_among_a_users_live_connections(
    world: World, ada: httpx.AsyncClient
) -> None:
    made = await create(ada, "image-generation", {"prompt": "a kite", "options": SLOW})
    held = [wiring.live().limits.hold("ada") for _ in range(MOST_CONNECTIONS)]
    for one in held:
        one.__enter__()
    answer = await world.api.get(made["urls"]["stream"])
    expect_problem(answer, 429, "too_many_connections")
    for one in held:
        one.__exit__(None, None, None)
