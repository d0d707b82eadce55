"""A pipeline's provider and price cap, passed on to its jobs."""

from __future__ import annotations

from typing import Any

import pytest

from functions.fake_providers import KITE, ProviderSetup, StartProviders
from functions.job_requests import expect_problem, read_balance, read_job
from functions.pipeline_requests import PIPELINE, jobs_of
from functions.test_replay import replayed
from providers.fake_provider import Fault

FLUX = {name: value for name, value in KITE.items() if name != "provider"}


KITES = {"kites": ["a", "b", "c", "d", "e"]}


def pictures(count: int = 3, **fields: Any) -> dict[str, Any]:
    """A step of pictures at $0.04 each; their number is known only when it starts."""
    wanted = f"{{{{payload.input.kites[:{count}]}}}}"
    return {"type": "image-generation", "forEach": wanted, "payload": KITE, **fields}


async def done(setup: ProviderSetup, steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return await setup.run_job({"steps": steps, "input": KITES, **fields}, PIPELINE)


# ── Price ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("max_usd", "status", "cost", "bought"), [(0.2, "COMPLETED", 0.2, 5), (0.19, "FAILED", None, 0)]
)
async def test_a_fan_out_that_would_cost_more_than_its_cap_is_not_begun(
    start_providers: StartProviders, max_usd: float, status: str, cost: float | None, bought: int
) -> None:
    setup = await start_providers("bfl")
    job = await done(setup, {"pictures": pictures(5)}, maxUsd=max_usd)
    assert (job["status"], job["costUsd"], setup.fakes["bfl"].creates) == (status, cost, bought)
    assert len(await jobs_of(setup.world, job["jobId"])) == bought
    assert job["credits"] == {"held": 0, "captured": bought, "released": 10 - bought}


