"""Jobs that depend on jobs: blocked until those end, filled in with what they made."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    IMAGE,
    expect_problem,
    image_request,
    read_balance,
    read_job,
    refused_paths,
    submit_job,
)
from functions.stored_documents import read_documents, store_documents
from simulation.world import World
from taskreel.app.jobs import dependencies

STORY = "/api/jobs/story-generation"
SLOW = image_request("slow", seconds=20)


def after(*jobs: dict[str, Any], on_failure: str = "fail", **fields: Any) -> dict[str, Any]:
    """An image that depends on the jobs."""
    wanted = [{"jobId": job["jobId"], "onFailure": on_failure} for job in jobs]
    return {**image_request("noop"), "dependsOn": wanted, **fields}


async def status(client: httpx.AsyncClient, job: dict[str, Any]) -> str:
    found: str = (await read_job(client, job))["status"]
    return found


async def test_a_job_waits_until_the_others_have_ended(
    world: World, ada: httpx.AsyncClient
) -> None:
    first, second = await submit_job(ada, SLOW), await submit_job(ada, image_request("noop"))
    job = await submit_job(ada, after(first, second))
    assert job["status"] == "BLOCKED"
    assert job["credits"]["held"] == 1
    await world.advance(10)
    assert await status(ada, job) == "BLOCKED"
    await world.advance(12)
    assert await status(ada, job) == "COMPLETED"


async def test_what_they_made_is_filled_in(world: World, ada: httpx.AsyncClient) -> None:
    story = await submit_job(ada, {"prompt": "a fox builds a boat", "numSequences": 2}, STORY)
    words = f"{{{{jobs.{story['jobId']}.result.scenes[0].description}}}}"
    job = await submit_job(ada, after(story, prompt=words))
    assert job["payload"]["prompt"] == words
    await world.advance(3)
    job, story = await read_job(ada, job), await read_job(ada, story)
    assert job["status"] == "COMPLETED"
    assert job["payload"]["prompt"] == story["result"]["scenes"][0]["description"]


async def test_a_whole_list_may_be_filled_in(world: World, ada: httpx.AsyncClient) -> None:
    story = await submit_job(ada, {"prompt": "a fox builds a boat", "numSequences": 2}, STORY)
    prompts = f"{{{{jobs.{story['jobId']}.result.scenes[*].description}}}}"
    body = {
        "prompts": prompts,
        "dependsOn": [{"jobId": story["jobId"]}],
        "options": {"studio": {"mode": "noop"}},
    }
    job = await submit_job(ada, body, "/api/jobs/batch-generation")
    assert job["credits"]["held"] == 10  # what a batch commonly costs
    await world.advance(5)
    assert (await read_job(ada, job))["credits"] == {"held": 0, "captured": 2, "released": 8}


async def test_a_pipeline_retains_its_own_references(world: World, ada: httpx.AsyncClient) -> None:
    story = await submit_job(ada, {"prompt": "a fox", "numSequences": 2}, STORY)
    steps = {
        "many": {
            "type": "image-generation",
            "forEach": f"{{{{jobs.{story['jobId']}.result.scenes}}}}",
            "payload": {**image_request("noop"), "prompt": "{{item.title}}"},
        }
    }
    body = {"steps": steps, "dependsOn": [{"jobId": story["jobId"]}]}
    job = await submit_job(ada, body, "/api/jobs/pipeline")
    await world.advance(8)
    assert (await read_job(ada, job))["credits"]["captured"] == 2


async def test_a_job_that_depends_on_ended_ones_begins_at_once(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, image_request("noop"))
    await world.settle()
    assert (await submit_job(ada, after(first)))["status"] == "QUEUED"


@pytest.mark.parametrize(
    ("on_failure", "ends"), [("fail", "FAILED"), ("ignore", "COMPLETED"), ("continue", "COMPLETED")]
)
async def test_a_failure_means_what_the_edge_says(
    on_failure: str, ends: str, world: World, ada: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, image_request("fail-permanent"))
    job = await submit_job(ada, after(first, on_failure=on_failure))
    await world.advance(3)
    found = await read_job(ada, job)
    assert found["status"] == ends
    if ends == "FAILED":
        assert found["error"]["code"] == "dependency_failed"
        assert first["jobId"] in found["error"]["message"]
        assert found["credits"] == {"held": 0, "captured": 0, "released": 1}


async def test_ignore_waits_for_the_others_and_continue_does_not(
    world: World, ada: httpx.AsyncClient
) -> None:
    slow, bad = await submit_job(ada, SLOW), await submit_job(ada, image_request("fail-permanent"))
    patient = await submit_job(ada, after(slow, bad, on_failure="ignore"))
    eager = await submit_job(ada, after(slow, bad, on_failure="continue"))
    await world.advance(5)
    assert (await status(ada, patient), await status(ada, eager)) == ("BLOCKED", "COMPLETED")


async def test_a_failure_goes_down_the_chain(world: World, ada: httpx.AsyncClient) -> None:
    first = await submit_job(ada, image_request("fail-permanent"))
    second = await submit_job(ada, after(first))
    third = await submit_job(ada, after(second))
    await world.advance(3)
    assert (await status(ada, second), await status(ada, third)) == ("FAILED", "FAILED")
    assert (await read_balance(ada))["available"] == 100


async def test_cancelling_frees_or_fails_those_that_wait(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, SLOW)
    hard, soft = (
        await submit_job(ada, after(first)),
        await submit_job(ada, after(first, on_failure="ignore")),
    )
    blocked = await submit_job(ada, after(first))
    await ada.delete(f"{IMAGE}/{blocked['jobId']}")
    await ada.delete(f"{IMAGE}/{first['jobId']}")
    await world.advance(3)
    assert [await status(ada, job) for job in (hard, soft, blocked)] == [
        "FAILED",
        "COMPLETED",
        "CANCELLED",
    ]


async def test_a_blocked_job_expires_when_its_time_to_start_has_passed(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, image_request("slow", seconds=100))
    job = await submit_job(ada, after(first, startWithinSeconds=30))
    await world.advance(31)
    await world.sweep()
    assert await status(ada, job) == "EXPIRED"
    await world.advance(100)
    assert await status(ada, job) == "EXPIRED"


async def test_the_sweep_unblocks_a_job_whose_notice_was_lost(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, SLOW)
    job = await submit_job(ada, after(first))
    stored = await world.job(first["jobId"])
    await world.put(stored.model_copy(update={"waiters": ()}))
    await world.advance(60)
    assert await status(ada, job) == "BLOCKED"
    await world.advance(100)
    await world.sweep()
    await world.settle()
    assert await status(ada, job) == "COMPLETED"


async def test_what_does_not_fit_once_it_is_known_fails_the_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    story = await submit_job(ada, {"prompt": "a fox", "numSequences": 2}, STORY)
    made = [
        await submit_job(ada, after(story, prompt=f"{{{{jobs.{story['jobId']}.{words}}}}}"))
        for words in ("result.nothing", "result.scenes")
    ]
    await world.advance(3)
    codes = [(await read_job(ada, job))["error"]["code"] for job in made]
    assert codes == ["bad_reference", "bad_payload"]


async def test_what_cannot_be_depended_on_is_refused(world: World, ada: httpx.AsyncClient) -> None:
    theirs = await submit_job(world.as_user("bob"), image_request("noop"))
    for job in (theirs, {"jobId": "job_unknown"}):
        assert refused_paths(await ada.post(IMAGE, json=after(job))) == {"dependsOn[0].jobId"}
        assert refused_paths(await ada.post(f"{IMAGE}?validateOnly=true", json=after(job))) == {
            "dependsOn[0].jobId"
        }
    mine = await submit_job(ada, SLOW)
    stranger = after(mine, prompt="{{jobs.job_other.result.title}}")
    assert refused_paths(await ada.post(IMAGE, json=stranger)) == {"dependsOn"}
    wrong = after(mine, prompt=f"{{{{jobs.{mine['jobId']}.result.title}}}}", options={"width": 1})
    assert refused_paths(await ada.post(IMAGE, json=wrong)) == {"options.width"}


@pytest.mark.parametrize("query", ["", "?validateOnly=true"])
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            {"prompt": "{{jobs.job_1.result.title}}"},
            "prompt refers to job job_1: name it in dependsOn",
        ),
        (
            {"prompt": "x", "options": {"providerOptions": {"a": ["{{ jobs.job_1.x }}"]}}},
            "providerOptions.a[0] refers",
        ),
        ({"prompt": "\\u007b{jobs.job_1.result.title}}"}, "name it in dependsOn"),
    ],
)
async def test_a_reference_to_a_job_that_is_not_depended_on_is_refused(
    query: str, body: dict[str, Any], says: str, ada: httpx.AsyncClient
) -> None:
    content = json.dumps(body).replace("\\\\u", "\\u")
    refused = expect_problem(
        await ada.post(f"{IMAGE}{query}", content=content), 422, "invalid_request"
    )
    assert refused["errors"][0]["path"] == "dependsOn"
    assert says in refused["detail"]
    assert (await read_balance(ada))["held"] == 0


async def test_a_reference_that_can_never_be_read_is_refused(ada: httpx.AsyncClient) -> None:
    story = await submit_job(ada, {"prompt": "a fox", "numSequences": 2}, STORY)
    unread = f"{{{{jobs.{story['jobId']}..title}}}}"
    assert refused_paths(await ada.post(IMAGE, json=after(story, prompt=unread))) == {"prompt"}
    mixed = f"{{{{[jobs.{story['jobId']}.result.title, item]}}}}"
    assert refused_paths(await ada.post(IMAGE, json=after(story, prompt=mixed))) == {"prompt"}
    result = f"jobs.{story['jobId']}.result"
    twice = f"{{{{join('', [{result}.title, {result}.genre])}}}}"
    assert (await submit_job(ada, after(story, prompt=twice)))["status"] == "BLOCKED"
    many = [f"{{{{jobs.{story['jobId']}.result.title}}}}"] * 502
    body = {"prompts": many[:90], "dependsOn": [{"jobId": story["jobId"]}]}
    body["options"] = {"providerOptions": {"all": many}}
    assert refused_paths(await ada.post("/api/jobs/batch-generation", json=body)) == {
        "options.providerOptions.all[410]"
    }


async def test_braces_that_name_no_job_are_only_words(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(
        ada, {**image_request("noop"), "prompt": "{{jobs}} {{ jobs, many }} {{steps.a.result}} {{x"}
    )
    await world.settle()
    assert await status(ada, job) == "COMPLETED"


async def test_a_job_that_never_began_is_replayed_and_not_retried(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, image_request("fail-permanent"))
    job = await submit_job(ada, after(first))
    await world.advance(3)
    expect_problem(await ada.post(f"{IMAGE}/{job['jobId']}/retry"), 409, "conflict")
    again = await ada.post(f"{IMAGE}/{job['jobId']}/replay", json={"edit": {"dependsOn": None}})
    await world.settle()
    assert await status(ada, again.json()) == "COMPLETED"


async def test_an_unblocked_job_of_a_type_that_is_not_deployed_fails_with_those_that_wait_for_it(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, SLOW)
    second = await submit_job(ada, after(first))
    third = await submit_job(ada, after(second))
    await world.settle()
    documents = await read_documents(world)
    documents["jobs"][second["jobId"]]["jobType"] = "sticker"
    await store_documents(world, documents)
    for _ in range(12):
        await world.advance(60)
        await world.sweep()
    assert (await read_job(ada, second))["error"]["code"] == "job_type_unknown"
    assert (await read_job(ada, third))["error"]["code"] == "dependency_failed"
    assert (await read_balance(ada))["held"] == 0


async def test_an_output_that_makes_the_payload_too_large_fails_the_job(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "MAX_PAYLOAD_BYTES", 600)
    story = await submit_job(ada, {"prompt": "A fox " * 20}, STORY)
    large = await submit_job(ada, after(story, prompt="{{jobs." + story["jobId"] + ".result}}" * 3))
    await world.advance(60)
    found = await read_job(ada, large)
    assert (found["status"], found["error"]["code"]) == ("FAILED", "payload_too_large")
    assert found["credits"]["held"] == 0


async def test_a_job_that_has_too_many_waiters_leaves_the_rest_to_the_sweep(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dependencies, "_MOST_WAITERS", 1)
    first = await submit_job(ada, SLOW)
    jobs = [await submit_job(ada, after(first)) for _ in range(2)]
    assert (await world.job(first["jobId"])).waiters == (jobs[0]["jobId"],)
    await world.advance(30)
    assert [await status(ada, job) for job in jobs] == ["COMPLETED", "BLOCKED"]
    for _ in range(4):
        await world.advance(200)
        await world.sweep()
    assert await status(ada, jobs[1]) == "COMPLETED"


async def test_a_job_that_would_cost_more_than_is_held_fails_and_costs_nothing(
    world: World, ada: httpx.AsyncClient
) -> None:
    story = await submit_job(ada, {"prompt": "a fox builds a boat", "numSequences": 12}, STORY)
    prompts = f"{{{{jobs.{story['jobId']}.result.scenes[*].description}}}}"
    body = {
        "prompts": prompts,
        "dependsOn": [{"jobId": story["jobId"]}],
        "options": {"studio": {"mode": "noop"}},
    }
    job = await submit_job(ada, body, "/api/jobs/batch-generation")
    await world.advance(5)
    found = await read_job(ada, job)
    assert (found["status"], found["error"]["code"]) == ("FAILED", "budget_exceeded")
    assert found["credits"] == {"held": 0, "captured": 0, "released": 10}
