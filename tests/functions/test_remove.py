"""DELETE of an ended job removes it, its files and its child jobs, but nothing it has cost."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import (
    IMAGE,
    NOOP,
    expect_problem,
    image_request,
    read_balance,
    read_job,
    submit_job,
)
from simulation.world import World
from taskreel.adapters.local.files import FileBlobs
from taskreel.app.jobs import remove as remove_module
from taskreel.domain.run_answers import RunAnswers
from taskreel.ports import Query
from taskreel.store_collections import JOBS, RUN_ANSWERS

PIPELINE = "/api/jobs/pipeline"
PICTURE = image_request("slow", seconds=0)
FAILING = image_request("fail-permanent")
STEPS = {
    "steps": {
        "one": {"type": "image-generation", "payload": PICTURE},
        "two": {"type": "image-generation", "payload": PICTURE},
    }
}


async def remove(client: httpx.AsyncClient, job: dict[str, Any]) -> httpx.Response:
    return await client.delete(job["urls"]["cancel"])


async def list_files(world: World, job: dict[str, Any]) -> list[str]:
    """The paths of the job's files that are in the bucket."""
    artifacts = (await world.job(job["jobId"])).artifacts
    return [one.path for one in artifacts if await world.services.blobs.info(one.path)]


async def test_an_ended_job_is_gone_with_its_files_and_its_price_stays(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, PICTURE)
    other = await submit_job(ada, PICTURE)
    await world.advance(5)
    (path,) = await list_files(world, job)
    assert (await remove(ada, job)).status_code == 204
    expect_problem(await ada.get(job["urls"]["self"]), 404, "not_found")
    expect_problem(await remove(ada, job), 404, "not_found")
    assert await world.services.blobs.info(path) is None
    assert len(await list_files(world, other)) == 1
    assert (await read_balance(ada))["captured"] == 2
    entries = (await ada.get("/api/credits/ledger")).json()["entries"]
    assert job["jobId"] in {one.get("jobId") for one in entries}


async def test_a_running_job_is_cancelled_first(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, image_request("slow", seconds=60))
    await world.advance(1)
    answer = await remove(ada, job)
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    assert (await read_job(ada, job))["status"] == "CANCELLED"
    await world.advance(60)
    assert (await remove(ada, job)).status_code == 204


async def test_to_another_user_there_is_nothing_to_remove(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada)
    await world.settle()
    expect_problem(await remove(world.as_user("bob"), job), 404, "not_found")
    assert (await read_job(ada, job))["status"] == "COMPLETED"
    assert (await remove(world.as_user("root", role="admin"), job)).status_code == 204


async def test_a_pipeline_is_removed_with_its_jobs_and_their_files(
    world: World, ada: httpx.AsyncClient
) -> None:
    pipeline = await submit_job(ada, STEPS, PIPELINE)
    await world.advance(30)
    children = (await ada.get(f"/api/jobs?parentId={pipeline['jobId']}")).json()["jobs"]
    paths = [path for child in children for path in await list_files(world, child)]
    assert len(paths) == 2
    refused = expect_problem(await remove(ada, children[0]), 409, "conflict")
    assert refused["jobId"] == pipeline["jobId"]
    assert (await remove(ada, pipeline)).status_code == 204
    assert (await ada.get("/api/jobs?includeChildren=true")).json()["jobs"] == []
    assert [await world.services.blobs.info(path) for path in paths] == [None, None]


async def test_a_job_whose_files_a_replay_uses_is_removed_after_the_replay(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, STEPS, PIPELINE)
    await world.advance(30)
    replay = (await ada.post(first["urls"]["replay"], json={})).json()
    await world.advance(30)
    refused = expect_problem(await remove(ada, first), 409, "conflict")
    assert refused["jobId"] == replay["jobId"]
    assert (await remove(ada, replay)).status_code == 204
    assert (await remove(ada, first)).status_code == 204


