"""Jobs that are removed, ended or taken over between two steps of a use case."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, NOOP, image_request, read_job, submit_job
from simulation.world import World
from taskreel.app.caller import Caller
from taskreel.app.jobs import cancel, dependencies, retry
from taskreel.app.jobs.dependencies import unblock_if_ready
from taskreel.app.jobs.finish_job import cancel_in_transaction
from taskreel.app.jobs.job_store import require_lease
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.processor import Processor
from taskreel.domain.errors import LeaseLostError, NotFoundError
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status

ADA = Caller(user_id="ada")


async def test_a_job_that_is_removed_meanwhile_cannot_be_cancelled_or_retried(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await world.job((await submit_job(ada))["jobId"])

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
        await transaction(lambda tx: cancel_in_transaction(tx, "job_removed", world.now())) is None
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
