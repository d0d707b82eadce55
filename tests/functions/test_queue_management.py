"""Queue management: pausing, resuming and clearing the queue of a job type."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    expect_problem,
    image_request,
    read_balance,
    read_job,
    submit_job,
)
from functions.stored_documents import read_documents, store_documents
from simulation.world import World
from taskreel.app.queues import clear_queue
from taskreel.app.queues.pause_queue import restore_pauses
from taskreel.app.services import Services
from taskreel.domain.job import Job
from taskreel.ports import Query
from taskreel.store_collections import AUDIT

QUEUE = "/api/jobs/queues/image-generation"


async def order(client: httpx.AsyncClient, action: str, reason: str = "") -> dict[str, Any]:
    method = "DELETE" if action == "clear" else "POST"
    answer = await client.request(method, f"{QUEUE}/{action}", json={"reason": reason})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def audited(world: World) -> list[tuple[str, str, str]]:
    rows = await world.services.store.query(Query(collection=AUDIT))
    entries = sorted((row.value for row in rows), key=lambda entry: entry.at)
    return [(entry.action, entry.user_id, entry.reason) for entry in entries]


async def test_a_paused_queue_starts_no_job_until_it_is_resumed(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    found = await order(admin, "pause", "maintenance")
    assert (found["paused"], found["orderedBy"], found["reason"]) == (True, "root", "maintenance")
    job = await submit_job(ada)
    await world.advance(60)
    assert (await read_job(ada, job))["status"] == "QUEUED"
    assert (await order(admin, "resume"))["paused"] is False
    await world.settle()
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_each_change_of_a_queue_is_audited_once(
    world: World, admin: httpx.AsyncClient
) -> None:
    await order(admin, "resume")  # it runs already
    for action in ("pause", "pause", "resume", "resume"):
        await order(admin, action, "night")
        await world.advance(1)
    assert await audited(world) == [
        ("queue paused", "root", "night"),
        ("queue resumed", "root", "night"),
    ]


async def test_a_pause_survives_a_restart_of_queues_in_memory(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await order(admin, "pause")
    await world.tasks.resume("image-generation-queue")  # as a new process has it
    assert await restore_pauses(world.services) == ["image-generation-queue"]
    job = await submit_job(ada)
    await world.advance(10)
    assert (await read_job(ada, job))["status"] == "QUEUED"
    await order(admin, "resume")
    assert await restore_pauses(world.services) == []


async def test_clearing_cancels_what_waits_with_a_refund_and_leaves_what_runs(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    running = await submit_job(ada, image_request("pending", times=1, seconds=30))
    done = await submit_job(ada)
    await world.settle()
    await order(admin, "pause")
    waiting = [await submit_job(ada) for _ in range(3)]
    later = (world.now() + timedelta(hours=1)).isoformat()
    waiting.append(await submit_job(ada, {**image_request("noop"), "scheduleAt": later}))
    other = await submit_job(ada, {"text": "Hello"}, "/api/jobs/audio-synthesis")
    before = await read_balance(ada)

    cleared = await order(admin, "clear", "poison")
    assert cleared == {
        "queue": "image-generation-queue",
        "dryRun": False,
        "cancelled": 4,
        "running": 0,
        "refunded": 4,
        "more": False,
    }
    after = await read_balance(ada)
    assert after["available"] == before["available"] + 4
    assert {(await read_job(ada, job))["status"] for job in waiting} == {"CANCELLED"}
    assert (await read_job(ada, done))["status"] == "COMPLETED"
    assert ("queue cleared: 4 jobs cancelled", "root", "poison") in await audited(world)

    await order(admin, "resume")
    await world.advance(60)
    assert {(await read_job(ada, job))["status"] for job in (running, other)} == {"COMPLETED"}
    assert (await order(admin, "clear"))["cancelled"] == 0


async def test_a_job_of_more_than_a_page_is_cleared_too(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.app.queues.clear_queue._PAGE", 3)
    monkeypatch.setattr("taskreel.app.queues.clear_queue.MOST_CLEARED", 6)
    await order(admin, "pause")
    for _ in range(8):
        await submit_job(ada)
    first, second = await order(admin, "clear"), await order(admin, "clear")
    assert (first["cancelled"], first["more"]) == (6, True)
    assert (second["cancelled"], second["more"]) == (2, False)
    assert (await read_balance(ada))["held"] == 0


async def test_a_running_pipeline_goes_on_although_its_tasks_are_purged(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    movie = {"prompt": "A fox", "numSequences": 2, "options": {"width": 64, "height": 64}}
    running = await submit_job(ada, movie, "/api/jobs/movie-creation")
    await world.advance(1)
    await admin.post("/api/jobs/queues/movie-creation/pause")
    waiting = await submit_job(ada, movie, "/api/jobs/movie-creation")
    cleared = (await admin.delete("/api/jobs/queues/movie-creation/clear")).json()
    assert (cleared["cancelled"], cleared["running"]) == (1, 0)
    assert (await read_job(ada, waiting))["status"] == "CANCELLED"
    waits = {task.job_id for task in world.queued_tasks() if task.queue == "movie-creation-queue"}
    assert waits == {running["jobId"]}
    # A check that is named for the same two seconds as a purged one would wait for the sweep.
    await world.advance(3)
    await admin.post("/api/jobs/queues/movie-creation/resume")
    await world.advance(60)
    assert (await read_job(ada, running))["status"] == "COMPLETED"


async def test_only_admins_manage_queues(ada: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    for method, action in (("POST", "pause"), ("POST", "resume"), ("DELETE", "clear")):
        expect_problem(await ada.request(method, f"{QUEUE}/{action}"), 403, "forbidden")
    unknown = await admin.post("/api/jobs/queues/nothing/pause")
    expect_problem(unknown, 404, "not_found")
    assert (await admin.post("/api/jobs/queues/IMAGE_GENERATION/pause")).status_code == 200


async def test_a_job_that_begins_while_the_queue_is_cleared_and_an_unreadable_one_go_on(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await order(admin, "pause")
    damaged, begins, waits = [await submit_job(ada) for _ in range(3)]
    documents = await read_documents(world)
    documents["jobs"][damaged["jobId"]]["units"] = "three"
    await store_documents(world, documents)
    cancel = clear_queue._cancel_waiting_job

    async def begin_meanwhile(services: Services, job_id: str, by: str) -> Job | None:
        if job_id == begins["jobId"]:
            assert (await world.process(job_id)).status_code == 200
        return await cancel(services, job_id, by)

    monkeypatch.setattr(clear_queue, "_cancel_waiting_job", begin_meanwhile)
    cleared = await order(admin, "clear")
    assert (cleared["cancelled"], cleared["running"], cleared["refunded"]) == (1, 2, 1)
    assert (await read_job(ada, begins))["status"] == "COMPLETED"
    assert (await read_job(ada, waits))["status"] == "CANCELLED"
    # The task of the unreadable job was purged: the sweep reports it until it is repaired.
    assert await world.sweep() == {}
    await world.advance(200)
    assert await world.sweep() == {"crashed": 1}


async def test_each_job_that_goes_on_gets_a_new_task_page_by_page(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.app.queues.clear_queue._PAGE", 2)
    running = [
        await submit_job(ada, image_request("pending", times=1, seconds=30)) for _ in range(5)
    ]
    await world.settle()
    await order(admin, "pause")
    await submit_job(ada)
    assert (await order(admin, "clear"))["cancelled"] == 1
    waits = {task.job_id for task in world.queued_tasks()}
    assert waits == {job["jobId"] for job in running}
    await order(admin, "resume")
    await world.advance(60)
    assert {(await read_job(ada, job))["status"] for job in running} == {"COMPLETED"}
