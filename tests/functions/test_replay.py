"""A replay: a new job that reuses what the old one did and was charged for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import (
    BATCH,
    IMAGE,
    NOOP,
    expect_problem,
    read_balance,
    read_job,
    refused_paths,
    submit_job,
)
from functions.pipeline_requests import (
    PICTURES,
    PIPELINE,
    STORY,
    ended,
    fan,
    image,
    jobs_of,
    start,
    step,
)
from simulation.world import World
from taskreel.app.jobs.replay import apply_merge_patch
from taskreel.domain.unit import UnitState

#: The edit with which a replay of the pipeline of `failed` completes.
EDITED = {"steps": {"last": {"payload": {"options": {"studio": {"mode": "noop"}}}}}}
FIRST = {"prompt": "one", "options": {"width": 64, "height": 64, "studio": {"mode": "noop"}}}


async def replayed(client: httpx.AsyncClient, job: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    answer = await client.post(f"/api/jobs/{job['jobType']}/{job['jobId']}/replay", json=wanted)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def failed(world: World, client: httpx.AsyncClient) -> dict[str, Any]:
    """A pipeline whose second step has failed."""
    return await ended(
        world, client, await start(client, first=fan("noop", "noop"), last=_failing()), "FAILED"
    )


def _failing() -> dict[str, Any]:
    return {**step("fail-permanent"), "after": ["first"]}


async def test_a_replay_begins_at_the_step_that_failed(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await failed(world, ada)
    again = await replayed(ada, job, edit=EDITED)
    assert again["replayOf"] == job["jobId"]
    assert again["jobId"] != job["jobId"]
    again = await ended(world, ada, again, "COMPLETED")
    assert await jobs_of(world, again["jobId"], "first") == []
    assert len(await jobs_of(world, again["jobId"], "last")) == 1
    assert again["credits"] == {"held": 0, "captured": 1, "released": 0}


async def test_a_replay_from_a_step_does_it_and_all_behind_it_again(
    world: World, ada: httpx.AsyncClient
) -> None:
    steps = {"story": STORY, "pictures": PICTURES, "end": step(after=["pictures"])}
    job = await ended(world, ada, await start(ada, **steps), "COMPLETED")
    again = await ended(world, ada, await replayed(ada, job, fromStep="pictures"), "COMPLETED")
    made = await jobs_of(world, again["jobId"])
    assert sorted({one.step or "" for one in made}) == ["end", "pictures"]
    assert again["credits"]["captured"] == 4
    # A replay of the replay takes each part from the newest that did it.
    third = await ended(world, ada, await replayed(ada, again), "COMPLETED")
    assert await jobs_of(world, third["jobId"]) == []
    assert third["credits"]["captured"] == 0


async def test_what_is_edited_is_done_again_and_no_more(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await ended(world, ada, await start(ada, one=step(), two=step()), "COMPLETED")
    again = await replayed(ada, job, edit={"steps": {"two": {"payload": {"prompt": "another"}}}})
    again = await ended(world, ada, again, "COMPLETED")
    assert [one.step for one in await jobs_of(world, again["jobId"])] == ["two"]
    assert again["credits"] == {"held": 0, "captured": 1, "released": 0}


async def test_a_replay_holds_only_the_credits_of_unfinished_work(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = {**fan("noop", "noop"), "payload": {**image(), "prompt": "of {{payload.budget}}"}}
    steps = {"first": first, "last": _failing()}
    job = await ended(
        world, ada, await submit_job(ada, {"steps": steps, "budget": 9}, PIPELINE), "FAILED"
    )
    unchanged = await replayed(ada, job)
    assert unchanged["credits"]["held"] == 1
    # What a step reads of the pipeline's own payload may have changed with it.
    assert (await replayed(ada, job, edit={"budget": 8}))["credits"]["held"] == 3
    retried = await ada.post(f"{PIPELINE}/{job['jobId']}/retry")
    assert retried.json()["credits"]["held"] == 1


async def test_a_pipeline_within_a_pipeline_is_replayed_from_its_own_failure(
    world: World, ada: httpx.AsyncClient
) -> None:
    inner = {
        "type": "pipeline",
        "payload": {"steps": {"first": fan("noop", "noop"), "last": _failing()}},
    }
    job = await ended(world, ada, await start(ada, inner=inner), "FAILED")
    edited = {"inner": {"payload": {"steps": {"last": {"payload": {"options": {"studio": None}}}}}}}
    again = await ended(world, ada, await replayed(ada, job, edit={"steps": edited}), "COMPLETED")
    (middle,) = await jobs_of(world, again["jobId"])
    assert [one.step for one in await jobs_of(world, middle.job_id)] == ["last"]
    assert again["credits"]["captured"] == 1


async def test_a_batch_makes_only_what_was_missing(world: World, ada: httpx.AsyncClient) -> None:
    body = {"prompts": ["a", "b"], "options": {"studio": {"mode": "noop"}}}
    job = await submit_job(ada, body, BATCH)
    await world.settle()
    stored = await world.job(job["jobId"])
    lost = stored.units[1].with_changes(state=UnitState.FAILED)
    await world.put(stored.model_copy(update={"units": (stored.units[0], lost)}))
    again = await replayed(ada, job)
    assert again["credits"]["held"] == 1
    await world.settle()
    again = await read_job(ada, again)
    assert again["credits"] == {"held": 0, "captured": 1, "released": 0}
    assert [item["status"] for item in again["result"]["items"]] == ["done", "done"]


async def test_a_plain_job_is_simply_done_again_elsewhere(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, FIRST)
    await world.settle()
    again = await replayed(
        ada, job, provider="openai", edit={"prompt": "two", "options": {"height": None}}
    )
    assert again["payload"]["provider"] == "openai"
    assert again["payload"]["prompt"] == "two"
    assert "height" not in again["payload"]["options"]
    assert again["credits"]["held"] == 1


async def test_a_replay_needs_no_body_and_may_have_a_key(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, FIRST)
    await world.settle()
    path = f"{IMAGE}/{job['jobId']}/replay"
    twice = [
        (await ada.post(path, headers={"Idempotency-Key": "again"})).json()["jobId"]
        for _ in range(2)
    ]
    assert twice[0] == twice[1]


async def test_what_cannot_be_replayed_says_why(world: World, ada: httpx.AsyncClient) -> None:
    running = await submit_job(ada, NOOP)
    expect_problem(await ada.post(f"{IMAGE}/{running['jobId']}/replay"), 409, "conflict")
    await world.settle()
    path = f"{IMAGE}/{running['jobId']}/replay"
    assert refused_paths(await ada.post(path, json={"fromStep": "story"})) == {"fromStep"}
    assert refused_paths(await ada.post(path, json={"edit": {"prompt": ""}})) == {"prompt"}
    expect_problem(await world.as_user("bob").post(path), 404, "not_found")
    job = await failed(world, ada)
    child = (await jobs_of(world, job["jobId"]))[0]
    expect_problem(await ada.post(f"{IMAGE}/{child.job_id}/replay"), 409, "conflict")
    assert refused_paths(
        await ada.post(f"{PIPELINE}/{job['jobId']}/replay", json={"fromStep": "no"})
    ) == {"fromStep"}
    assert (await read_balance(ada))["held"] == 0


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch(target: Any, patch: Any, result: Any) -> None:
    assert apply_merge_patch(target, patch) == result
