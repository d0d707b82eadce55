"""The local Cloud Tasks called in this process: its REST application behind an httpx client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from taskreel.adapters.local.tasks import Door


def door_through(client: httpx.AsyncClient) -> Door:
    """What EmbeddedTasks calls."""

    async def call(verb: str, url: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
        try:
            response = await client.request(verb, url, json=body)
        except httpx.HTTPError as error:
            raise ConnectionError(str(error)) from error
        return response.status_code, response.content

    return call
