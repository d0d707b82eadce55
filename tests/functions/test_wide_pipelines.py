"""A pipeline of thousands of jobs holds up nobody: its run gives other tasks their turns."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from functions.job_requests import NOOP, submit_job
from functions.test_pipelines import PIPELINE
from simulation.world import World
from taskreel.app.pipelines.child_jobs import read_step_payload


async def test_a_wide_step_is_started_in_turns_with_other_work(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 50 times 1,000 jobs once let `/health` wait for 25 seconds."""
    grant = await admin.post("/api/credits/ada/grants", json={"amount": 900, "reason": "a test"})
    assert grant.status_code == 201, grant.text
    loop = asyncio.get_running_loop()
    in_turn = Counter[int]()
    turns: list[asyncio.Handle] = []

    def count(*given: Any) -> Any:
        """Read a child job's request, in the present turn of the event loop."""
        in_turn[len(turns)] += 1
        if not turns or turns[-1].cancelled():
            turns.append(loop.call_soon(end_turn))
        return read_step_payload(*given)

    def end_turn() -> None:
        turns[-1].cancel()

    wide = {"type": "image-generation", "forEach": [str(n) for n in range(300)], "payload": NOOP}
    await submit_job(ada, {"steps": {"one": wide, "two": wide}}, PIPELINE)
    monkeypatch.setattr("taskreel.app.pipelines.pipeline_run.read_step_payload", count)
    await world.advance(1)
    assert in_turn.total() == 600
    assert max(in_turn.values()) <= 21
