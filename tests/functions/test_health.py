"""The health of the system: which parts are not well, why, and at what cost it is found out."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from functions.fake_providers import StartProviders
from functions.job_requests import IMAGE, expect_problem, image_request, submit_job
from simulation.world import World
from taskreel import store_collections
from taskreel.adapters.machine import _count_sockets, _read_network
from taskreel.app import health
from taskreel.app.health import REPORT_AGE
from taskreel.app.services import OperatorAlerts
from taskreel.domain.breaker import BreakerState
from taskreel.domain.health import Health, MachineFacts, Thresholds, judge_machine

HEALTH = "/api/jobs/health"
AGED = REPORT_AGE.total_seconds()


async def read_health(world: World, query: str = "") -> dict[str, Any]:
    answer = await world.api.get(f"{HEALTH}{query}")
    found: dict[str, Any] = answer.json()
    assert answer.status_code == (503 if found["status"] == "unhealthy" else 200)
    return found


def queue_of(found: dict[str, Any], job_type: str) -> dict[str, Any]:
    """The queue of a type's jobs of normal priority."""
    rows = [row for row in found["queues"] if row["jobType"] == job_type]
    return next((row for row in rows if row["queue"].endswith("-queue")), rows[0])


async def test_a_system_that_works_is_healthy_part_by_part(world: World) -> None:
    found = await read_health(world)
    assert (found["status"], found["reasons"]) == ("healthy", [])
    for part in ("store", "bucket", "queueService"):
        assert found[part]["status"] == "healthy"
        assert found[part]["latencyMs"] >= 0
    assert {row["status"] for row in found["queues"]} == {"healthy"}
    assert queue_of(found, "image-generation")["depth"] == 0
    assert found["providers"] != []
    assert found["thresholds"]["queueOldestSeconds"] == {"degraded": 300.0, "unhealthy": 1800.0}
    assert "machine" not in found


async def test_a_paused_queue_degrades_it_and_is_named(
    world: World, ada: httpx.AsyncClient
) -> None:
    queue = queue_of(await read_health(world), "image-generation")["queue"]
    await world.services.tasks.pause(queue)
    await submit_job(ada)
    await world.advance(AGED)
    found = await read_health(world)
    assert (found["status"], found["reasons"]) == ("degraded", [f"queue {queue}: it is paused"])
    row = queue_of(found, "image-generation")
    assert (row["paused"], row["depth"], row["status"]) == (True, 1, "degraded")


async def test_a_task_that_waits_too_long_makes_its_queue_degraded_then_unhealthy(
    world: World, ada: httpx.AsyncClient
) -> None:
    queue = queue_of(await read_health(world), "image-generation")["queue"]
    await world.services.tasks.pause(queue)
    await submit_job(ada)
    for seconds, status in ((301, "degraded"), (1500, "unhealthy")):
        await world.advance(seconds)
        found = await read_health(world)
        row = queue_of(found, "image-generation")
        assert row["status"] == status
        assert any("has been due for" in reason for reason in row["reasons"])
        assert row["oldestSeconds"] >= seconds
        # One queue that stands still leaves the others working.
        assert found["status"] == "degraded"


async def test_the_share_of_failed_jobs_counts_once_there_are_enough(
    world: World, ada: httpx.AsyncClient
) -> None:
    for count, status in ((5, "healthy"), (5, "unhealthy")):
        for _ in range(count):
            await submit_job(ada, image_request("fail-permanent"))
        await world.advance(61)
        row = queue_of(await read_health(world), "image-generation")
        assert (row["errorRate"], row["status"]) == (1.0, status)
    assert row["reasons"] == ["100% of the jobs of the last hour have failed"]


async def test_failures_that_the_request_explains_leave_it_healthy(
    world: World, ada: httpx.AsyncClient
) -> None:
    """A file that is no picture is its owner's fault; a provider that fails is not."""
    path = "/api/jobs/image-upscale"
    no_picture = {"imageUrl": "data:image/png;base64,bm9uZQ=="}
    for count, body, status in (
        (8, no_picture, "healthy"),
        (2, {**no_picture, "options": {"studio": {"mode": "fail-permanent"}}}, "degraded"),
    ):
        for _ in range(count):
            assert (await ada.post(path, json=body)).status_code == 202
        await world.advance(61)
        row = queue_of(await read_health(world), "image-upscale")
        assert (row["errorRate"], row["status"]) == (1.0, status), row
    assert row["reasons"] == ["20% of the jobs of the last hour have failed"]


async def test_an_hour_later_they_are_forgotten(world: World, ada: httpx.AsyncClient) -> None:
    for _ in range(10):
        await submit_job(ada, image_request("fail-permanent"))
    await world.advance(3700)
    row = queue_of(await read_health(world), "image-generation")
    assert (row["errorRate"], row["status"]) == (None, "healthy")


async def test_without_the_store_it_is_unhealthy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.services.store.close()
    monkeypatch.setattr(world.sqlite.file, "_path", "/dev/null/store.db")
    found = await read_health(world)
    assert found["status"] == "unhealthy"
    assert "store: it cannot be reached" in found["reasons"]
    assert found["store"] == {"status": "unhealthy", "latencyMs": None}
    assert found["bucket"]["status"] == "healthy"