async def test_a_cap_that_does_not_cover_what_is_known_is_refused(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    five = {"type": "image-generation", "forEach": ["a kite"] * 5, "payload": KITE}
    steps = {"first": pictures(1), "five": {**five, "after": ["first"]}}
    answer = await setup.user().post(
        PIPELINE, json={"steps": steps, "input": KITES, "maxUsd": 0.19}
    )
    refused = expect_problem(answer, 422, "price_cap_exceeded")
    assert (refused["errors"][0]["path"], "$0.200" in refused["detail"]) == ("maxUsd", True)
    enough = await setup.user().post(PIPELINE, json={"steps": steps, "input": KITES, "maxUsd": 0.2})
    assert enough.status_code == 202


async def test_a_refusal_states_the_remaining_dollars_and_the_cost(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    job = await done(
        setup, {"first": pictures(3), "second": pictures(3, after=["first"])}, maxUsd=0.2
    )
    assert (job["error"]["code"], job["error"]["step"]) == ("price_cap_exceeded", "second")
    assert (
        "Step second: $0.000 of the pipeline's maxUsd remain for job 2. " in job["error"]["message"]
    )
    assert "costs about $0.040" in job["error"]["message"]
    assert (job["costUsd"], job["credits"]["captured"]) == (0.12, 3)
    assert (await read_balance(setup.user()))["held"] == 0


async def test_work_under_way_counts_with_its_estimate(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].polls = 5
    job = await done(
        setup, {"one": pictures(3), "two": pictures(2), "three": pictures(1)}, maxUsd=0.2
    )
    assert (job["status"], job["error"]["step"]) == ("FAILED", "three")
    assert setup.fakes["bfl"].creates <= 5


async def test_inner_pipelines_share_the_remaining_dollars_by_their_credits(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    inner = {"large": _inner(4), "small": _inner(1)}
    assert (await done(setup, inner, maxUsd=0.2))["costUsd"] == 0.2
    short = await done(setup, inner, maxUsd=0.19)
    assert (short["status"], short["error"]["code"]) == ("FAILED", "price_cap_exceeded")


def _inner(count: int) -> dict[str, Any]:
    return {
        "type": "pipeline",
        "payload": {"steps": {"pictures": pictures(count)}, "input": KITES, "budget": count},
    }


async def test_a_second_round_counts_what_the_first_has_taken(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    job = await done(
        setup, {"first": pictures(3), "second": pictures(3, after=["first"])}, maxUsd=0.2
    )
    ada = setup.user()
    assert (await ada.post(f"{PIPELINE}/{job['jobId']}/retry")).status_code == 202
    await setup.world.advance(60)
    again = await read_job(ada, job)
    assert (again["status"], again["error"]["code"], again["costUsd"]) == (
        "FAILED",
        "price_cap_exceeded",
        0.12,
    )


@pytest.mark.parametrize(
    ("other", "model", "cap", "status", "served"),
    [
        ("fal", {"model": "flux-1.1-pro"}, {"maxUsd": 5}, "COMPLETED", "fal"),
        ("openai", {}, {"maxUsd": 5}, "FAILED", "bfl"),
        ("openai", {}, {}, "COMPLETED", "openai"),
    ],
)
async def test_under_a_cap_no_dearer_provider_takes_over(
    start_providers: StartProviders,
    other: str,
    model: dict[str, Any],
    cap: dict[str, Any],
    status: str,
    served: str,
) -> None:
    """The model costs the same at fal; openai's costs more."""
    setup = await start_providers("bfl", other, stand_in_provider=None)
    setup.fakes["bfl"].fault = Fault.NO_CREDIT
    wanted = {"prompt": "x", "provider": ["bfl", other], **model}
    job = await done(setup, {"one": {"type": "image-generation", "payload": wanted}}, **cap)
    assert (job["status"], job["servedBy"]) == (status, served)


async def test_a_pipeline_says_who_could_not_do_its_jobs(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl", "fal", stand_in_provider=None)
    setup.fakes["bfl"].fault = Fault.NO_CREDIT
    wanted = {"prompt": "x", "provider": ["bfl", "fal"], "model": "flux-1.1-pro"}
    free = {"type": "image-generation", "payload": {"prompt": "x", "provider": "studio"}}
    steps = {
        "bought": {"type": "image-generation", "forEach": [1, 2], "payload": wanted},
        "free": free,
    }
    job = await done(setup, steps)
    assert (job["status"], job["servedBy"]) == ("COMPLETED", "fal, studio")
    assert job["tried"] == [
        {"provider": "bfl", "model": "flux-1.1-pro", "code": "provider_out_of_credit"}
    ]


async def test_a_step_that_no_provider_can_do_is_refused_for_that_whatever_the_cap(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("runway", stand_in_provider=None)
    job = await done(setup, {"story": STORY, "clip": long_clip(provider="runway")}, maxUsd=5)
    assert job["error"]["code"] == "no_provider", job["error"]
    assert "cannot do 40 s" in job["error"]["message"]


async def test_a_cap_of_nothing_lets_the_local_provider_work(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    free = {"type": "image-generation", "payload": {**FLUX, "model": None, "provider": "studio"}}
    assert (await done(setup, {"free": free}, maxUsd=0))["status"] == "COMPLETED"


# ── Provider ─────────────────────────────────────────────────────────────────────────────────────

STORY = {
    "type": "story-generation",
    "payload": {"prompt": "a fox builds a boat", "numSequences": 2, "provider": "studio"},
}


async def test_a_pipelines_provider_serves_the_steps_that_it_can_do_and_that_name_none(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "replicate")
    picture = {"type": "image-generation", "payload": {"prompt": "a kite"}}
    own = {**picture, "payload": {"prompt": "a kite", "provider": "replicate"}}
    story = {
        "type": "story-generation",
        "payload": {"prompt": "a fox builds a boat", "numSequences": 2},
    }
    job = await done(setup, {"story": story, "picture": picture, "own": own}, provider="bfl")
    assert job["status"] == "COMPLETED", job["error"]
    served = {one.step: one.served_by for one in await jobs_of(setup.world, job["jobId"])}
    assert served == {"story": "studio", "picture": "bfl", "own": "replicate"}


async def test_a_pipelines_provider_reaches_the_pipelines_within_and_may_be_a_list(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "openai", stand_in_provider=None)
    inner = {
        "type": "pipeline",
        "payload": {"steps": {"picture": {"type": "image-generation", "payload": {"prompt": "a"}}}},
    }
    job = await done(setup, {"inner": inner}, provider=["openai", "bfl"])
    (middle,) = await jobs_of(setup.world, job["jobId"])
    (picture,) = await jobs_of(setup.world, middle.job_id)
    assert (picture.served_by, picture.payload["provider"]) == ("openai", ["openai", "bfl"])


def long_clip(**fields: Any) -> dict[str, Any]:
    """A step that no provider can do; found only once the story exists."""
    payload = {
        "prompt": "waves",
        "options": {"duration": "{{steps.story.result.scenes && `40`}}"},
        **fields,
    }
    return {"type": "video-generation", "payload": payload}


async def test_options_that_the_pipelines_provider_lacks_are_refused(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("runway", "google", stand_in_provider=None)
    job = await done(setup, {"story": STORY, "clip": long_clip()}, provider="runway")
    assert job["error"]["code"] == "no_provider", job["error"]
    assert "google" not in job["error"]["message"]
    clip = {"type": "video-generation", "payload": {"prompt": "waves", "options": {"duration": 40}}}
    refused = await setup.user().post(
        PIPELINE, json={"steps": {"clip": clip}, "provider": "runway"}
    )
    assert "runway/gen4.5 cannot do 40 s" in expect_problem(refused, 422, "no_provider")["detail"]


@pytest.mark.parametrize(
    ("path", "body", "served"),
    [
        ("movie-creation", {"numSequences": 1, "narration": "none"}, {"story": "openai"}),
        ("world-building", {"conceptPictures": 1}, {"world": "openai"}),
        ("scene-creation", {"narration": "It rained."}, {"picture": "openai", "voice": "openai"}),
    ],
)
async def test_the_provider_of_a_movie_a_world_or_a_scene_does_all_that_it_can(
    start_providers: StartProviders, path: str, body: dict[str, Any], served: dict[str, str]
) -> None:
    """The cheapest provider would be another one."""
    setup = await start_providers(
        "openai", "replicate", "google", "elevenlabs", stand_in_provider=None
    )
    asked = {"prompt": "a kite", "provider": "openai", **body}
    answer = await setup.user().post(f"/api/jobs/{path}?validateOnly=true", json=asked)
    steps = answer.json()["steps"]
    assert {name: steps[name]["servedBy"] for name in served} == served


async def test_a_replay_with_another_provider_takes_over_finished_work(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "replicate", stand_in_provider=None)
    picture = {"type": "image-generation", "payload": {"prompt": "a kite"}}
    job = await done(
        setup, {"first": picture, "second": {**picture, "after": ["first"]}}, provider="bfl"
    )
    ada = setup.user()
    again = await replayed(ada, job, provider=["replicate", "bfl"], fromStep="second")
    await setup.world.advance(120)
    assert (await read_job(ada, again))["status"] == "COMPLETED"
    (made,) = await jobs_of(setup.world, again["jobId"])
    assert (made.step, made.served_by) == ("second", "replicate")
