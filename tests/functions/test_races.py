"""Jobs that are removed, ended or taken over between two steps of a use case."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, NOOP, image_request, read_balance, read_job, submit_job
from simulation.world import World
from taskreel.app.caller import Caller
from taskreel.app.jobs import cancel, dependencies, remove, retry
from taskreel.app.jobs.dependencies import unblock_if_ready
from taskreel.app.jobs.finish_job import cancel_in_transaction
from taskreel.app.jobs.job_store import require_lease
from taskreel.app.jobs.replay import prepare_replay
from taskreel.app.services import Rules
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.processor import Processor
from taskreel.domain.errors import LeaseLostError, NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState

ADA = Caller(user_id="ada")


async def test_a_job_that_is_removed_meanwhile_cannot_be_cancelled_or_retried(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await world.job((await submit_job(ada))["jobId"])
    stored = found.model_copy(update={"job_id": "job_removed"})

    async def find(*_: Any, **__: Any) -> Job:
        return stored

    for module in (cancel, retry):
        monkeypatch.setattr(module, "find_job_to_change", find)
    with pytest.raises(NotFoundError, match="job_removed"):
        await cancel.cancel_job(world.services, ADA, "job_removed", "image-generation")
    with pytest.raises(NotFoundError, match="job_removed"):
        await retry.retry_job(world.services, ADA, "job_removed", "image-generation")


async def test_an_unknown_job_is_neither_unblocked_nor_held_nor_cancelled(
    world: World, ada: httpx.AsyncClient
) -> None:
    stored = await world.job((await submit_job(ada))["jobId"])
    removed = stored.model_copy(update={"job_id": "job_removed"})
    transaction = world.services.store.transaction
    assert await unblock_if_ready(world.services, "job_removed") is None
    assert (
        await transaction(lambda tx: cancel_in_transaction(Rules(), tx, "job_removed", world.now()))
        is None
    )
    with pytest.raises(LeaseLostError):
        await transaction(lambda tx: require_lease(tx, removed))


async def test_a_stopped_run_does_not_touch_a_job_that_was_taken_over(
    world: World, ada: httpx.AsyncClient
) -> None:
    world.cut_off = True
    job = await submit_job(ada, image_request("slow", seconds=60))
    processor = Processor(world.services)
    await world.advance(0.5)
    run = asyncio.create_task(processor.process_task(job["jobId"]))
    await world.advance(1)
    held = await world.job(job["jobId"])
    assert held.status is Status.PROCESSING
    taken = held.with_changes(world.now(), fence=held.fence + 1)
    await world.put(taken)
    await processor.stop()
    assert await run is Answer.BUSY
    assert await world.job(job["jobId"]) == taken


async def test_a_blocked_job_that_is_cancelled_while_it_is_prepared_stays_cancelled(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await submit_job(ada, image_request("slow", seconds=5))
    second = await submit_job(ada, {**NOOP, "dependsOn": [{"jobId": first["jobId"]}]})
    assert second["status"] == "BLOCKED"
    await world.advance(2)

    prepare = dependencies._prepare_job

    async def and_cancel(*given: Any) -> Job:
        ready = await prepare(*given)
        assert (await ada.delete(second["urls"]["cancel"])).status_code == 200
        return ready

    monkeypatch.setattr(dependencies, "_prepare_job", and_cancel)
    await world.advance(10)
    assert (await read_job(ada, first))["status"] == "COMPLETED"
    assert (await read_job(ada, second))["status"] == "CANCELLED"


async def test_a_blocked_job_that_is_cancelled_while_it_fails_stays_cancelled(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await submit_job(ada, image_request("fail-permanent"))
    second = await submit_job(ada, {**NOOP, "dependsOn": [{"jobId": first["jobId"]}]}, IMAGE)
    fail = dependencies._fail_blocked_job

    async def after_cancel(*given: Any) -> Job:
        assert (await ada.delete(second["urls"]["cancel"])).status_code == 200
        return await fail(*given)

    monkeypatch.setattr(dependencies, "_fail_blocked_job", after_cancel)
    await world.advance(5)
    assert (await read_job(ada, first))["status"] == "FAILED"
    assert (await read_job(ada, second))["status"] == "CANCELLED"


# ── A replay, and the removal of its original ────────────────────────────────────────────────────


async def test_a_replay_that_begins_while_its_original_is_removed_stops_the_removal(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = await fail_half_done(world, ada)
    find_replay = remove.find_replay

    async def find_then_replay(*given: Any) -> str | None:
        found = await find_replay(*given)
        monkeypatch.setattr(remove, "find_replay", find_replay)
        answer = await ada.post(original["urls"]["replay"], json={})
        assert answer.status_code == 202
        return found

    monkeypatch.setattr(remove, "find_replay", find_then_replay)
    refused = await ada.delete(original["urls"]["cancel"])
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "Delete it again" in refused.json()["detail"]
    again = await ada.delete(original["urls"]["cancel"])
    assert "is a replay of this one and uses its files" in again.json()["detail"]


async def test_a_replay_whose_original_was_removed_meanwhile_makes_no_job_and_holds_nothing(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = await fail_half_done(world, ada)

    async def prepare_then_remove(*given: Any) -> Any:
        prepared = await prepare_replay(*given)
        assert (await ada.delete(original["urls"]["cancel"])).status_code == 204
        return prepared

    monkeypatch.setattr("taskreel.web.jobs.prepare_replay", prepare_then_remove)
    answer = await ada.post(original["urls"]["replay"], json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "has just been deleted" in answer.json()["detail"]
    assert (await read_balance(ada))["held"] == 0
    assert (await ada.get("/api/jobs")).json()["jobs"] == []


async def test_no_replay_begins_between_the_commits_of_a_large_removal(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = {name: {"type": "image-generation", "payload": image_request("noop")} for name in "abc"}
    original = await submit_job(ada, {"steps": steps}, "/api/jobs/pipeline")
    await world.advance(60)
    monkeypatch.setattr(remove, "_REMOVED_AT_ONCE", 1)
    store = world.services.store
    transaction = store.transaction
    commits, replays = 0, []

    async def commit_then_replay(write: Any) -> Any:
        nonlocal commits
        result = await transaction(write)
        commits += 1
        if commits == 2:  # the first of the removal's commits that deletes
            answer = await ada.post(original["urls"]["replay"], json={})
            replays.append(answer.status_code)
        return result

    monkeypatch.setattr(store, "transaction", commit_then_replay)
    assert (await ada.delete(original["urls"]["cancel"])).status_code == 204
    assert replays == [404]
    assert (await ada.get("/api/jobs")).json()["jobs"] == []


async def fail_half_done(world: World, client: httpx.AsyncClient) -> dict[str, Any]:
    """A batch that failed with one of its pictures made: its replay takes that one over."""
    body = {"prompts": ["a", "b"], "options": {"studio": {"mode": "noop"}}}
    job = await submit_job(client, body, "/api/jobs/batch-generation")
    await world.settle()
    stored = await world.job(job["jobId"])
    units = (stored.units[0], stored.units[1].with_changes(state=UnitState.FAILED))
    await world.put(stored.model_copy(update={"status": Status.FAILED, "units": units}))
    return await read_job(client, job)