async def test_a_store_that_hangs_is_waited_for_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe that waited for the time of the last sweep too would give up before the answer."""
    asked: list[object] = []

    async def hang(_store: object, collection: object, _id: str) -> None:
        asked.append(collection)
        await asyncio.Event().wait()

    monkeypatch.setattr(health, "_SECONDS", 0.05)
    monkeypatch.setattr(type(world.services.store), "get", hang)
    services = replace(world.services, alerts=OperatorAlerts())
    report = await health.HealthMonitor(services, MachineFacts).read_report()
    assert report.store.verdict.status is Health.UNHEALTHY
    assert asked == [store_collections.HEALTH]


async def test_without_the_bucket_it_is_degraded_and_says_no_more_than_it_must(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise OSError("a secret path")

    monkeypatch.setattr(type(world.services.blobs), "info", fail)
    answer = await world.api.get(HEALTH)
    assert answer.json()["reasons"] == ["bucket: it cannot be reached"]
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert "secret" not in answer.text


async def test_a_paused_provider_degrades_it(start_providers: StartProviders) -> None:
    world = (await start_providers("bfl")).world
    name = "bfl"
    model = world.services.providers.catalogue.list_models(name, world.now())[0]["name"]
    order = {"state": BreakerState.OPEN, "reason": "a test"}
    admin = world.as_user("root", role="admin")
    path = f"/api/providers/{name}/{model}/breaker"
    assert (await admin.post(path, json=order)).status_code == 200
    await world.advance(AGED)
    found = await read_health(world)
    (row,) = [row for row in found["providers"] if row["provider"] == name]
    assert model in row["pausedModels"]
    assert (found["status"], row["status"] != "healthy") == ("degraded", True)
    assert any(reason.startswith(f"provider {name}: paused") for reason in found["reasons"])


async def test_it_is_measured_once_in_some_seconds_for_all_callers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    store = type(world.services.store)
    get = store.get

    async def counted(self: Any, collection: Any, id_: str, /) -> Any:
        if collection.name == "health":  # the time of the last sweep is read once a minute
            asked.append(id_)
        return await get(self, collection, id_)

    monkeypatch.setattr(store, "get", counted)
    await asyncio.gather(*(read_health(world) for _ in range(20)))
    assert asked == ["probe"]
    await world.advance(AGED - 0.1)
    await read_health(world)
    assert asked == ["probe"]
    await world.advance(0.2)
    await read_health(world)
    assert asked == ["probe", "probe"]


async def test_a_deep_check_shows_admins_the_machine_and_others_its_status(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    path = "/api/jobs/health?deep=true"
    for client in (world.api, ada):
        assert (await client.get(path)).json()["machine"].keys() == {"status"}
    forged = world.as_user("root", role="admin", key="another-secret-of-32-letters-or-more")
    assert (await forged.get(path)).status_code == 401
    machine = (await admin.get(path)).json()["machine"]
    assert machine["status"] in {"healthy", "degraded", "unhealthy"}
    facts = machine["facts"]
    assert 0 < facts["processBytes"] < facts["memoryLimitBytes"]
    assert facts["cpuCount"] >= 1
    assert 0 < facts["diskBytes"] <= facts["diskLimitBytes"]
    counted = ("networkReceivedBytes", "networkSentBytes", "networkErrors", "openSockets")
    assert all(isinstance(facts[name], int) and facts[name] >= 0 for name in counted)


def test_the_network_is_that_of_all_interfaces_but_the_machine_itself(tmp_path: Path) -> None:
    file = tmp_path / "dev"
    file.write_text(
        "Inter-|   Receive                            |  Transmit\n"
        " face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop\n"
        "    lo: 900 9 9 9 0 0 0 0 900 9 9 9 0 0 0 0\n"
        "  eth0: 10 1 1 2 0 0 0 0 20 1 3 4 0 0 0 0\n"
        "  eth1: 100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n"
    )
    assert _read_network(file) == {
        "network_received_bytes": 110,
        "network_sent_bytes": 220,
        "network_errors": 10,
    }
    assert _read_network(tmp_path / "none") == {}


def test_the_open_sockets_of_the_process_are_counted() -> None:
    folder = Path("/proc/self/fd")
    before = _count_sockets(folder)
    assert before is not None
    first, second = socket.socketpair()
    with first, second:
        assert _count_sockets(folder) == before + 2


@pytest.mark.parametrize(
    ("memory", "disk", "status", "words"),
    [
        (50, 50, "healthy", []),
        (90, 50, "degraded", ["90% of its memory"]),
        (None, 98, "unhealthy", ["98% of its disk"]),
    ],
)
def test_memory_and_disk_have_thresholds(
    memory: int | None, disk: int, status: str, words: list[str]
) -> None:
    facts = MachineFacts(
        memory_bytes=memory,
        memory_limit_bytes=100,
        process_bytes=1,
        cpu_count=1,
        load_1m=0.5,
        disk_bytes=disk,
        disk_limit_bytes=100,
    )
    verdict = judge_machine(facts, Thresholds())
    assert verdict.status is Health(status)
    assert [reason.partition(" is in use")[0] for reason in verdict.reasons] == words


async def test_wrong_parameters_are_refused_by_name(world: World) -> None:
    for query, path in (("?deep=maybe", "deep"), ("?depp=true", "depp")):
        refused = expect_problem(await world.api.get(HEALTH + query), 422, "invalid_request")
        assert [error["path"] for error in refused["errors"]] == [path]


async def test_a_change_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    queue = queue_of(await read_health(world), "image-generation")["queue"]
    await world.services.tasks.pause(queue)
    for _ in range(3):
        await world.advance(AGED)
        await read_health(world)
    changes = [row for row in caplog.records if vars(row).get("action") == "health_changed"]
    assert [row.getMessage() for row in changes] == ["health is degraded"]
    assert IMAGE.rpartition("/")[2] in str(vars(changes[0])["reasons"])
