"""Live updates of an API key that is revoked: all of them end, and none is opened again."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from functions.job_requests import expect_problem, image_request, submit_job
from functions.test_project_account import grant
from functions.test_project_keys import make_key, use_key
from functions.test_projects import PROJECTS, make_project

from .conftest import Live
from .test_socket_client import Connect, make_job

pytestmark = pytest.mark.usefixtures("rights_checked_soon")

PENDING = image_request("pending", times=1, seconds=60)


@pytest.mark.parametrize("kind", ["own events", "a token for streams", "fal's status stream"])
async def test_a_stream_of_a_revoked_key_ends_and_is_not_opened_again(
    live: Live, ada: httpx.AsyncClient, kind: str
) -> None:
    project = await make_project(ada)
    await grant(live.world.as_user("root", role="admin"), project, 9)
    made = await make_key(ada, project)
    server = use_key(live.world, made["token"])
    job = await submit_job(server, PENDING)
    path, headers = "/api/jobs/events", dict(server.headers)
    if kind == "a token for streams":
        path += f"?token={(await server.post('/api/stream-tokens')).json()['token']}"
        headers = {}
    elif kind == "fal's status stream":
        path = f"/fal/taskreel/image-generation/requests/{job['jobId']}/status/stream"
        headers["authorization"] = headers["authorization"].replace("Bearer", "Key")
    url = f"http://127.0.0.1:{live.port}{path}"
    async with asyncio.timeout(60), httpx.AsyncClient(headers=headers) as client:
        async with client.stream("GET", url) as answer:
            assert answer.status_code == 200
            lines = answer.aiter_lines()
            assert await anext(lines)
            await ada.delete(f"{PROJECTS}/{project}/keys/{made['keyId']}")
            assert not [line async for line in lines if "COMPLETED" in line]
        assert (await client.get(url)).status_code == 401


async def test_a_socket_of_a_revoked_key_follows_nothing_more(
    live: Live, ada: httpx.AsyncClient, connect: Connect
) -> None:
    project = await make_project(ada)
    made = await make_key(ada, project)
    wishes = [{"projectId": project}, {"own": True}]
    auth = {"token": made["token"], "subscribe": wishes}
    client = await connect(f"ws://127.0.0.1:{live.port}", auth=auth)
    await client.wait_until_printed("connect")
    of_project = make_job(live, 1).model_copy(update={"project_id": project})
    await live.put(of_project)
    await client.wait_for(lambda: len(client.updates) == 1)
    await ada.delete(f"{PROJECTS}/{project}/keys/{made['keyId']}")
    dropped = await client.wait_until_printed("subscriptions")
    assert dropped["subscriptions"] == []
    again = await connect(f"ws://127.0.0.1:{live.port}", auth=auth)
    assert (await again.wait_until_printed("refused"))["data"] == {"code": "unauthenticated"}
    expect_problem(
        await use_key(live.world, made["token"]).get("/api/jobs"), 401, "unauthenticated"
    )
