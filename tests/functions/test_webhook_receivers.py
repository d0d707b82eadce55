"""Receivers of webhooks that hang, or whose name leads elsewhere at the second look-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from functions.webhook_receiver import Hooked, Receiver
from simulation.world import running
from streamed_answers import StreamedAnswers
from taskreel.adapters import webhook_sender
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.app.services import Services

NAME = "receiver.example"
PUBLIC = "93.184.216.34"


@dataclass
class OddReceiver:
    """A server that answers only while it is told to; the requests that have reached it."""

    hangs: bool = False
    status: int = 204
    received: list[httpx.Request] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.received.append(request)
        if self.hangs:
            await asyncio.Event().wait()
        return httpx.Response(self.status)


@pytest.fixture
def receiver() -> OddReceiver:
    return OddReceiver()


@pytest.fixture
async def hooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receiver: OddReceiver
) -> AsyncIterator[Hooked]:
    def change(services: Services) -> Services:
        return replace(services, webhooks=WebhookSender(transport=StreamedAnswers(receiver)))

    async with running(tmp_path, monkeypatch, change=change) as world:
        yield Hooked(world, Receiver(), world.as_user("ada"))


async def test_a_receiver_that_hangs_is_given_up_and_its_other_messages_wait(
    hooked: Hooked, receiver: OddReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "ANSWER_SECONDS", 0.05)  # of real time
    receiver.hangs = True
    endpoint = await hooked.create()
    await hooked.run_job()
    async with asyncio.timeout(60):
        # The receiver's time is real.
        while not (  # noqa: ASYNC110 - as an outside client sees it
            delivery := (await hooked.deliveries(endpoint["endpointId"]))[0]
        )["tries"]:
            await asyncio.sleep(0.02)
    assert delivery["state"] == "pending"
    assert "did not answer within" in delivery["tries"][0]["error"]

    await hooked.run_job()
    assert len(receiver.received) == 1, "the second message did not wait"
    receiver.hangs = False
    # A busy machine takes longer for an answer that comes.
    monkeypatch.setattr(webhook_sender, "ANSWER_SECONDS", 30.0)
    await hooked.world.advance(80)
    states = [one["state"] for one in await hooked.deliveries(endpoint["endpointId"])]
    assert states == ["succeeded", "succeeded"]


async def test_the_address_that_was_checked_is_the_one_that_is_called(
    hooked: Hooked, receiver: OddReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try looks up once: what a name server says later is for the next try alone."""
    answers = [PUBLIC]
    asked: list[str] = []

    async def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        address = answers.pop(0) if answers else "127.0.0.1"
        return [(2, 1, 6, "", (address, 443))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    receiver.status = 500
    endpoint = await hooked.create(url=f"https://{NAME}/hooks")
    await hooked.run_job()
    (request,) = receiver.received
    assert (request.url.host, request.headers["host"]) == (PUBLIC, NAME)
    assert request.extensions["sni_hostname"] == NAME

    await hooked.world.advance(40)
    assert len(receiver.received) == 1, "a private address was called"
    (delivery,) = await hooked.deliveries(endpoint["endpointId"])
    assert delivery["tries"][0]["status"] == 500
    assert len(delivery["tries"]) > 3
    assert all("private address" in one["error"] for one in delivery["tries"][1:])
    assert len(asked) == len(delivery["tries"])
