"""Finished work is paid for and stays readable, whatever ends its job; the rest is released."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import BATCH, read_balance, read_job, submit_job
from functions.pipeline_requests import PIPELINE, ended, fan, jobs_of, start, statuses, step
from functions.test_replay import replayed
from simulation.world import World
from taskreel.app.jobs import job_ended
from taskreel.app.pipelines import child_jobs, pipeline_run
from taskreel.domain.job import Job
from taskreel.ports import Query
from taskreel.store_collections import JOBS


def slow_batch(count: int, **fields: Any) -> dict[str, Any]:
    """A batch that makes its small pictures one after the other, in three seconds each."""
    return {
        "prompts": [f"kite {n}" for n in range(count)],
        "options": {"width": 64, "height": 64, "studio": {"mode": "slow", "seconds": 3}},
        "batchSize": 1,
        **fields,
    }


async def cancel(client: httpx.AsyncClient, job: dict[str, Any]) -> dict[str, Any]:
    answer = await client.delete(job["urls"]["cancel"])
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def count_delivered(world: World) -> tuple[int, int]:
    """The credits of all units that are done, and the credits that were captured for them.

    A pipeline repeats the units of its jobs for nothing, and so does a replay.
    """
    rows = await world.services.store.query(Query(collection=JOBS))
    jobs = [row.value for row in rows]
    delivered = sum(unit.credits for job in jobs for unit in job.done_units)
    return delivered, sum(job.credits.captured for job in jobs)


@pytest.fixture
def many() -> dict[str, Any]:
    """Twenty pictures, of which the last takes long."""
    modes = [*["noop"] * 19, "slow"]
    step = fan(*modes)
    step["payload"]["options"]["studio"]["seconds"] = 3000
    return step


async def test_a_cancelled_pipeline_pays_for_the_pictures_that_it_made(
    world: World, ada: httpx.AsyncClient, many: dict[str, Any]
) -> None:
    job = await start(ada, many=many, after=step(after=["many"]))
    await world.advance(10)
    assert statuses(await jobs_of(world, job["jobId"])).count("COMPLETED") == 19
    job = await cancel(ada, job)
    assert job["status"] == "CANCELLED"
    assert job["credits"] == {"held": 0, "captured": 19, "released": 2}
    assert (await read_balance(ada))["captured"] == 19
    assert [one["credits"] for one in job["steps"]] == [19, 0]
    children = await jobs_of(world, job["jobId"])
    assert statuses(children) == [*["COMPLETED"] * 19, "CANCELLED"]
    result = await ada.get(f"/api/jobs/{children[0].job_id}/result")
    assert result.status_code == 200


async def test_a_pipeline_whose_deadline_passes_pays_for_the_pictures_that_it_made(
    world: World, ada: httpx.AsyncClient, many: dict[str, Any]
) -> None:
    body = {"steps": {"many": many}, "deadlineSeconds": 30}
    job = await submit_job(ada, body, PIPELINE)
    await world.advance(40)
    await world.sweep()
    job = await ended(world, ada, job, "FAILED")
    assert job["error"]["code"] == "deadline_passed"
    assert job["credits"] == {"held": 0, "captured": 19, "released": 1}
    await world.advance(60)
    delivered, captured = await count_delivered(world)
    assert delivered == captured == 19


async def test_a_pipeline_that_is_cancelled_before_it_starts_costs_nothing(
    ada: httpx.AsyncClient,
) -> None:
    job = await cancel(ada, await start(ada, one=step()))
    assert job["credits"] == {"held": 0, "captured": 0, "released": 1}


async def test_a_replay_of_a_cancelled_pipeline_costs_what_was_missing(
    world: World, ada: httpx.AsyncClient, many: dict[str, Any]
) -> None:
    job = await start(ada, many=many)
    await world.advance(10)
    job = await cancel(ada, job)
    quick = {"steps": {"many": {"payload": {"options": {"studio": {"seconds": 0}}}}}}
    again = await ended(world, ada, await replayed(ada, job, edit=quick), "COMPLETED")
    assert job["credits"]["captured"] + again["credits"]["captured"] >= 20
    delivered, captured = await count_delivered(world)
    assert captured >= delivered >= 20


async def test_a_replay_takes_over_the_finished_units_of_a_cancelled_child_batch(
    world: World, ada: httpx.AsyncClient
) -> None:
    """They were captured with the cancelled pipeline, and once were bought a second time."""
    batch = {"type": "batch-generation", "payload": slow_batch(10)}
    job = await start(ada, batch=batch)
    await world.advance(20)
    (child,) = await jobs_of(world, job["jobId"])
    done = {place: unit for place, unit in enumerate(child.units) if unit in child.done_units}
    assert 0 < len(done) < 10
    job = await cancel(ada, job)
    assert job["credits"]["captured"] == len(done)

    again = await ended(world, ada, await replayed(ada, job), "COMPLETED", seconds=120)
    assert again["credits"]["captured"] == 10 - len(done)
    (child,) = await jobs_of(world, again["jobId"])
    assert {place: child.units[place].artifacts for place in done} == {
        place: unit.artifacts for place, unit in done.items()
    }
    assert (await read_balance(ada))["captured"] == 10


async def test_an_edited_replay_makes_the_changed_units_of_a_child_batch_again(
    world: World, ada: httpx.AsyncClient
) -> None:
    batch = {"type": "batch-generation", "payload": slow_batch(6)}
    job = await start(ada, batch=batch)
    await world.advance(14)
    (child,) = await jobs_of(world, job["jobId"])
    done = len(child.done_units)
    assert 1 < done < 6
    job = await cancel(ada, job)
    prompts = ["another kite", *[f"kite {n}" for n in range(1, 6)]]
    edit = {"steps": {"batch": {"payload": {"prompts": prompts}}}}
    again = await ended(world, ada, await replayed(ada, job, edit=edit), "COMPLETED", seconds=120)
    assert again["credits"]["captured"] == 6 - done + 1


async def test_a_batch_that_is_cancelled_pays_for_what_is_done_and_shows_it(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, slow_batch(10), BATCH)
    await world.advance(20)
    stored = await world.job(job["jobId"])
    done = len(stored.done_units)
    assert 0 < done < 10
    job = await cancel(ada, job)
    assert job["credits"] == {"held": 0, "captured": done, "released": 10 - done}
    result = await ada.get(f"/api/jobs/{job['jobId']}/result")
    assert result.status_code == 200
    assert [one["status"] for one in result.json()["items"]].count("done") == done
    again = await ended(world, ada, await replayed(ada, job), "COMPLETED", seconds=120)
    assert again["credits"] == {"held": 0, "captured": 10 - done, "released": 0}


async def test_a_batch_whose_deadline_passes_is_retried_for_the_rest_only(
    world: World, ada: httpx.AsyncClient
) -> None:
    # Its worker dies in the middle, and the deadline passes before another takes over.
    job = await submit_job(ada, slow_batch(10, deadlineSeconds=20), BATCH)
    await world.advance(12)
    stored = await world.job(job["jobId"])
    done = len(stored.done_units)
    assert 0 < done < 10
    lost = stored.with_changes(world.now(), fence=stored.fence + 1, lease_until=None)
    await world.put(lost)
    await world.advance(60)
    await world.sweep()
    job = await read_job(ada, job)
    assert (job["status"], job["error"]["code"]) == ("FAILED", "deadline_passed")
    assert job["credits"] == {"held": 0, "captured": done, "released": 10 - done}

    answer = await ada.post(job["urls"]["retry"])
    assert answer.status_code == 202, answer.text
    assert answer.json()["credits"]["held"] == 10 - done
    await world.put((await world.job(job["jobId"])).with_changes(world.now(), finish_by=None))
    job = await ended(world, ada, job, "COMPLETED", seconds=120)
    assert job["credits"] == {"held": 0, "captured": 10 - done, "released": 0}
    assert (await read_balance(ada))["captured"] == 10


async def test_jobs_that_run_on_after_a_failure_end_with_their_pipeline(
    world: World, ada: httpx.AsyncClient
) -> None:
    many = fan("slow", "fail-permanent", "noop", onFailure="continue")
    many["payload"]["options"]["studio"]["seconds"] = 300
    job = await start(ada, many=many, after=step(after=["many"]))
    job = await ended(world, ada, job, "COMPLETED")
    assert job["credits"] == {"held": 0, "captured": 2, "released": 2}
    await world.advance(400)
    assert statuses(await jobs_of(world, job["jobId"], "many")) == [
        "CANCELLED",
        "FAILED",
        "COMPLETED",
    ]
    delivered, captured = await count_delivered(world)
    assert delivered == captured == 2


async def test_an_inner_pipeline_is_paid_for_when_the_outer_one_is_cancelled(
    world: World, ada: httpx.AsyncClient, many: dict[str, Any]
) -> None:
    inner = {"type": "pipeline", "payload": {"steps": {"many": many}}}
    job = await start(ada, inner=inner)
    await world.advance(15)
    job = await cancel(ada, job)
    assert job["credits"] == {"held": 0, "captured": 19, "released": 1}
    (middle,) = await jobs_of(world, job["jobId"])
    assert (str(middle.status), middle.spent, middle.credits.held) == ("CANCELLED", 19, 0)


async def test_an_end_that_was_interrupted_is_carried_out_by_the_sweep(
    world: World, ada: httpx.AsyncClient, many: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await start(ada, many=many)
    await world.advance(10)

    async def crash(*_: Any) -> Job:
        raise RuntimeError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(job_ended, "settle_pipeline", crash)
        assert (await ada.delete(job["urls"]["cancel"])).status_code == 500
    assert (await world.job(job["jobId"])).ending is not None
    await world.advance(130)
    await world.sweep()
    job = await read_job(ada, job)
    assert (job["status"], job["credits"]["captured"]) == ("CANCELLED", 19)


async def test_a_check_that_is_under_way_adds_no_job_to_a_pipeline_that_ends(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = child_jobs.create_child_jobs

    async def after_cancel(*given: Any) -> None:
        assert (await ada.delete(job["urls"]["cancel"])).status_code == 200
        await create(*given)

    job = await start(ada, one=step())
    monkeypatch.setattr(pipeline_run, "create_child_jobs", after_cancel)
    await world.advance(10)
    assert (await read_job(ada, job))["status"] == "CANCELLED"
    assert await jobs_of(world, job["jobId"]) == []


async def test_a_movie_that_is_cancelled_while_it_is_cut_pays_for_its_parts(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {"prompt": "a fox builds a boat", "numSequences": 2}
    job = await submit_job(ada, body, "/api/jobs/movie-creation")
    for _ in range(120):
        await world.advance(1)
        children = await jobs_of(world, job["jobId"])
        if sum(child.status.final for child in children) >= 2:
            break
    job = await cancel(ada, job)
    children = await jobs_of(world, job["jobId"])
    spent = sum(child.spent for child in children)
    assert spent > 0
    assert job["credits"]["captured"] == spent
    delivered, captured = await count_delivered(world)
    assert delivered == captured
