"""A removal that broke off: nothing uses the rest of the job, and the sweep has it removed."""

from __future__ import annotations

import itertools
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest

from functions.fake_providers import KITE, StartProviders
from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    read_balance,
    submit_job,
)
from functions.pipeline_requests import jobs_of
from functions.stored_documents import store_documents
from functions.test_audit import audit
from functions.test_remove import FAILING, PICTURE, PIPELINE, STEPS, remove
from simulation.world import World
from taskreel.adapters.local.files import FileBlobs
from taskreel.app.audit.job_rules import Rule
from taskreel.app.jobs import earlier_requests
from taskreel.app.jobs import remove as remove_module
from taskreel.app.jobs.result_cache import look_up_result
from taskreel.domain.errors import StoreError
from taskreel.domain.unit import UnitState
from taskreel.ports import Query
from taskreel.store_collections import JOBS


async def break_off_removal(client: httpx.AsyncClient, job: dict[str, Any], *, at: int = 0) -> None:
    """Have the job removed until `at` batches of documents are deleted, and the store is away."""
    delete, batches = remove_module._delete_documents, itertools.count()

    async def fail(*given: Any) -> None:
        if next(batches) >= at:
            raise StoreError("the store is away")
        await delete(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remove_module, "_delete_documents", fail)
        expect_problem(await remove(client, job), 503, "store_unavailable")


async def sweep_once(world: World) -> None:
    """Let the time come at which a removal that broke off is due, and sweep."""
    await world.advance(remove_module.RESUMED_AFTER.total_seconds() + 1)
    await world.sweep()
    await world.advance(5)


async def list_all_files(world: World) -> list[str]:
    return [str(path) for path in world.files.find_path("artifacts/x").parent.glob("*/*")]


async def test_a_removal_that_broke_off_is_done_by_the_next_sweep(
    world: World, ada: httpx.AsyncClient
) -> None:
    key = {"idempotency-key": "order-19"}
    job = (await ada.post(PIPELINE, json=STEPS, headers=key)).json()
    await world.advance(60)
    await break_off_removal(ada, job)
    assert (await audit(world, with_files=True)).violations == []
    # What is below it would outlive it otherwise, where a time to live removes it first.
    assert all(child.is_being_removed for child in await jobs_of(world, job["jobId"]))
    await sweep_once(world)
    assert not await world.services.store.query(Query(collection=JOBS))
    assert not await list_all_files(world)
    assert (await ada.post(PIPELINE, json=STEPS, headers=key)).status_code == 202
    await world.advance(60)


