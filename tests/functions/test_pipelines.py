"""Pipelines: order of steps, fan-outs, failures, one budget, cancellation, nesting, retries."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
import pytest

from functions.job_requests import expect_problem, read_balance, read_job, refused_paths, submit_job
from functions.pipeline_requests import (
    PICTURES,
    PIPELINE,
    STORY,
    ended,
    fan,
    image,
    jobs_of,
    start,
    statuses,
    step,
)
from simulation.world import World

T = TypeVar("T")


async def test_a_fan_out_is_as_wide_as_what_the_step_before_made(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await ended(world, ada, await start(ada, story=STORY, pictures=PICTURES), "COMPLETED")
    drawn = await jobs_of(world, job["jobId"], "pictures")
    (story,) = await jobs_of(world, job["jobId"], "story")
    assert [one.payload["prompt"] for one in drawn] == [
        scene["description"] for scene in (story.units[0].data or {})["scenes"]
    ]
    assert len(job["result"]["items"]) == 3


async def test_a_step_may_use_all_that_another_made(world: World, ada: httpx.AsyncClient) -> None:
    script = {"scenes": "{{steps.pictures.results[*].{description: note} }}"}
    join = {"type": "content-analysis", "payload": {"script": script}}
    pictures = fan("noop", "noop")
    job = await ended(world, ada, await start(ada, pictures=pictures, join=join), "COMPLETED")
    assert job["result"]["script"]["scenes"] == 2


async def test_several_lists_are_walked_item_by_item(world: World, ada: httpx.AsyncClient) -> None:
    both = {**step(), "forEach": {"a": ["x", "y"], "b": [1, 2]}}
    both["payload"] = {**image(), "prompt": "{{item.a}} {{item.b}} {{index}}"}
    job = await ended(world, ada, await start(ada, both=both), "COMPLETED")
    assert [one.payload["prompt"] for one in await jobs_of(world, job["jobId"])] == [
        "x 1 0",
        "y 2 1",
    ]


async def test_a_failure_ends_the_pipeline_and_what_still_runs(
    world: World, ada: httpx.AsyncClient
) -> None:
    steps = {"many": fan("noop", "fail-permanent", "slow"), "after": step(after=["many"])}
    steps["many"]["payload"]["options"]["studio"]["seconds"] = 30
    job = await ended(world, ada, await start(ada, **steps), "FAILED")
    assert job["error"]["message"].startswith("Step many failed: ")
    assert job["credits"] == {"held": 0, "captured": 1, "released": 3}
    await world.settle()
    assert statuses(await jobs_of(world, job["jobId"])) == ["COMPLETED", "FAILED", "CANCELLED"]


async def test_an_ignored_failure_leaves_the_others(world: World, ada: httpx.AsyncClient) -> None:
    many = fan("noop", "fail-permanent", "noop", onFailure="ignore")
    script = {"scenes": "{{steps.many.results[*].{n: index} }}"}
    after = {"type": "content-analysis", "payload": {"script": script, "insights": False}}
    job = await ended(world, ada, await start(ada, many=many, after=after), "COMPLETED")
    assert job["result"]["script"]["scenes"] == 2
    assert job["credits"] == {"held": 0, "captured": 3, "released": 1}


async def test_continue_goes_on_as_soon_as_anything_has_failed(
    world: World, ada: httpx.AsyncClient
) -> None:
    many = fan("slow", "fail-permanent", onFailure="continue")
    many["payload"]["options"]["studio"]["seconds"] = 3000
    job = await start(ada, many=many, after=step(after=["many"]))
    await world.advance(10)
    assert statuses(await jobs_of(world, job["jobId"], "after")) == ["COMPLETED"]


async def test_one_hold_and_one_settlement(world: World, ada: httpx.AsyncClient) -> None:
    job = await start(ada, story=STORY, pictures={**PICTURES, "maxItems": 5})
    assert (await read_balance(ada))["held"] == 6
    await ended(world, ada, job, "COMPLETED")
    assert (await read_balance(ada))["captured"] == 4
    entries = (await ada.get("/api/credits/ledger")).json()["entries"]
    assert [entry["kind"] for entry in entries if entry.get("jobId")] == ["capture"]


async def test_a_fan_out_over_the_budget_is_not_begun(world: World, ada: httpx.AsyncClient) -> None:
    body = {"steps": {"story": STORY, "pictures": PICTURES}, "budget": 3}
    job = await ended(world, ada, await submit_job(ada, body, PIPELINE), "FAILED")
    assert job["error"]["code"] == "budget_exceeded"
    assert "3 credits, and 2 of the 3" in job["error"]["message"]
    assert job["credits"] == {"held": 0, "captured": 1, "released": 2}
    assert await jobs_of(world, job["jobId"], "pictures") == []


async def test_a_fan_out_makes_at_most_its_most_items(world: World, ada: httpx.AsyncClient) -> None:
    job = await ended(
        world, ada, await start(ada, story=STORY, pictures={**PICTURES, "maxItems": 2}), "FAILED"
    )
    assert job["error"]["code"] == "too_wide"


async def test_an_inner_pipeline_spends_at_most_its_budget(
    world: World, ada: httpx.AsyncClient
) -> None:
    inner = {
        "type": "pipeline",
        "payload": {"steps": {"story": STORY, "pictures": PICTURES}, "budget": 2},
    }
    job = await ended(world, ada, await start(ada, inner=inner, other=fan(*["noop"] * 5)), "FAILED")
    assert job["error"]["code"] == "budget_exceeded"


async def test_cancelling_the_pipeline_cancels_the_tree(
    world: World, ada: httpx.AsyncClient
) -> None:
    slow = step("slow")
    slow["payload"]["options"]["studio"]["seconds"] = 3000
    inner = {"type": "pipeline", "payload": {"steps": {"deep": slow}}}
    job = await start(ada, inner=inner, beside=slow)
    await world.advance(5)
    answer = await ada.delete(f"{PIPELINE}/{job['jobId']}")
    assert answer.json()["status"] == "CANCELLED"
    await world.settle()
    below = await jobs_of(world, job["jobId"])
    deep = [one for parent in below for one in await jobs_of(world, parent.job_id)]
    assert statuses([*below, *deep]) == ["CANCELLED"] * 3
    assert (await read_balance(ada))["available"] == 100


async def test_progress_is_weighted_and_never_falls(world: World, ada: httpx.AsyncClient) -> None:
    video = {
        "type": "video-generation",
        "payload": {"prompt": "x", "options": {"studio": {"mode": "noop"}}},
    }
    last = step("slow", after=["clip"])
    last["payload"]["options"]["studio"]["seconds"] = 6
    job = await start(
        ada, first=fan("noop", "noop", "noop"), clip={**video, "after": ["first"]}, last=last
    )
    seen: list[int] = []
    while "COMPLETED" not in (found := await read_job(ada, job))["status"]:
        seen.append(found["progress"])
        await world.advance(0.5)
    assert seen == sorted(seen)
    assert {33, 88} <= set(seen)  # 3 of 9 credits, then 8


async def test_a_movie_is_a_step_like_any_other(world: World, ada: httpx.AsyncClient) -> None:
    film = {"width": 96, "height": 64, "fps": 8, "quality": "draft", "captions": False}
    movie = {
        "prompt": "a kite",
        "numSequences": 1,
        "narration": "none",
        "music": False,
        "options": film,
    }
    steps = {
        "movie": {"type": "movie-creation", "payload": movie},
        "frame": {
            "type": "media-processing",
            "payload": {
                "operation": "frame-extract",
                "inputFiles": ["{{steps.movie.artifacts[0].ref}}"],
            },
        },
    }
    job = await ended(world, ada, await start(ada, **steps), "COMPLETED", 200)
    assert job["result"]["artifacts"][0]["width"] == 96
    assert job["credits"] == {"held": 0, "captured": 5, "released": 0}


async def test_a_second_round_retains_finished_work(world: World, ada: httpx.AsyncClient) -> None:
    slow = step("slow", after=["first"])
    slow["payload"]["options"]["studio"]["seconds"] = 5
    job = await start(ada, first=fan("noop", "noop"), second=slow)
    await world.advance(4)
    (child,) = await jobs_of(world, job["jobId"], "second")
    await ada.delete(f"/api/jobs/image-generation/{child.job_id}")
    await ended(world, ada, job, "FAILED")
    before = await jobs_of(world, job["jobId"], "first")
    assert (await ada.post(f"{PIPELINE}/{job['jobId']}/retry")).status_code == 202
    await ended(world, ada, job, "COMPLETED")
    # They are shown as long as the retried pipeline: their retention alone has changed.
    expire_at = (await world.job(job["jobId"])).expire_at
    assert expire_at is not None
    after = await jobs_of(world, job["jobId"], "first")
    assert all(one.expire_at is not None and one.expire_at >= expire_at for one in after)
    assert [one.model_copy(update={"expire_at": None}) for one in after] == [
        one.model_copy(update={"expire_at": None}) for one in before
    ]
    assert [one.parent_round for one in before] == [1, 1]
    assert statuses(await jobs_of(world, job["jobId"], "second")) == ["CANCELLED", "COMPLETED"]
    # 2 in the first round; in the second only what had been missing.
    assert (await read_balance(ada))["captured"] == 3


async def test_a_second_round_retains_the_finished_work_of_an_inner_pipeline(
    world: World, ada: httpx.AsyncClient
) -> None:
    slow = step("slow", after=["first"])
    slow["payload"]["options"]["studio"]["seconds"] = 5
    inner = {
        "type": "pipeline",
        "payload": {"steps": {"first": fan("noop", "noop"), "second": slow}},
    }
    job = await start(ada, inner=inner)
    await world.advance(5)
    (middle,) = await jobs_of(world, job["jobId"])
    (child,) = await jobs_of(world, middle.job_id, "second")
    await ada.delete(f"/api/jobs/image-generation/{child.job_id}")
    await ended(world, ada, job, "FAILED")
    await ada.post(f"{PIPELINE}/{job['jobId']}/retry")
    await ended(world, ada, job, "COMPLETED")
    again = (await jobs_of(world, job["jobId"]))[-1]
    assert [one.step for one in await jobs_of(world, again.job_id)] == ["second"]
    assert (await read_balance(ada))["captured"] == 3


async def test_a_part_of_a_pipeline_is_not_retried_alone(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await ended(world, ada, await start(ada, one=step("fail-permanent")), "FAILED")
    (child,) = await jobs_of(world, job["jobId"])
    refused = expect_problem(
        await ada.post(f"/api/jobs/image-generation/{child.job_id}/retry"), 409, "conflict"
    )
    assert refused["parentId"] == job["jobId"]


def spoken(**fields: Any) -> dict[str, Any]:
    return {"type": "audio-synthesis", "payload": {"text": "Once.", **fields}}


@pytest.mark.parametrize(
    ("steps", "path", "says"),
    [
        ({"a": step(after=["b"]), "b": step(after=["a"])}, "steps", "cycle: "),
        ({"a": step(after=["nobody"])}, "steps.a.after[0]", "nobody"),
        ({"a": {"type": "nothing"}}, "steps.a.type", "there is no job type"),
        (
            {"a": {"type": "image-generation", "payload": {"prompt": ""}}},
            "steps.a.payload.prompt",
            "must not be empty",
        ),
        (
            {"a": {**step(), "payload": {"prompt": "{{steps.a..b}}"}}},
            "steps.a.payload.prompt",
            "not an expression",
        ),
        (
            {"a": {**step(), "payload": {"prompt": "{" * 40_000 + "}}"}}},
            "steps.a.payload.prompt",
            "39,998 characters",
        ),
        (
            {"a": {**step(), "payload": {"prompt": "{{" + "(" * 300 + "}}"}}},
            "steps.a.payload.prompt",
            "expression",
        ),
        (
            {"a": {**step(), "payload": {"prompt": "{{item}}"}}},
            "steps.a.payload.prompt",
            "without it there is no item",
        ),
        (
            {"a": {**step(), "payload": {"prompt": "{{payload.input.x}}"}}},
            "steps.a.payload",
            "names nothing",
        ),
        ({"a": step(forEach="hello")}, "steps.a.forEach", "must be a list"),
        ({"a": step(forEach=[0] * 1001)}, "steps.a.forEach", "1,001 jobs"),
        ({"a": step(forEach=[10**30])}, "steps.a.forEach[0]", "64 bits"),
        (
            {"a": {**step(), "payload": {**image(), "__a__": 1}}},
            "steps.a.payload",
            "'__a__' is not a name",
        ),
        ({"": step()}, "steps", "is not a name"),
        (
            {"a": step(), "b": spoken(provider="nobody")},
            "steps.b.payload.provider",
            "There is no provider 'nobody'",
        ),
        (
            {"a": step(), "b": spoken(provider=["nobody", "x"])},
            "steps.b.payload.provider",
            "no provider 'nobody'",
        ),
        (
            {
                "b": {
                    **spoken(provider="nobody", language="{{item}}"),
                    "forEach": "{{payload.input}}",
                }
            },
            "steps.b.payload.provider",
            "no provider 'nobody'",
        ),
        (
            {"a": STORY, "b": {**spoken(provider="nobody"), "payload": "{{steps.a.result}}"}},
            "steps.b.payload",
            "must be an object",
        ),
        (
            {"a": {**spoken(provider="{{item}}"), "forEach": ["studio", "nobody"]}},
            "steps.a.payload.provider",
            "no provider 'nobody'",
        ),
        (
            {
                "a": {
                    **fan("noop"),
                    "payload": {"prompt": "x", "options": {"width": "{{item}}"}},
                    "forEach": [512, 1],
                }
            },
            "steps.a.payload.options.width",
            "must be at least 64",
        ),
        (
            {"a": {"type": "pipeline", "payload": {"steps": {"b": spoken(provider="nobody")}}}},
            "steps.a.payload.steps.b.payload.provider",
            "no provider 'nobody'",
        ),
        (
            {
                "s": STORY,
                "a": {
                    "type": "pipeline",
                    "payload": {
                        "input": "{{steps.s.result}}",
                        "steps": {
                            "b": {
                                **spoken(provider="nobody"),
                                "forEach": "{{payload.input.scenes}}",
                            }
                        },
                    },
                },
            },
            "steps.a.payload.steps.b.payload.provider",
            "no provider 'nobody'",
        ),
        (
            {
                "a": {
                    "type": "movie-creation",
                    "payload": {"prompt": "x", "providers": {"music": "nobody"}},
                }
            },
            "steps.a.payload.providers.music",
            "no provider 'nobody'",
        ),
    ],
)
async def test_a_pipeline_that_cannot_work_costs_nothing(
    steps: dict[str, Any], path: str, says: str, ada: httpx.AsyncClient
) -> None:
    for query in ("", "?validateOnly=true"):
        refused = expect_problem(
            await ada.post(f"{PIPELINE}{query}", json={"steps": steps}), 422, "invalid_request"
        )
        assert says in refused["detail"]
        assert path == refused["errors"][0]["path"]
    assert (await read_balance(ada))["held"] == 0


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("movie-creation", {"prompt": "x", "providers": {"voice": "nobody"}}, "providers.voice"),
        (
            "movie-creation",
            {"prompt": "x", "providers": {"clips": "nobody"}, "clips": True},
            "providers.clips",
        ),
        ("movie-creation", {"prompt": "x", "provider": "nobody"}, "provider"),
        ("scene-creation", {"prompt": "x", "provider": "nobody"}, "provider"),
        ("world-building", {"prompt": "x", "provider": "nobody"}, "provider"),
    ],
)
async def test_who_cannot_do_a_part_is_refused_where_it_was_named(
    path: str, body: dict[str, Any], field: str, ada: httpx.AsyncClient
) -> None:
    assert refused_paths(await ada.post(f"/api/jobs/{path}", json=body)) == {field}
    assert (await read_balance(ada))["held"] == 0


async def test_words_in_braces_are_only_words_to_a_movie(
    world: World, ada: httpx.AsyncClient
) -> None:
    prompt = "a {{kite}} for {{steps.story.result}}, {{{{item}}}} and {{"
    movie = {"prompt": prompt, "numSequences": 1, "narration": "none", "music": False}
    job = await submit_job(ada, movie, "/api/jobs/movie-creation")
    await world.advance(1)
    (story,) = await jobs_of(world, job["jobId"], "story")
    assert story.payload["prompt"] == prompt


async def test_a_pipeline_is_quoted_step_by_step(ada: httpx.AsyncClient) -> None:
    steps = {"story": STORY, "pictures": {**PICTURES, "maxItems": 4}}
    quoted = (await ada.post(f"{PIPELINE}?validateOnly=true", json={"steps": steps})).json()
    assert quoted["cost"] == 5
    assert quoted["servedBy"] == "studio"
    assert quoted["steps"] == {name: {"servedBy": "studio", "usd": 0} for name in steps}
    assert quoted["usd"] == 0


async def test_a_reference_to_nothing_names_itself(world: World, ada: httpx.AsyncClient) -> None:
    lost = {"type": "image-generation", "payload": {"prompt": "{{steps.first.result.title}}"}}
    job = await ended(world, ada, await start(ada, first=step(), lost=lost), "FAILED")
    assert "{{steps.first.result.title}} names nothing" in job["error"]["message"]
