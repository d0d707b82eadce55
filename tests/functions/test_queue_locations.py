"""Administrators drain a location of the queues and resume it; the order is stored and audited."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from simulation.world import World
from taskreel.app.queues.drain_location import list_drained
from taskreel.app.queues.pause_queue import restore_pauses
from taskreel.ports import Query, QueueStats
from taskreel.store_collections import AUDIT

PATH = "/api/jobs/queues/locations"
FIRST, SECOND = "europe-central2", "europe-west1"


@pytest.fixture
def located(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Queues in two locations: those in memory have none."""
    monkeypatch.setattr(world.tasks, "list_locations", lambda: (FIRST, SECOND))
    return world


async def send_order(client: httpx.AsyncClient, location: str, act: str) -> dict[str, Any]:
    answer = await client.post(f"{PATH}/{location}/{act}", json={"reason": "maintenance"})
    return {"status": answer.status_code, **answer.json()}


async def test_a_drained_location_is_stored_listed_and_audited_once(
    located: World, admin: httpx.AsyncClient
) -> None:
    store = located.services.store
    for _ in range(2):
        found = await send_order(admin, FIRST, "drain")
        assert (found["drained"], found["orderedBy"], found["reason"]) == (
            True,
            "root",
            "maintenance",
        )
    assert list(await list_drained(store)) == [FIRST]
    listed = (await admin.get(PATH)).json()["locations"]
    assert [(one["location"], one["drained"], one["depth"]) for one in listed] == [
        (FIRST, True, 0),
        (SECOND, False, 0),
    ]
    await located.advance(1)
    assert not (await send_order(admin, FIRST, "resume"))["drained"]
    assert list(await list_drained(store)) == []
    rows = sorted(await store.query(Query(collection=AUDIT)), key=lambda row: row.value.at)
    assert [row.value.action for row in rows] == ["location drained", "location resumed"]


@pytest.mark.usefixtures("located")
async def test_the_last_location_cannot_be_drained(admin: httpx.AsyncClient) -> None:
    await send_order(admin, SECOND, "drain")
    refused = await send_order(admin, FIRST, "drain")
    assert refused["status"] == 409
    assert "only location that gets tasks" in refused["detail"]


async def test_queues_in_memory_have_no_location_to_drain(admin: httpx.AsyncClient) -> None:
    assert (await admin.get(PATH)).json() == {"locations": []}
    refused = await send_order(admin, FIRST, "drain")
    assert refused["status"] == 404
    assert "memory of a process, which has no location" in refused["detail"]


@pytest.mark.usefixtures("located")
async def test_the_refusal_of_an_unknown_location_names_those_there_are(
    admin: httpx.AsyncClient,
) -> None:
    refused = await send_order(admin, "mars-north1", "drain")
    assert refused["status"] == 404
    assert "'mars-north1'" in refused["detail"]
    assert f"they have {FIRST}, {SECOND}." in refused["detail"]
    assert "infra/queues.yaml" in refused["detail"]


async def test_a_drained_location_is_no_paused_queue(
    located: World, admin: httpx.AsyncClient
) -> None:
    await send_order(admin, FIRST, "drain")
    assert await restore_pauses(located.services) == []


async def test_the_health_check_names_a_location_that_does_not_answer(
    located: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = located.tasks.stats

    async def read_one_location(queue: str) -> QueueStats:
        stats = await read(queue)
        return replace(stats, locations={FIRST: None, SECOND: stats})

    monkeypatch.setattr(located.tasks, "stats", read_one_location)
    report = (await located.api.get("/api/jobs/health")).json()
    assert report["status"] == "degraded"
    assert f"queue service: {FIRST} cannot be reached; tasks go elsewhere" in report["reasons"]