async def test_the_files_of_a_large_pipeline_whose_removal_broke_off_are_removed_too(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.app.jobs.remove._REMOVED_AT_ONCE", 2)
    step = {"type": "image-generation", "payload": PICTURE}
    steps = {"steps": dict.fromkeys(("one", "two", "three", "four", "five"), step)}
    pipeline = await submit_job(ada, steps, PIPELINE)
    await world.advance(30)
    await break_off_removal(ada, pipeline, at=1)
    assert len(await world.services.store.query(Query(collection=JOBS))) == 4
    await sweep_once(world)
    assert not await world.services.store.query(Query(collection=JOBS))
    assert not await list_all_files(world)


async def test_a_removal_that_broke_off_waits_for_another_one_that_goes_on(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = (await ada.post(IMAGE, json=PICTURE, headers={"idempotency-key": "order-20"})).json()
    await world.advance(5)
    await break_off_removal(ada, job)
    delete, answers = FileBlobs.delete, []

    async def ask_meanwhile(blobs: FileBlobs, prefix: str, /) -> int:
        monkeypatch.setattr(FileBlobs, "delete", delete)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(remove_module, "_delete_documents", AsyncMock(side_effect=StoreError("")))
            answers.append((await remove(ada, job)).status_code)
        return await delete(blobs, prefix)

    monkeypatch.setattr(FileBlobs, "delete", ask_meanwhile)
    await sweep_once(world)
    assert answers == [503]
    assert "removal_waits" in {getattr(one, "action", "") for one in caplog.records}
    await world.advance(300)
    await world.sweep()
    await world.advance(5)
    expect_problem(await ada.get(job["urls"]["self"]), 404, "not_found")


async def test_a_job_that_is_being_removed_answers_no_request_of_its_key(
    world: World, ada: httpx.AsyncClient
) -> None:
    key = {"idempotency-key": "order-21"}
    job = (await ada.post(IMAGE, json=PICTURE, headers=key)).json()
    await world.advance(5)
    await break_off_removal(ada, job)
    for body in (PICTURE, {**PICTURE, "cacheSeconds": 60}, NOOP):
        refused = expect_problem(await ada.post(IMAGE, json=body, headers=key), 409, "conflict")
        assert refused["jobId"] == job["jobId"]
    assert (await read_balance(ada))["held"] == 0
    await sweep_once(world)
    made = await ada.post(IMAGE, json=NOOP, headers=key)
    assert (made.status_code, made.json()["jobId"]) == (202, job["jobId"])
    await world.advance(5)


@pytest.mark.parametrize(
    "body", [PICTURE, {**PICTURE, "cacheSeconds": 600}], ids=["plain", "asking"]
)
async def test_a_cached_job_that_is_being_removed_answers_no_key_any_more(
    world: World, ada: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    asked, key = {**PICTURE, "cacheSeconds": 600}, {"idempotency-key": "order-22"}
    job = (await ada.post(IMAGE, json=asked)).json()
    await world.advance(5)
    hit = await ada.post(IMAGE, json=asked, headers=key)
    assert hit.json()["jobId"] == job["jobId"]
    await break_off_removal(ada, job)
    made = await ada.post(IMAGE, json=body, headers=key)
    assert made.status_code == 202
    assert made.json()["jobId"] != job["jobId"]
    await world.advance(5)
    assert (await ada.post(IMAGE, json=body, headers=key)).json()["jobId"] == made.json()["jobId"]
    assert (await read_balance(ada))["captured"] == 2


async def test_an_equal_request_does_not_answer_with_a_job_that_is_being_removed(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked the id up before another one made that job, and the job was removed since."""
    asked = {**PICTURE, "cacheSeconds": 600}

    async def make_meanwhile(*given: Any) -> Any:
        monkeypatch.setattr(earlier_requests, "look_up_result", look_up_result)
        found = await look_up_result(*given)
        job = (await ada.post(IMAGE, json=asked)).json()
        await world.advance(5)
        await break_off_removal(ada, job)
        return found

    monkeypatch.setattr(earlier_requests, "look_up_result", make_meanwhile)
    expect_problem(await ada.post(IMAGE, json=asked), 409, "conflict")
    made = await ada.post(IMAGE, json=asked)
    assert (made.status_code, "cachedSeconds" in made.json()) == (202, False)
    await world.advance(5)


async def test_a_pipeline_is_not_removed_while_an_operation_of_a_step_is_being_cancelled(
    world: World, ada: httpx.AsyncClient
) -> None:
    pipeline = await submit_job(ada, STEPS, PIPELINE)
    await world.advance(30)
    child, _ = await jobs_of(world, pipeline["jobId"])
    running = child.units[0].with_changes(state=UnitState.RUNNING, operation={"id": "op-1"})
    await world.put(child.with_changes(world.now(), units=(running,), wake_at=world.now()))
    refused = expect_problem(await remove(ada, pipeline), 409, "conflict")
    assert child.job_id in refused["detail"]
    await world.put(child)
    assert (await remove(ada, pipeline)).status_code == 204


async def test_a_pipeline_with_a_step_that_cannot_be_read_is_removed(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = (await ada.post(PIPELINE, json=STEPS, headers={"idempotency-key": "order-23"})).json()
    await world.advance(60)
    child, _ = await jobs_of(world, job["jobId"])
    odd = {**JOBS.encode(child), "units": "none"}
    await store_documents(world, {JOBS.name: {child.job_id: odd}})
    assert (await remove(ada, job)).status_code == 204
    assert not await world.services.store.query(Query(collection=JOBS))


async def test_an_operation_that_comes_late_is_cancelled_before_the_removal_goes_on(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run of an ended job may store its provider's answer when the removal has begun."""
    setup = await start_providers("bfl")
    world, ada, cancelled = setup.world, setup.user(), []

    async def cancel(operation: Any) -> None:
        cancelled.append(operation)

    monkeypatch.setattr(world.services.providers.get("bfl"), "cancel", cancel)
    job = (await ada.post(IMAGE, json=KITE, headers={"idempotency-key": "order-24"})).json()
    await world.advance(1)
    assert (await remove(ada, job)).json()["status"] == "CANCELLED"
    await world.advance(60)
    ended = await world.job(job["jobId"])
    await break_off_removal(ada, job)
    marked = await world.job(job["jobId"])
    late = ended.units[0].with_changes(state=UnitState.RUNNING, operation={"id": "op-late"})
    await world.put(marked.with_changes(world.now(), units=(late,)))
    await sweep_once(world)
    assert cancelled[-1] == {"id": "op-late"}
    await sweep_once(world)
    expect_problem(await ada.get(job["urls"]["self"]), 404, "not_found")


async def test_the_audit_finds_and_repairs_a_removal_that_nothing_goes_on_with(
    world: World, ada: httpx.AsyncClient
) -> None:
    """An earlier release left those to the store, which removes the document alone."""
    job = (await ada.post(PIPELINE, json=STEPS, headers={"idempotency-key": "order-25"})).json()
    await world.advance(60)
    await break_off_removal(ada, job)
    asleep = (await world.job(job["jobId"])).with_changes(world.now(), wake_at=None)
    await world.put(asleep)
    (found,) = (await audit(world)).violations
    assert (found.rule, found.subject) == (Rule.WAKE_TIME, f"job {job['jobId']}")
    assert (await audit(world, with_repair=True)).violations == []
    await world.sweep()
    await world.advance(5)
    assert not await world.services.store.query(Query(collection=JOBS))


async def test_a_job_whose_removal_was_interrupted_is_not_done_again(
    world: World, ada: httpx.AsyncClient
) -> None:
    failing = {**STEPS["steps"], "two": {**STEPS["steps"]["two"], "payload": FAILING}}
    key = {"idempotency-key": "order-18"}
    job = (await ada.post(PIPELINE, json={"steps": failing}, headers=key)).json()
    await world.advance(60)
    await break_off_removal(ada, job)
    # The files of its finished step are gone: a further round would show them.
    expect_problem(await ada.post(job["urls"]["retry"]), 404, "not_found")
    expect_problem(await ada.post(f"{job['urls']['self']}/replay", json={}), 404, "not_found")
    assert (await read_balance(ada))["held"] == 0
    assert (await remove(ada, job)).status_code == 204
    assert not await world.services.store.query(Query(collection=JOBS))
    again = (await ada.post(PIPELINE, json={"steps": failing}, headers=key)).json()
    assert (again["jobId"], again["status"]) == (job["jobId"], "QUEUED")
    await world.advance(60)
