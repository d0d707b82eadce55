"""A deployment, which has no imitation: no request can imitate, fail or stall on purpose."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.fake_providers import StartProviders
from functions.job_requests import (
    IMAGE,
    UPSCALE,
    expect_problem,
    read_balance,
    read_job,
    refused_paths,
    submit_job,
)
from functions.pipeline_requests import PIPELINE
from providers.fake_provider import build_png
from simulation.world import World, running, settings
from taskreel import wiring
from taskreel.config import ConfigurationError
from taskreel.domain.job import Job
from taskreel.jobtypes import JOB_TYPES

#: The settings of a deployment without keys.
DEPLOYED: dict[str, Any] = {"extra_providers": None, "stand_in_provider": None}
MODES = ["noop", "slow", "fail-temporary", "fail-permanent", "rate-limit", "pending", "crash"]
INLINE = "data:image/png;base64," + base64.b64encode(build_png()).decode()
ANALYSE = "/api/jobs/content-analysis"


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch, **DEPLOYED) as made:
        yield made


async def nothing_was_held(client: httpx.AsyncClient) -> None:
    found = await read_balance(client)
    assert (found["available"], found["held"], found["captured"]) == (100, 0, 0)
    assert (await client.get("/api/jobs")).json()["jobs"] == []


def studio(mode: str) -> dict[str, Any]:
    return {"mode": mode, "seconds": 3600, "times": 1000}


@pytest.mark.parametrize("mode", MODES)
async def test_no_mode_can_be_asked_for(ada: httpx.AsyncClient, mode: str) -> None:
    body: dict[str, Any] = {"prompt": "x", "options": {"width": 64, "studio": studio(mode)}}
    refused = await ada.post(IMAGE, json=body)
    assert refused_paths(refused) == {"options.studio"}
    assert "is not a known field" in refused.json()["detail"]
    assert refused_paths(await ada.post(f"{IMAGE}?validateOnly=true", json=body)) == {
        "options.studio"
    }
    steps = {"one": {"type": "image-generation", "payload": body}}
    inside = {"two": {"type": "pipeline", "payload": {"steps": steps}}}
    assert refused_paths(await ada.post(PIPELINE, json={"steps": steps})) == {
        "steps.one.payload.options.studio"
    }
    assert len(refused_paths(await ada.post(PIPELINE, json={"steps": inside}))) == 1
    await nothing_was_held(ada)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("keys", [(), ("bfl", "openai", "google", "elevenlabs", "stability")])
async def test_no_type_takes_it_with_or_without_keys(
    start_providers: StartProviders, mode: str, keys: tuple[str, ...]
) -> None:
    setup = await start_providers(*keys, **DEPLOYED)
    ada = setup.user()
    for name, job_type in JOB_TYPES.items():
        if "options" not in job_type.submission.model_fields:
            continue
        options = {**job_type.example.get("options", {}), "studio": studio(mode)}
        body = {**job_type.example, "options": options}
        answer = await ada.post(f"/api/jobs/{name}", json=body)
        assert "options.studio" in refused_paths(answer), name
    await nothing_was_held(ada)
    assert all(fake.creates == 0 for fake in setup.fakes.values())


@pytest.mark.parametrize("word", ["studio", "local", ["studio", "local"]])
async def test_the_imitation_is_an_unknown_provider(ada: httpx.AsyncClient, word: Any) -> None:
    for name, job_type in JOB_TYPES.items():
        answer = await ada.post(f"/api/jobs/{name}", json={**job_type.example, "provider": word})
        expect_problem(answer, 422, "invalid_request")
        assert "There is no provider" in answer.json()["detail"], name
    await nothing_was_held(ada)


@pytest.mark.parametrize(
    ("path", "body", "key"),
    [
        (IMAGE, {"prompt": "x"}, "BFL_API_KEY"),
        ("/api/jobs/batch-generation", {"prompts": ["x"]}, "BFL_API_KEY"),
        ("/api/jobs/video-generation", {"prompt": "x"}, "RUNWAY_API_KEY"),
        (UPSCALE, {"imageUrl": INLINE}, "REPLICATE_API_TOKEN"),
        ("/api/jobs/audio-synthesis", {"text": "x"}, "ELEVENLABS_API_KEY"),
        ("/api/jobs/story-generation", {"prompt": "x"}, "OPENAI_API_KEY"),
        ("/api/jobs/ai-processing", {"task": "music", "input": "x"}, "ELEVENLABS_API_KEY"),
        ("/api/jobs/movie-creation", {"prompt": "x"}, "OPENAI_API_KEY"),
        (
            "/api/jobs/personalization",
            {"content": "x", "aspects": {"language": "fr"}},
            "OPENAI_API_KEY",
        ),
        (IMAGE, {"prompt": "x", "provider": "auto"}, "BFL_API_KEY"),
        (IMAGE, {"prompt": "x", "provider": "bfl"}, "BFL_API_KEY"),
    ],
)
async def test_without_a_key_the_variables_that_would_help_are_named(
    ada: httpx.AsyncClient, path: str, body: dict[str, Any], key: str
) -> None:
    refused = expect_problem(await ada.post(path, json=body), 422, "provider_not_configured")
    assert key in refused["detail"]
    await nothing_was_held(ada)


async def test_the_schemas_show_the_option_on_the_dev_stack_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changes, shown in ((DEPLOYED, False), ({}, True), (DEPLOYED, False)):
        async with running(tmp_path, monkeypatch, **changes) as world:
            types = (await world.api.get("/api/jobs/types")).json()["jobTypes"]
            document = (await world.api.get("/api/openapi.json")).json()
        schemas = {row["jobType"]: row["schema"] for row in types}
        options = schemas["image-generation"]["$defs"]["ImageOptions"]
        assert ("studio" in options["properties"]) is shown
        assert options["additionalProperties"] is False
        options = document["components"]["schemas"]["ImageOptions"]
        assert ("studio" in options["properties"]) is shown
        assert ("studio" in str(types).lower() + str(document).lower()) is shown


async def test_work_on_files_and_texts_is_done_in_house(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, {"url": INLINE}, ANALYSE)
    larger = await submit_job(
        ada, {"imageUrl": INLINE, "provider": "taskreel", "scale": 2}, UPSCALE
    )
    await world.advance(30)
    for one, captured in ((job, 1), (larger, 2)):
        done = await read_job(ada, one)
        assert (done["status"], done["servedBy"]) == ("COMPLETED", "taskreel"), done["error"]
        assert done["credits"]["captured"] == captured
    refused = await ada.post(IMAGE, json={"prompt": "x", "provider": "taskreel"})
    assert "provider 'taskreel' has no image models" in refused.json()["detail"]


async def test_a_parameter_of_that_name_has_no_effect(world: World, ada: httpx.AsyncClient) -> None:
    """ai-processing passes on unknown parameters; the in-house provider reads none of them."""
    body = {"task": "upscale", "input": {"imageUrl": INLINE}, "provider": "taskreel"}
    job = await submit_job(
        ada, {**body, "parameters": {"studio": studio("crash")}}, "/api/jobs/ai-processing"
    )
    await world.advance(30)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1), done["error"]
    assert len(done["result"]["artifacts"]) == 1
    assert set(done["result"]["ignoredOptions"]) == {"studio"}


async def test_larger_pictures_in_house_are_for_those_who_name_them(
    ada: httpx.AsyncClient,
) -> None:
    answer = await ada.post(UPSCALE, json={"imageUrl": INLINE})
    assert (
        '"provider": "taskreel"' in expect_problem(answer, 422, "provider_not_configured")["detail"]
    )


# ── Jobs that were stored before, or by the dev stack ────────────────────────────────────────────


async def stored_by_the_dev_stack(
    folder: Path, patch: pytest.MonkeyPatch, body: dict[str, Any], path: str
) -> Job:
    """A job that was submitted where the studio is registered."""
    async with running(folder, patch) as dev:
        return await dev.job((await submit_job(dev.as_user("ada"), body, path))["jobId"])


async def run_stored_job(world: World, job: Job) -> dict[str, Any]:
    """Store and run it here, in place of a new job that has the same id and the same hold."""
    new = await submit_job(world.as_user("ada"), {"url": INLINE}, ANALYSE)
    assert new["jobId"] == job.job_id
    units = tuple(one.model_copy(update={"provider": "studio"}) for one in job.units)
    await world.put(job.model_copy(update={"units": units}))
    await world.process(job.job_id)
    await world.advance(1)
    return await read_job(world.as_user("ada"), {"jobId": job.job_id})


async def test_an_old_job_with_the_option_is_served_and_run_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"content": "A boat.", "options": {"studio": studio("crash")}}
    old = await stored_by_the_dev_stack(tmp_path, monkeypatch, body, ANALYSE)
    async with running(tmp_path, monkeypatch, **DEPLOYED) as world:
        done = await run_stored_job(world, old)
        assert (done["status"], done["attempt"]) == ("COMPLETED", 1), done["error"]
        assert done["servedBy"] == "taskreel"
        assert done["payload"]["options"]["studio"]["mode"] == "crash"


async def test_an_old_job_of_the_imitation_fails_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"prompt": "x", "options": {"studio": studio("slow")}}
    old = await stored_by_the_dev_stack(tmp_path, monkeypatch, body, IMAGE)
    async with running(tmp_path, monkeypatch, **DEPLOYED) as world:
        failed = await run_stored_job(world, old)
        assert (failed["status"], failed["attempt"]) == ("FAILED", 1)
        assert failed["error"]["code"] == "provider_not_configured"
        assert failed["credits"]["captured"] == 0


# ── Settings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stand_in_provider": "studio"}, "STAND_IN_PROVIDER: .*'studio'.*there are: none"),
        ({"stand_in_provider": "bfl"}, "STAND_IN_PROVIDER: .*'bfl'"),
        ({"stand_in_provider": "taskreel"}, "STAND_IN_PROVIDER: .*'taskreel'"),
        ({"extra_providers": "taskreel_local.studio"}, "EXTRA_PROVIDERS: .*module:ATTRIBUTE"),
        ({"extra_providers": "no.such:PROVIDERS"}, "EXTRA_PROVIDERS: .*no"),
        ({"extra_providers": "taskreel_local.studio:NONE"}, "EXTRA_PROVIDERS: .*NONE"),
    ],
)
def test_a_provider_that_does_not_exist_is_a_configuration_error(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        wiring.build(settings(tmp_path, **{**DEPLOYED, **changes}), wiring.SystemClock())


@pytest.mark.parametrize("path", ["", "///", "///no/such.yaml", "////etc"])
def test_queues_without_a_file_that_declares_them_are_a_configuration_error(
    tmp_path: Path, path: str
) -> None:
    chosen = settings(tmp_path, tasks_url=f"embedded:{path}")
    with pytest.raises(ConfigurationError, match=r"TASKS_URL: 'embedded:.*infra/queues.yaml"):
        wiring.build(chosen, wiring.SystemClock())
