"""Texts that are made to occupy a worker, or to say what no store can hold."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from functions.job_requests import read_job, submit_job
from simulation.world import World

ANALYSIS = "/api/jobs/content-analysis"


def script(*scenes: dict[str, Any]) -> str:
    return json.dumps({"scenes": scenes})


async def measured(world: World, client: httpx.AsyncClient, text: str) -> dict[str, Any]:
    job = await submit_job(client, {"content": text}, ANALYSIS)
    await world.advance(5)
    job = await read_job(client, job)
    assert job["status"] == "COMPLETED", job["error"]
    found: dict[str, Any] = job["result"]
    return found


@pytest.mark.parametrize(
    "text", ["." * 400_000 + "a", "[" * 100_000 + " a", "INT. " * 90_000, "a'" * 200_000]
)
async def test_a_long_monotonous_text_is_measured(
    world: World, ada: httpx.AsyncClient, text: str
) -> None:
    assert (await measured(world, ada, text))["measured"]["text"]["words"] >= 1


@pytest.mark.parametrize(
    ("scene", "says"),
    [
        ({"durationSeconds": 10**30}, {"durationSeconds": None}),
        ({"durationSeconds": float("nan")}, {"durationSeconds": None}),
        ({"duration": float("inf")}, {"durationSeconds": None}),
        ({"duration": 5, "dialogue": 7}, {"durationSeconds": 5.0, "linesBySpeaker": {}}),
        (
            {"dialogue": [{"speaker": "__a__"}, {"speaker": ""}]},
            {"linesBySpeaker": {"a": 1, "unknown": 1}},
        ),
        ({"dialogue": [{"speaker": "\ud800"}]}, {"linesBySpeaker": {"?": 1}}),
        ({"dialogue": [{"speaker": "x" * 2000}]}, {"linesBySpeaker": {"x" * 100: 1}}),
    ],
)
async def test_odd_scripts_are_measured_as_far_as_they_make_sense(
    world: World, ada: httpx.AsyncClient, scene: dict[str, Any], says: dict[str, Any]
) -> None:
    found = await measured(world, ada, script(scene))
    assert found["script"] == found["script"] | says


async def test_as_many_speakers_are_told_as_anybody_reads(
    world: World, ada: httpx.AsyncClient
) -> None:
    lines = [{"speaker": f"s{n}"} for n in range(5000)]
    found = await measured(world, ada, script({"dialogue": lines}))
    assert len(found["script"]["linesBySpeaker"]) == 100
