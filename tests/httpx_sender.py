"""Requests of the embedded task queue through an httpx client, so that no port is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from taskreel.adapters.local.tasks import SendRequest


def httpx_sender(client: httpx.AsyncClient) -> SendRequest:
    """Return a function that EmbeddedTasks sends its requests by."""

    async def send_request(
        verb: str, url: str, body: Mapping[str, Any] | None
    ) -> tuple[int, bytes]:
        try:
            response = await client.request(verb, url, json=body)
        except httpx.HTTPError as error:
            raise ConnectionError(str(error)) from error
        return response.status_code, response.content

    return send_request
