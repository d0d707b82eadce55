"""A world whose webhooks arrive at a receiver, and the check of their signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from functions.job_requests import NOOP, submit_job
from simulation.world import World

ENDPOINTS = "/api/webhook-endpoints"
URL = "https://93.184.216.34/hooks"
PICTURE = {"prompt": "a kite", "options": {"width": 64, "height": 64}}
Answer = Callable[[httpx.Request], httpx.Response]


@dataclass
class Receiver:
    """A user's server, and what it has received."""

    answer: Answer = lambda _request: httpx.Response(204)
    received: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.received.append(request)
        return self.answer(request)

    @property
    def events(self) -> list[str]:
        return [json.loads(one.content)["type"] for one in self.received]


@dataclass
class Hooked:
    """A world whose webhooks arrive at a receiver."""

    world: World
    receiver: Receiver
    ada: httpx.AsyncClient

    async def create(self, **fields: Any) -> dict[str, Any]:
        answer = await self.ada.post(ENDPOINTS, json={"url": URL, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def run_job(self, **fields: Any) -> dict[str, Any]:
        job = await submit_job(self.ada, {**NOOP, **fields})
        await self.world.advance(5)
        return job

    async def read(self, path: str) -> dict[str, Any]:
        answer = await self.ada.get(path)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def deliveries(self, endpoint_id: str, **query: Any) -> list[dict[str, Any]]:
        answer = await self.ada.get(f"{ENDPOINTS}/{endpoint_id}/deliveries", params=query)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["deliveries"]
        return found


def verify(request: httpx.Request, secret: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The message, once the public library has verified it at the time of the virtual clock."""
    sent_at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"])).astimezone()

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Then:
            return cls.fromtimestamp(sent_at.timestamp(), tz)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Then)
    return Webhook(secret).verify(request.content, dict(request.headers))
