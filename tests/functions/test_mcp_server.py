"""The MCP server, judged by the official client; off unless MCP_PATH names it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import uvicorn
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from functions.job_requests import expect_problem, read_balance, submit_job
from simulation.world import World, running, token
from taskreel import wiring

PATH = "/mcp"
Connect = Callable[[str], AbstractAsyncContextManager[Client]]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch, mcp_path=PATH) as made:
        yield made


@pytest.fixture
def ada(world: World) -> httpx.AsyncClient:
    return world.as_user("ada")


@pytest.fixture
async def connect(world: World) -> AsyncIterator[Connect]:
    """Connect the official client, as a user, to the API of the world on a port."""
    assert world.settings.mcp_path == PATH
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
    config = uvicorn.Config(wiring.api(), lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))

    @asynccontextmanager
    async def connect_as(user: str) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {token(user)}"}
        async with httpx2.AsyncClient(headers=headers) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport) as client:
                yield client

    yield connect_as
    server.should_exit = True
    await serving
    listener.close()


async def call(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    """The answer of a tool, which is the same as text and as structure."""
    result = await client.call_tool(name, arguments)
    [content] = result.content
    assert isinstance(content, TextContent)
    found: dict[str, Any] = json.loads(content.text)
    assert result.structured_content == found
    assert not result.is_error, found
    return found


async def refuse(client: Client, name: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    assert result.structured_content is not None
    return dict(result.structured_content)


async def test_the_official_client_lists_shows_and_counts_jobs(
    world: World, ada: httpx.AsyncClient, connect: Connect
) -> None:
    job = await submit_job(ada, {"prompt": "a kite", "options": {"width": 64, "height": 64}})
    await world.advance(5)
    await submit_job(world.as_user("bob"), {"prompt": "a boat"})
    async with connect("ada") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == {
            "list_jobs",
            "show_job",
            "list_job_types",
            "quote_job",
            "get_statistics",
            "get_credits",
        }
        for tool in tools.values():
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint

        listed = await call(client, "list_jobs", status="COMPLETED", limit=5)
        assert [one["jobId"] for one in listed["jobs"]] == [job["jobId"]]
        shown = await call(client, "show_job", jobId=job["jobId"])
        assert shown["status"] == "COMPLETED"
        assert shown["result"]["artifacts"][0]["width"] == 64
        counted = await call(client, "get_statistics", days=3)
        assert counted["jobs"] == (await ada.get("/api/jobs/stats")).json()
        assert counted["performance"]
        assert await call(client, "get_credits") == await read_balance(ada)


async def test_a_quote_creates_nothing_and_explains_a_wrong_request(
    ada: httpx.AsyncClient, connect: Connect
) -> None:
    async with connect("ada") as client:
        types = await call(client, "list_job_types")
        assert "image-generation" in [one["jobType"] for one in types["jobTypes"]]
        one = await call(client, "list_job_types", jobType="image-generation")
        assert "prompt" in one["schema"]["properties"]
        quoted = await call(
            client, "quote_job", jobType="image-generation", data={"prompt": "a kite"}
        )
        assert quoted["cost"] == 1
        wrong = await refuse(client, "quote_job", jobType="image-generation", data={})
        assert wrong["errors"][0]["path"] == "prompt"
    assert (await ada.get("/api/jobs")).json()["jobs"] == []
    assert (await read_balance(ada))["held"] == 0


async def test_an_assistant_sees_what_its_user_sees(world: World, connect: Connect) -> None:
    job = await submit_job(world.as_user("bob"), {"prompt": "a boat"})
    async with connect("ada") as client:
        refused = await refuse(client, "show_job", jobId=job["jobId"])
        assert refused["code"] == "not_found"
        assert (await refuse(client, "show_job", jobId="../credits"))["code"] == "not_found"
        assert (await call(client, "list_jobs"))["jobs"] == []
        assert "limit" in (await refuse(client, "list_jobs", limit=1000))["errors"][0]["path"]
        assert (await refuse(client, "list_jobs", stauts="FAILED"))["errors"]
        assert "image-generation" in (await refuse(client, "list_job_types", jobType="x"))["detail"]


async def test_it_is_absent_unless_a_setting_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as world:
        answer = await world.as_user("ada").post(PATH, json={})
        expect_problem(answer, 404, "not_found")


async def test_without_a_token_nothing_is_answered(world: World) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    expect_problem(await world.api.post(PATH, json=message), 401, "unauthenticated")


async def test_a_notification_is_accepted_and_other_methods_are_refused(
    ada: httpx.AsyncClient,
) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    answer = await ada.post(PATH, json=message)
    assert (answer.status_code, answer.content) == (202, b"")
    for method in ("GET", "DELETE"):
        assert (await ada.request(method, PATH)).status_code == 405


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", {}, 400, -32700),
        (b"[]", {}, 400, -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', {}, 400, -32600),
        (b'{"jsonrpc": "2.0", "id": [], "method": "ping"}', {}, 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', {}, 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "jobs/delete"}', {}, 200, -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', {}, 200, -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call"}', {}, 200, -32602),
        (
            b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}',
            {"MCP-Protocol-Version": "2099-01-01"},
            400,
            -32022,
        ),
    ],
)
async def test_a_message_that_is_wrong_is_refused_by_its_code(
    ada: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, code: int
) -> None:
    answer = await ada.post(PATH, content=content, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