@pytest.mark.parametrize("body", [NOOP, {**NOOP, "prompt": "another kite"}])
async def test_the_key_of_a_removed_job_makes_a_new_one_that_is_settled_too(
    world: World, ada: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    key = {"Idempotency-Key": "once"}
    first = (await ada.post(IMAGE, json=NOOP, headers=key)).json()
    await world.advance(1)
    assert (await remove(ada, first)).status_code == 204
    again = await ada.post(IMAGE, json=body, headers=key)
    assert (again.status_code, again.json()["jobId"]) == (202, first["jobId"])
    # Its task has the name of the first one's, which the queue remembers: the sweep sends another.
    await world.advance(130)
    await world.sweep()
    await world.advance(1)
    assert (await read_job(ada, again.json()))["status"] == "COMPLETED"
    found = await read_balance(ada)
    assert (found["held"], found["captured"]) == (0, 2)


async def test_a_retry_that_comes_first_saves_the_job(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit_job(ada, image_request("fail-permanent"))
    await world.settle()
    store = type(world.services.store)
    query = store.query

    async def retry_first(self: Any, asked: Any, /) -> Any:
        if any(name == "lineage" for name, *_ in asked.where):
            assert (await ada.post(job["urls"]["retry"])).status_code == 202
        return await query(self, asked)

    monkeypatch.setattr(store, "query", retry_first)
    refused = expect_problem(await remove(ada, job), 409, "conflict")
    assert refused["jobStatus"] == "QUEUED"
    assert (await read_job(ada, job))["status"] in {"QUEUED", "FAILED"}


async def test_more_children_and_answers_than_one_commit_takes_are_all_removed(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.app.jobs.remove._REMOVED_AT_ONCE", 2)
    step = {"type": "image-generation", "payload": PICTURE}
    steps = {"steps": dict.fromkeys(("one", "two", "three", "four", "five"), step)}
    pipeline, other = await submit_job(ada, steps, PIPELINE), await submit_job(ada, PICTURE)
    await world.advance(30)
    now = world.now()

    async def store_answers(tx: Any) -> None:
        for job_id in [pipeline["jobId"]] * 5 + [other["jobId"]]:
            answers = RunAnswers(job_id=job_id, user_id="ada", at=now, answers=(), expire_at=now)
            tx.create(RUN_ANSWERS, f"{job_id}.{world.services.random.random()}", answers)

    await world.services.store.transaction(store_answers)
    assert (await remove(ada, pipeline)).status_code == 204
    jobs = await world.services.store.query(Query(collection=JOBS))
    assert [row.id for row in jobs] == [other["jobId"]]
    answers = await world.services.store.query(Query(collection=RUN_ANSWERS))
    assert [row.value.job_id for row in answers] == [other["jobId"]]


async def test_a_job_that_is_retried_while_it_is_removed_stays(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit_job(ada, image_request("fail-permanent"))
    await world.advance(2)
    await world.tasks.pause("image-generation-queue")
    delete_answers = remove_module.delete_answers

    async def retry_meanwhile(*args: Any) -> None:
        assert (await ada.post(job["urls"]["retry"])).status_code == 202
        await delete_answers(*args)

    monkeypatch.setattr(remove_module, "delete_answers", retry_meanwhile)
    expect_problem(await remove(ada, job), 409, "conflict")
    assert (await read_job(ada, job))["status"] == "QUEUED"
    assert (await read_balance(ada))["held"] == 1


async def test_a_job_that_is_made_again_under_its_key_retains_its_files(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"idempotency-key": "order-17"}
    job = (await ada.post(IMAGE, json=PICTURE, headers=key)).json()
    await world.advance(5)
    delete = FileBlobs.delete

    async def delete_late(blobs: FileBlobs, prefix: str, /) -> int:
        monkeypatch.setattr(FileBlobs, "delete", delete)
        await ada.post(IMAGE, json=PICTURE, headers=key)
        await world.advance(5)
        return await delete(blobs, prefix)

    monkeypatch.setattr(FileBlobs, "delete", delete_late)
    assert (await remove(ada, job)).status_code == 204
    again = (await ada.post(IMAGE, json=PICTURE, headers=key)).json()
    await world.advance(5)
    assert (await read_job(ada, again))["status"] == "COMPLETED"
    assert len(await list_files(world, again)) == 1
