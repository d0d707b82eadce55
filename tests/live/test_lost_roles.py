"""Live updates of a member who is removed: the project's end, their own go on."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from functions.job_requests import expect_problem, image_request, submit_job
from functions.test_projects import make_project
from simulation.world import token
from taskreel.domain.job_status import Status

from .conftest import Live
from .test_socket_client import Connect, make_job

pytestmark = pytest.mark.usefixtures("rights_checked_soon")


async def test_the_event_stream_of_a_removed_member_ends_and_is_not_opened_again(
    live: Live, ada: httpx.AsyncClient
) -> None:
    project = await make_project(ada, bob="viewer")
    pending = image_request("pending", times=1, seconds=60)
    job = await submit_job(ada, {**pending, "projectId": project})
    url = f"http://127.0.0.1:{live.port}/api/jobs/{job['jobId']}/events"
    headers = dict(live.world.as_user("bob").headers)
    async with (
        asyncio.timeout(60),
        httpx.AsyncClient(headers=headers) as bob,
        bob.stream("GET", url) as answer,
    ):
        lines = answer.aiter_lines()
        while await anext(lines) != ": keep-alive":
            pass
        assert await anext(lines) == ""
        assert await anext(lines) == ": keep-alive"  # bob is a member: it goes on
        await ada.delete(f"/api/projects/{project}/members/bob")
        rest = [line async for line in lines]
        assert not any(line.startswith("event: ") for line in rest)
        expect_problem(await bob.get(url), 404, "not_found")


async def test_a_status_stream_of_fals_clients_ends_with_the_membership(
    live: Live, ada: httpx.AsyncClient
) -> None:
    project = await make_project(ada, bob="viewer")
    pending = image_request("pending", times=1, seconds=60)
    job = await submit_job(ada, {**pending, "projectId": project})
    request = f"/fal/taskreel/image-generation/requests/{job['jobId']}"
    url = f"http://127.0.0.1:{live.port}{request}/status/stream"
    headers = dict(live.world.as_user("bob").headers)
    async with (
        asyncio.timeout(20),
        httpx.AsyncClient(headers=headers) as bob,
        bob.stream("GET", url) as answer,
    ):
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("data: ")
        await ada.delete(f"/api/projects/{project}/members/bob")
        rest = [line async for line in lines]  # the job itself runs on
        assert not any("COMPLETED" in line for line in rest)
        assert (await bob.get(url)).status_code == 404


async def test_a_socket_of_a_removed_member_follows_only_their_own_jobs(
    live: Live, ada: httpx.AsyncClient, connect: Connect
) -> None:
    project = await make_project(ada, bob="viewer")
    of_project = make_job(live, 1).model_copy(update={"project_id": project})
    await live.put(of_project)
    wishes = [{"projectId": project}, {"jobId": of_project.job_id}, {"own": True}]
    auth = {"token": token("bob"), "subscribe": wishes}
    client = await connect(f"ws://127.0.0.1:{live.port}", auth=auth)
    await client.wait_for(lambda: len(client.updates) == 1)  # the job as it is
    await ada.delete(f"/api/projects/{project}/members/bob")
    dropped = await client.wait_until_printed("subscriptions")
    assert dropped["subscriptions"] == [{"own": True}]
    await live.put(of_project.enter_status(Status.PROCESSING, live.world.now()))
    await live.put(make_job(live, 2, "bob"))
    await client.wait_for(lambda: len(client.updates) == 2)
    assert [one["jobId"] for one in client.updates] == ["job_ada1", "job_bob2"]
