"""States that few jobs reach: crashes after the end, unreadable documents, queues out of reach."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    BATCH,
    NOOP,
    batch_request,
    expect_problem,
    image_request,
    refused_paths,
    submit_job,
)
from functions.stored_documents import store_documents
from simulation.world import World
from taskreel.app.erasure.erase_jobs import is_job_over, remove_jobs
from taskreel.app.jobs.crashes import record_crash
from taskreel.app.jobs.done_work import find_done_units
from taskreel.app.projects import members
from taskreel.app.webhooks.job_deliveries import find_job_deliveries
from taskreel.app.worker.processor import _log_unstored_units
from taskreel.domain.errors import QueueError
from taskreel.domain.job import Job
from taskreel.domain.unit import UnitRun, UnitState
from taskreel.jobtypes import find_job_type
from taskreel.ports import Query
from taskreel.store_collections import JOBS, WEBHOOK_DELIVERIES

PROJECTS = "/api/projects"


async def complete_job(world: World, client: httpx.AsyncClient, **fields: Any) -> Job:
    submitted = await submit_job(client, {**NOOP, **fields})
    await world.settle()
    return await world.job(submitted["jobId"])


# ── Crashes ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_crash_of_a_job_that_is_gone_or_over_is_counted_on_none(
    world: World, ada: httpx.AsyncClient
) -> None:
    assert await record_crash(world.services, "job_unknown", ZeroDivisionError()) is None
    ended = await complete_job(world, ada)
    assert await record_crash(world.services, ended.job_id, ZeroDivisionError()) is None
    assert await world.job(ended.job_id) == ended
    # One whose clean-up crashes is cleaned up later.
    await world.put(ended.model_copy(update={"wake_at": world.now()}))
    assert await record_crash(world.services, ended.job_id, ZeroDivisionError()) is None
    later = (await world.job(ended.job_id)).wake_at
    assert later is not None
    assert later > world.now()


async def test_bought_work_that_cannot_be_stored_is_named_to_an_operator(
    world: World, ada: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    ended = await complete_job(world, ada)
    (done,) = ended.units
    todo = UnitRun(credits=1, provider="bfl")
    before = ended.model_copy(update={"units": (todo, todo)})
    running = UnitRun(credits=1, state=UnitState.RUNNING, provider="bfl", operation={"id": "op_1"})
    _log_unstored_units(before, [done, running])
    (record,) = [one for one in caplog.records if one.levelname == "CRITICAL"]
    bought: list[dict[str, Any]] = record.units  # type: ignore[attr-defined]  # of `extra`
    assert [one["unit"] for one in bought] == [0, 1]
    assert bought[0]["artifacts"] == [one.path for one in done.artifacts]
    assert bought[1]["operation"] == {"id": "op_1"}
    caplog.clear()
    _log_unstored_units(before, before.units)
    assert caplog.records == []


# ── Unreadable documents ─────────────────────────────────────────────────────────────────────────


async def test_an_unreadable_job_of_an_erased_user_is_erased_with_the_others(
    world: World, ada: httpx.AsyncClient
) -> None:
    ended = await complete_job(world, ada)
    odd = {**JOBS.encode(ended), "jobId": "job_odd", "units": "none"}
    await store_documents(world, {JOBS.name: {"job_odd": odd}})
    pages = [page async for page in remove_jobs(world.services, "ada")]
    assert {job_id for over, *_ in pages for job_id in over} == {ended.job_id, "job_odd"}
    assert await world.services.store.transaction(lambda tx: is_job_over(tx, "job_odd"))


async def test_an_unreadable_delivery_is_omitted_from_those_of_a_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    await world.tasks.pause("webhook-processing")
    ended = await complete_job(world, ada, webhookUrl="https://93.184.216.34/hook")
    (delivery,) = await find_job_deliveries(world.services, ended)
    data = {**WEBHOOK_DELIVERIES.encode(delivery), "createdAt": "yesterday"}
    await store_documents(world, {WEBHOOK_DELIVERIES.name: {delivery.delivery_id: data}})
    rows = await world.services.store.query(Query(collection=WEBHOOK_DELIVERIES))
    assert [row.id for row in rows] == [delivery.delivery_id]
    assert await find_job_deliveries(world.services, ended) == []


async def test_only_units_of_the_same_type_and_a_readable_request_are_taken_over(
    world: World, ada: httpx.AsyncClient
) -> None:
    submitted = await submit_job(ada, batch_request(2), BATCH)
    await world.settle()
    former = await world.job(submitted["jobId"])
    batch = find_job_type("batch-generation")
    request = batch.submission.load_stored(former.payload)
    assert set(find_done_units(batch, request, former)) == {0, 1}
    other = former.model_copy(update={"job_type": "image-generation"})
    assert find_done_units(batch, request, other) == {}
    unreadable = former.model_copy(update={"payload": {"prompts": 7}})
    assert find_done_units(batch, request, unreadable) == {}


# ── Queues out of reach ──────────────────────────────────────────────────────────────────────────


async def test_statistics_and_health_answer_while_the_queues_are_out_of_reach(
    world: World, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> Any:
        raise QueueError("Cloud Tasks cannot be reached")

    monkeypatch.setattr(world.tasks, "stats", fail)
    statistics = await admin.get("/api/jobs/stats")
    assert statistics.status_code == 200, statistics.text
    assert '"paused":true' not in statistics.text
    health = await admin.get("/api/jobs/health")
    assert "unhealthy" in json.dumps(health.json()).lower()


# ── Projects and operations ──────────────────────────────────────────────────────────────────────


async def test_a_project_has_a_valid_id_and_a_bounded_number_of_members(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = await admin.post(PROJECTS, json={"name": "x", "projectId": "not an id!"})
    assert refused_paths(refused) == {"projectId"}
    project = (await ada.post(PROJECTS, json={"name": "x"})).json()["projectId"]
    absent = await ada.delete(f"{PROJECTS}/{project}/members/bob")
    expect_problem(absent, 404, "not_found")
    monkeypatch.setattr(members, "MOST_MEMBERS", 1)
    full = await ada.put(f"{PROJECTS}/{project}/members/bob", json={"role": "viewer"})
    assert full.status_code == 409, full.text
    assert "1 members, which is the limit" in full.json()["detail"]


async def test_a_quote_knows_that_a_grant_has_ended(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    end = (world.now() + timedelta(days=1)).isoformat()
    granted = await admin.post("/api/credits/ada/grants", json={"amount": 5, "expiresAt": end})
    assert granted.status_code == 201, granted.text

    async def read_available() -> int:
        path = "/api/jobs/image-generation?validateOnly=true"
        answer = await ada.post(path, json=image_request("noop"))
        available: int = answer.json()["credits"]["available"]
        return available

    before = await read_available()
    await world.advance(2 * 86_400)
    assert await read_available() == before - 5
