"""The router of a server process: the answer to requests that a stop cuts off."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from taskreel_local.stack.server_main import PathRouter

SCOPE = {"type": "http", "method": "GET", "path": "/api/jobs", "headers": []}


async def cut_off(router: PathRouter, *, has_begun: bool) -> list[dict[str, Any]]:
    """Cancel a request while it waits; return the messages that were sent."""
    waits = asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def hang(_scope: Any, _receive: Any, send: Any) -> None:
        if has_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        waits.set()
        await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and sent:
            raise RuntimeError("the response has begun")
        sent.append(message)

    router._functions["/api/jobs"] = lambda: hang
    serving = asyncio.ensure_future(router(SCOPE, receive, send))
    await waits.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    return sent


async def test_a_request_that_a_stop_cuts_off_may_be_sent_again() -> None:
    start, body = await cut_off(PathRouter(), has_begun=False)
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert json.loads(body["body"])["code"] == "server_stopping"


async def test_a_response_that_has_begun_is_only_cut_off() -> None:
    assert len(await cut_off(PathRouter(), has_begun=True)) == 1
