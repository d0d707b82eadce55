"""Steps of pipelines that ask for the result cache: earlier equal steps have done their work."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, expect_problem, read_balance, read_job, submit_job
from functions.pipeline_requests import PIPELINE, jobs_of, start
from functions.test_audit import audit
from simulation.world import World
from taskreel.adapters.local.files import FileBlobs
from taskreel.app.jobs import remove
from taskreel.app.pipelines import child_jobs, pipeline_run
from taskreel.domain.errors import StoreError


def picture(seed: int = 7, **fields: Any) -> dict[str, Any]:
    options = {"width": 64, "height": 64, "seed": seed}
    return {"prompt": "a kite", "options": options, "cacheSeconds": 3600, **fields}


def step(**fields: Any) -> dict[str, Any]:
    return {"type": "image-generation", "payload": picture(**fields)}


async def complete_pipeline(world: World, user: httpx.AsyncClient, **steps: Any) -> dict[str, Any]:
    """Run a pipeline of these steps; return it when it is completed."""
    made = await read_after_a_minute(world, user, await start(user, **steps))
    assert made["status"] == "COMPLETED", made["error"]
    return made


async def read_after_a_minute(
    world: World, user: httpx.AsyncClient, job: dict[str, Any]
) -> dict[str, Any]:
    await world.advance(60)
    return await read_job(user, job)


async def test_an_equal_step_is_done_at_once_and_free(world: World, ada: httpx.AsyncClient) -> None:
    first = await complete_pipeline(world, ada, draw=step())
    assert first["credits"]["captured"] == 1
    before = (await read_balance(ada))["available"]
    second = await complete_pipeline(world, ada, draw=step())
    assert second["credits"] == {"held": 0, "captured": 0, "released": 1}
    assert (await read_balance(ada))["available"] == before
    (earlier,) = await jobs_of(world, first["jobId"])
    (child,) = await jobs_of(world, second["jobId"])
    assert child.lineage == (earlier.job_id,)
    assert child.artifacts == earlier.artifacts
    shown = (await ada.get(f"/api/jobs/{child.job_id}/result")).json()["artifacts"][0]
    assert shown["url"]
    # And so is one that finds this one.
    third = await complete_pipeline(world, ada, draw=step())
    (child,) = await jobs_of(world, third["jobId"])
    assert (third["credits"]["captured"], child.lineage[-1]) == (0, earlier.job_id)


async def test_each_job_of_a_fan_out_is_looked_up_by_itself(
    world: World, ada: httpx.AsyncClient
) -> None:
    def draw(*words: str) -> dict[str, Any]:
        return {**step(prompt="a {{item}}"), "forEach": list(words)}

    await complete_pipeline(world, ada, draw=draw("kite", "boat"))
    made = await complete_pipeline(world, ada, draw=draw("boat", "fox", "kite"))
    assert made["credits"] == {"held": 0, "captured": 1, "released": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"prompt": "a boat"},
        {"skipCache": True},
        {"cacheSeconds": 30},
        {"provider": "bfl", "model": "flux-1.1-pro"},
    ],
)
async def test_another_step_is_made_anew(
    change: dict[str, Any], world: World, ada: httpx.AsyncClient
) -> None:
    await complete_pipeline(world, ada, draw=step())
    assert (await complete_pipeline(world, ada, draw=step(**change)))["credits"]["captured"] == 1


async def test_a_step_that_does_not_ask_and_jobs_of_their_own_are_not_answered_by_steps(
    world: World, ada: httpx.AsyncClient
) -> None:
    await complete_pipeline(world, ada, draw=step())
    asking = {"type": "image-generation", "payload": picture()}
    silent = {**asking, "payload": picture(cacheSeconds=None)}
    assert (await complete_pipeline(world, ada, draw=silent))["credits"]["captured"] == 1
    answer = await ada.post(IMAGE, json=picture())
    assert (answer.status_code, "cachedSeconds" in answer.json()) == (202, False)


async def test_the_providers_of_pipelines_and_their_owners_are_compared(
    world: World, ada: httpx.AsyncClient
) -> None:
    await complete_pipeline(world, ada, draw=step())
    body = {"steps": {"draw": step()}, "provider": "bfl"}
    job = await submit_job(ada, body, PIPELINE)
    assert (await read_after_a_minute(world, ada, job))["credits"]["captured"] == 1
    of_bob = await complete_pipeline(world, world.as_user("bob"), draw=step())
    assert of_bob["credits"]["captured"] == 1


async def test_a_purge_is_of_steps_too(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await complete_pipeline(world, ada, draw=step())
    assert (await admin.delete("/api/cache?jobType=image-generation")).status_code == 200
    await world.advance(1)
    assert (await complete_pipeline(world, ada, draw=step()))["credits"]["captured"] == 1


async def test_a_pipeline_whose_files_another_uses_is_not_removed_before_that(
    world: World, ada: httpx.AsyncClient
) -> None:
    # Within one pipeline, the second step takes the work of the first.
    second_step = {**step(), "after": ["draw"]}
    first = await complete_pipeline(world, ada, draw=step(), again=second_step)
    assert first["credits"]["captured"] == 1
    second = await complete_pipeline(world, ada, draw=step())
    refused = expect_problem(await ada.delete(f"{PIPELINE}/{first['jobId']}"), 409, "conflict")
    assert second["jobId"] in refused["detail"]
    assert (await ada.delete(f"{PIPELINE}/{second['jobId']}")).status_code == 204
    assert (await ada.delete(f"{PIPELINE}/{first['jobId']}")).status_code == 204


async def test_the_round_after_a_failure_retains_what_a_step_has_found(
    world: World, ada: httpx.AsyncClient
) -> None:
    await complete_pipeline(world, ada, draw=step())
    failing = {
        "type": "image-generation",
        "payload": {"prompt": "x", "options": {"studio": {"mode": "fail-permanent"}}},
        "after": ["draw"],
    }
    job = await start(ada, draw=step(), fail=failing)
    failed = await read_after_a_minute(world, ada, job)
    assert (failed["status"], failed["credits"]["captured"]) == ("FAILED", 0)
    await ada.post(f"{PIPELINE}/{job['jobId']}/retry")
    failed = await read_after_a_minute(world, ada, job)
    assert (failed["status"], failed["credits"]["captured"]) == ("FAILED", 0)


async def test_the_audit_finds_the_work_and_its_payment(
    world: World, ada: httpx.AsyncClient
) -> None:
    await complete_pipeline(world, ada, draw=step(), again={**step(), "after": ["draw"]})
    for _ in range(2):
        await complete_pipeline(world, ada, draw=step())
    report = await audit(world, with_files=True)
    assert (report.jobs, report.violations) == (7, [])


async def test_what_was_taken_over_answers_no_longer_than_it_is_recent(
    world: World,
) -> None:
    captured = []
    for _ in range(4):  # at 0, 51, 102 and 153 minutes
        made = await complete_pipeline(world, world.as_user("ada"), draw=step())
        captured.append(made["credits"]["captured"])
        await world.advance(3000)
    assert captured == [1, 0, 1, 0]


async def test_work_that_is_removed_before_a_step_takes_it_over_is_done_again(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await complete_pipeline(world, ada, draw=step())
    create, answers = child_jobs.create_child_jobs, []

    async def remove_first(*given: Any) -> None:
        answers.append((await ada.delete(f"{PIPELINE}/{first['jobId']}")).status_code)
        await create(*given)

    monkeypatch.setattr(pipeline_run, "create_child_jobs", remove_first)
    second = await complete_pipeline(world, ada, draw=step())
    assert answers == [204, 404]
    assert second["credits"] == {"held": 0, "captured": 1, "released": 0}
    (child,) = await jobs_of(world, second["jobId"])
    assert child.lineage == ()
    assert all([await world.services.blobs.info(file.path) for file in child.artifacts])
    assert (await audit(world, with_files=True)).violations == []


async def test_work_that_is_taken_over_while_it_is_being_removed_stays(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await complete_pipeline(world, ada, draw=step())
    delete, made = remove.delete_answers, []

    async def take_over_first(*given: Any) -> None:
        # Between the check that nobody uses it and the transaction that deletes it.
        made.append(await complete_pipeline(world, ada, draw=step()))
        await delete(*given)

    monkeypatch.setattr(remove, "delete_answers", take_over_first)
    expect_problem(await ada.delete(f"{PIPELINE}/{first['jobId']}"), 409, "conflict")
    assert made[0]["credits"]["captured"] == 0
    (child,) = await jobs_of(world, made[0]["jobId"])
    assert all([await world.services.blobs.info(file.path) for file in child.artifacts])
    assert (await audit(world, with_files=True)).violations == []


async def test_work_whose_files_are_being_deleted_is_done_again(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The files of a job of a fixed id go before its documents, and those of its steps with them.
    order = {"steps": {"draw": step()}}
    first = (await ada.post(PIPELINE, json=order, headers={"idempotency-key": "order-19"})).json()
    await world.advance(60)
    delete, made = FileBlobs.delete, []

    async def ask_meanwhile(blobs: FileBlobs, prefix: str, /) -> int:
        monkeypatch.setattr(FileBlobs, "delete", delete)
        made.append(await complete_pipeline(world, ada, draw=step()))
        return await delete(blobs, prefix)

    monkeypatch.setattr(FileBlobs, "delete", ask_meanwhile)
    assert (await ada.delete(f"{PIPELINE}/{first['jobId']}")).status_code == 204
    assert made[0]["credits"]["captured"] == 1
    (child,) = await jobs_of(world, made[0]["jobId"])
    assert all([await world.services.blobs.info(file.path) for file in child.artifacts])
    assert (await audit(world, with_files=True)).violations == []


async def test_work_whose_removal_begins_before_a_step_takes_it_over_is_done_again(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = {"steps": {"draw": step()}}
    first = (await ada.post(PIPELINE, json=order, headers={"idempotency-key": "order-20"})).json()
    await world.advance(60)
    create = child_jobs.create_child_jobs

    async def break_off(*_: Any) -> None:
        raise StoreError("the store is away")

    async def remove_first(*given: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(remove, "_delete_documents", break_off)
            answer = await ada.delete(f"{PIPELINE}/{first['jobId']}")
        expect_problem(answer, 503, "store_unavailable")
        monkeypatch.setattr(pipeline_run, "create_child_jobs", create)
        await create(*given)

    monkeypatch.setattr(pipeline_run, "create_child_jobs", remove_first)
    second = await complete_pipeline(world, ada, draw=step())
    assert second["credits"]["captured"] == 1
    (child,) = await jobs_of(world, second["jobId"])
    assert all([await world.services.blobs.info(file.path) for file in child.artifacts])
    assert (await ada.delete(f"{PIPELINE}/{first['jobId']}")).status_code == 204
    assert (await audit(world, with_files=True)).violations == []
