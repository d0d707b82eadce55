"""Endpoints that are refused, and what their owners alone may see."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    refused_paths,
    submit_job,
)
from functions.test_costs import Counting
from functions.webhook_receiver import (
    ENDPOINTS,
    URL,
    Hooked,
)
from simulation.world import running
from taskreel.ports import Query
from taskreel.store_collections import WEBHOOK_DELIVERIES


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hooks",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[fec0::1]/",
        "https://[64:ff9b:1::1]/",
        "https://[::127.0.0.1]/",
        "https://[::ffff:0:127.0.0.1]/",
        "https://localhost/",
        "https://user:secret@example.com/",
        "https://example.com/\r\nX-Evil: 1",
        "ftp://example.com/",
        "not a url",
    ],
)
async def test_an_address_that_is_not_public_https_is_refused(hooked: Hooked, url: str) -> None:
    assert refused_paths(await hooked.ada.post(ENDPOINTS, json={"url": url})) == {"url"}
    refused = await hooked.ada.post(IMAGE, json={**NOOP, "webhookUrl": url})
    assert refused_paths(refused) == {"webhookUrl"}


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1"])
async def test_the_refusal_of_a_local_address_names_the_setting_that_allows_it(
    hooked: Hooked, origin: str
) -> None:
    refused = await hooked.ada.post(ENDPOINTS, json={"url": f"{origin}/hooks"})
    assert refused_paths(refused) == {"url"}
    assert f"WEBHOOK_PRIVATE_ORIGINS={origin} " in refused.text


async def test_a_name_that_resolves_to_a_private_address_is_not_connected_to(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    monkeypatch.setattr("taskreel.adapters.public_addresses.resolve_host", resolve)
    endpoint = await hooked.create(url="https://inside.example.com/")
    await hooked.run_job()
    assert hooked.receiver.received == []
    (delivery,) = await hooked.deliveries(endpoint["endpointId"])
    assert "private address" in delivery["tries"][0]["error"]


async def test_endpoints_and_deliveries_of_others_are_not_shown(hooked: Hooked) -> None:
    endpoint = await hooked.create()
    await hooked.run_job()
    (delivery,) = await hooked.deliveries(endpoint["endpointId"])
    bob = hooked.world.as_user("bob")
    path = f"{ENDPOINTS}/{endpoint['endpointId']}"
    expect_problem(await bob.get(path), 404, "not_found")
    expect_problem(await bob.get(f"{path}/keys"), 404, "not_found")
    expect_problem(await bob.get(f"{path}/deliveries"), 404, "not_found")
    one = f"/api/webhook-deliveries/{delivery['deliveryId']}"
    expect_problem(await bob.get(one), 404, "not_found")
    expect_problem(await bob.post(f"{one}/redeliver"), 404, "not_found")


async def test_a_user_has_twenty_endpoints_at_most(hooked: Hooked) -> None:
    for _ in range(20):
        await hooked.create()
    expect_problem(await hooked.ada.post(ENDPOINTS, json={"url": URL}), 409, "conflict")


async def test_the_balance_does_not_show_endpoints(hooked: Hooked) -> None:
    await hooked.create()
    assert set(await hooked.read("/api/credits")) == {
        "userId",
        "available",
        "held",
        "captured",
        "granted",
    }


async def test_a_huge_answer_is_not_read_to_its_end(hooked: Hooked) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 1024

    endpoint = await hooked.create()
    hooked.receiver.answer = lambda _request: httpx.Response(200, content=endless())
    await hooked.run_job()
    (delivery,) = await hooked.deliveries(endpoint["endpointId"])
    assert delivery["state"] == "succeeded"
    assert len(delivery["tries"][0]["body"]) == 2048
    assert read <= 3


async def test_a_webhook_costs_a_job_one_write_a_event_and_no_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for hook in ({}, {"webhookUrl": URL}):
        counters: list[Counting] = []

        def wrap(store: Any, into: list[Counting] = counters) -> Any:
            into.append(Counting(store))
            return into[0]

        async with running(tmp_path, monkeypatch, wrap=wrap) as world:
            await world.tasks.pause("webhook-processing")
            await submit_job(world.as_user("ada"), {**NOOP, **hook})
            await world.advance(5)
            counts.append((counters[0].reads, counters[0].writes))
            rows = await world.services.store.aggregate(Query(collection=WEBHOOK_DELIVERIES))
            assert rows["count"] == len(hook)
    (reads, writes), (hooked_reads, hooked_writes) = counts
    assert (hooked_reads - reads, hooked_writes - writes) == (0, 1)
