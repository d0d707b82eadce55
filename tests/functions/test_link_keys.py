"""A reader of a task reads its internal key; with LINK_KEY it opens no file and no events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from functions.job_requests import image_request, submit_job
from simulation.world import KEY, World, running
from taskreel.app.caller import Caller
from taskreel.config import ConfigurationError, Settings
from taskreel.web.file_links import FileLinks
from taskreel.web.stream_tokens import StreamTokens

LINK_KEY = "a-key-that-no-task-has-ever-carried"
_OUTPUTS = "/replicate/v1/outputs"


@pytest.fixture
async def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch, link_key=LINK_KEY) as made:
        yield made


async def read_output(world: World, key: str) -> int:
    """The answer to a link to a finished picture of ada's that the key has signed."""
    job = await submit_job(world.as_user("ada"), image_request("slow", seconds=0))
    await world.advance(5)
    (artifact,) = (await world.job(job["jobId"])).artifacts
    path = f"{job['jobId']}/{artifact.name}"
    now = world.services.clock.now()
    link = FileLinks([key]).make(_OUTPUTS, path, now, timedelta(hours=1))
    return (await world.api.get(link)).status_code


async def read_events(world: World, key: str) -> int:
    """The answer to an event-stream token for an admin that the key has signed.

    `after` is no place in the stream: a caller who is let in is told so, and no stream begins.
    """
    token, _ = StreamTokens([key]).issue(Caller(user_id="root", admin=True))
    answer = await world.api.get("/api/jobs/events", params={"token": token, "after": "?"})
    return answer.status_code


async def test_the_key_that_tasks_carry_forges_neither_a_link_nor_a_token(guarded: World) -> None:
    assert await read_output(guarded, KEY) == 403
    assert await read_events(guarded, KEY) == 401
    # Nor does what signs them let a task in.
    headers = {"X-Internal-Api-Key": LINK_KEY}
    answer = await guarded.processor.post("/tasks/process", json={"jobId": "x"}, headers=headers)
    assert answer.status_code == 401


async def test_the_link_key_signs(guarded: World) -> None:
    assert await read_output(guarded, LINK_KEY) in {200, 302, 307}
    assert await read_events(guarded, LINK_KEY) == 422


async def test_without_one_the_internal_key_signs_as_before(world: World) -> None:
    assert await read_output(world, KEY) in {200, 302, 307}


def test_two_keys_verify_while_they_are_rotated() -> None:
    given = {"INTERNAL_API_KEY": KEY, "LINK_KEY": f"{LINK_KEY}-new, {LINK_KEY}"}
    assert Settings.from_environment(given, {}).link_keys == [f"{LINK_KEY}-new", LINK_KEY]
    with pytest.raises(ConfigurationError, match="LINK_KEY: each key must have at least 16"):
        Settings.from_environment({**given, "LINK_KEY": "short"}, {})
