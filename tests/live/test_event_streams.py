"""Events of jobs over HTTP: where they go on, who may read them, and how they end."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem, submit_job
from simulation.world import World
from taskreel import wiring
from taskreel.app.caller import Caller
from taskreel.app.live import job_reader
from taskreel.app.live.job_reader import JobReader
from taskreel.app.live.job_scope import OWN_JOBS, open_scope
from taskreel.web.live import event_stream
from taskreel.web.live_context import MOST_CONNECTIONS

from .conftest import Live
from .test_socket_client import make_job

OWN = "/api/jobs/events"
WAIT = {"Prefer": "wait=5"}


async def poll(client: httpx.AsyncClient, after: str | None = None) -> dict[str, Any]:
    parameters = {} if after is None else {"after": after}
    answer = await client.get(OWN, params=parameters, headers=WAIT)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def read_position(client: httpx.AsyncClient) -> str:
    """The position behind all events, by a poll that waits for a second."""
    answer = await client.get(OWN, headers={"Prefer": "wait=1"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["events"] == []
    position: str = answer.json()["position"]
    return position


async def test_long_polling_goes_on_behind_a_position_and_repeats_nothing(live: Live) -> None:
    ada = live.world.as_user("ada")
    start = await read_position(ada)
    await live.put(make_job(live, 1))
    await live.put(make_job(live, 2, "bob"))
    await live.put(make_job(live, 3))
    first = await poll(ada, start)
    assert [one["job"]["jobId"] for one in first["events"]] == ["job_ada1", "job_ada3"]
    again = await poll(ada, first["events"][0]["id"])
    assert [one["job"]["jobId"] for one in again["events"]] == ["job_ada3"]
    waiting = asyncio.create_task(poll(ada, first["position"]))
    await asyncio.sleep(0.05)
    await live.put(make_job(live, 4))
    assert [one["job"]["jobId"] for one in (await waiting)["events"]] == ["job_ada4"]


async def test_a_stream_has_summaries_where_they_are_asked_for(live: Live) -> None:
    ada = live.world.as_user("ada")
    start = await read_position(ada)
    await live.put(make_job(live, 1))
    told = {"summary": "true", "after": start}
    [event] = (await ada.get(OWN, params=told, headers=WAIT)).json()["events"]
    assert event["job"]["summary"]["preview"] is None
    [event] = (await poll(ada, start))["events"]
    assert "summary" not in event["job"]
    refused = await ada.get(OWN, params={"summary": "yes"}, headers=WAIT)
    expect_problem(refused, 422, "invalid_request")


async def test_a_browser_that_comes_back_after_the_end_is_told_to_stop(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    await world.settle()
    events = await ada.get(job["urls"]["events"], headers=WAIT)
    position = events.json()["position"]
    headers = {"Last-Event-ID": position}
    assert (await ada.get(job["urls"]["events"], headers=headers)).status_code == 204


async def test_a_stream_token_reads_events_and_nothing_else(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    await world.settle()
    made = await ada.post("/api/stream-tokens")
    assert made.status_code == 201
    token = made.json()["token"]
    parameters = {"token": token}
    answer = await world.api.get(job["urls"]["events"], params=parameters)
    assert answer.status_code == 200
    assert "event: status" in answer.text
    bearer = {"Authorization": f"Bearer {token}"}
    expect_problem(await world.api.get("/api/jobs", headers=bearer), 401, "unauthenticated")
    refused = await world.api.get(job["urls"]["events"], params={"token": token + "x"})
    expect_problem(refused, 401, "unauthenticated")


async def test_events_of_another_users_job_are_not_found(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    bob = world.as_user("bob")
    expect_problem(await bob.get(job["urls"]["events"]), 404, "not_found")
    expect_problem(await world.api.get(OWN), 401, "unauthenticated")


async def test_a_position_that_is_not_ours_is_refused(ada: httpx.AsyncClient) -> None:
    expect_problem(await ada.get(OWN, params={"after": "yesterday"}), 422, "invalid_request")


async def test_a_user_has_a_limit_of_connections(live: Live) -> None:
    limits = wiring.live().limits
    with limits.hold("bob"):
        held = [limits.hold("ada") for _ in range(MOST_CONNECTIONS)]
        for one in held:
            one.__enter__()
        refused = await live.world.as_user("ada").get(OWN, headers=WAIT)
        expect_problem(refused, 429, "too_many_connections")
        for one in held:
            one.__exit__(None, None, None)
    await read_position(live.world.as_user("ada"))


async def test_a_slow_reader_gets_the_newest_states_and_is_told_so(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_reader, "MOST_WAITING", 5)
    ada = Caller(user_id="ada")
    async with JobReader(wiring.live().feed) as reader:
        await reader.add(await open_scope(live.world.services, ada, OWN_JOBS))
        for number in range(20):
            await live.put(make_job(live, number))
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert len(reader._waiting) <= 6
        changes = [await reader.read() for _ in range(20)]
    assert all(change is not None and change.is_snapshot for change in changes)
    assert len({change.job.job_id for change in changes if change is not None}) == 20


async def test_a_quiet_stream_has_heartbeats_and_says_when_its_token_expires(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 0.02)
    made = (await live.world.as_user("ada").post("/api/stream-tokens")).json()
    url = f"http://127.0.0.1:{live.port}{OWN}?token={made['token']}"
    async with httpx.AsyncClient() as client, client.stream("GET", url) as answer:
        lines = answer.aiter_lines()
        begin = [await anext(lines) for _ in range(6)]
        assert begin[0] == "event: ready"
        assert begin[4] == ": keep-alive"
        end = datetime.fromisoformat(made["expiresAt"]).timestamp()
        monkeypatch.setattr(event_stream, "time", SimpleNamespace(time=lambda: end))
        rest = [line async for line in lines if line and not line.startswith(":")]
    assert rest == ["event: expired", 'data: {"code":"token_expired"}']


async def test_streams_end_when_the_instance_stops(live: Live) -> None:
    url = f"http://127.0.0.1:{live.port}{OWN}"
    headers = dict(live.world.as_user("ada").headers)
    async with httpx.AsyncClient() as client, client.stream("GET", url, headers=headers) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: ready"
        await wiring.live().feed.close()
        rest = [line async for line in lines]
    [data] = [line for line in rest if line.startswith("data: ")]
    assert json.loads(data.removeprefix("data: ")) == {}
