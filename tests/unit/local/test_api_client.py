"""The command line's client of the API, against answers as the API sends them."""

from __future__ import annotations

import httpx
import pytest

from taskreel_local.cli.api_client import ApiClient

STREAM = (
    b'id: 1\nevent: status\ndata: {"status": "PROCESSING"}\n\n'
    b": keep-alive\n\n"
    b": keep-alive\n\n"
    b'id: 2\nevent: status\ndata: {"status": "COMPLETED"}\n\n'
)


async def test_heartbeats_are_no_changes_of_a_followed_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=STREAM)

    async with ApiClient("http://api.test", "token") as client:
        mock = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://api.test")
        monkeypatch.setattr(client, "_http", mock)
        seen = [job["status"] async for job in client.follow_job("job_1")]
    assert seen == ["PROCESSING", "COMPLETED"]
