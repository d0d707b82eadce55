"""The choice of a job's provider, its price, and the list of providers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.fake_providers import KITE, StartProviders
from functions.job_requests import (
    IMAGE,
    VIDEO,
    expect_problem,
    read_balance,
    read_job,
    refused_paths,
    submit_job,
)
from functions.test_inputs import mp4
from providers.fake_provider import serve_on_port
from providers.fakes import FAKES
from simulation.world import running
from taskreel import wiring
from taskreel.adapters.providers import KEY_VARIABLES, rename_keys
from taskreel.config import ConfigurationError, Settings
from taskreel.jobtypes import JOB_TYPES

# ── Choice ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "served_by"),
    [
        ({}, "bfl"),
        ({"provider": "auto"}, "replicate"),
        ({"maxUsd": 0.01}, "replicate"),
        ({"quality": "draft"}, "replicate"),
        ({"provider": "fal", "model": "flux-kontext-pro"}, "bfl"),
        ({"provider": "auto", "maxUsd": 0.01}, "replicate"),
        ({"model": "flux-kontext-pro"}, "bfl"),
        ({"provider": "black-forest-labs"}, "bfl"),
        ({"provider": ["stability", "bfl", "replicate"]}, "bfl"),
        ({"provider": "local"}, "studio"),
    ],
)
async def test_who_serves(
    start_providers: StartProviders, body: dict[str, Any], served_by: str
) -> None:
    """Stability and fal have no key here, and there is no stand-in."""
    setup = await start_providers("bfl", "replicate", "openai", stand_in_provider=None)
    checked = await setup.user().post(f"{IMAGE}?validateOnly=true", json={"prompt": "x", **body})
    assert checked.json()["servedBy"] == served_by


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        (IMAGE, {"provider": "auto", "maxUsd": 0.001}, "no_provider", "for $0.001: bfl/"),
        (IMAGE, {"provider": "bfl", "model": "dall-e-9"}, "unknown_model", "it has: flux-2-pro"),
        (VIDEO, {"provider": "bfl"}, "unknown_provider", "these have:"),
        (
            VIDEO,
            {"provider": "runway", "options": {"duration": 40}},
            "no_provider",
            "cannot do 40 s",
        ),
        (
            VIDEO,
            {"provider": "runway", "model": "gen4_turbo"},
            "no_provider",
            "cannot do text without an input picture",
        ),
        (IMAGE, {"provider": ["stability", "fal"]}, "provider_not_configured", "STABILITY_API_KEY"),
    ],
)
async def test_work_that_no_provider_can_do_is_refused_with_the_reasons(
    start_providers: StartProviders, path: str, body: dict[str, Any], code: str, words: str
) -> None:
    setup = await start_providers("bfl", "openai", "runway", stand_in_provider=None)
    refused = expect_problem(await setup.user().post(path, json={"prompt": "x", **body}), 422, code)
    assert words in refused["detail"]
    assert (await read_balance(setup.user()))["available"] == 100


@pytest.mark.parametrize("wanted", ["", [], [""], ["bfl"] * 11, "x" * 101])
async def test_a_wish_must_name_somebody(ada: httpx.AsyncClient, wanted: Any) -> None:
    assert refused_paths(await ada.post(IMAGE, json={"prompt": "x", "provider": wanted})) == {
        "provider"
    }


async def test_a_retired_model_names_its_successor(start_providers: StartProviders) -> None:
    setup = await start_providers("openai")
    body = {"prompt": "x", "provider": "openai", "model": "dall-e-3"}
    await setup.world.advance(200 * 86_400)
    assert (
        "use gpt-image-2 instead"
        in expect_problem(await setup.user().post(IMAGE, json=body), 422, "model_retired")["detail"]
    )
    shown = {
        one["provider"]: one
        for one in (await setup.user().get("/api/providers")).json()["providers"]
    }
    retired = {
        model["name"]: model["replacedBy"]
        for model in shown["openai"]["models"]
        if model["retired"]
    }
    assert retired["dall-e-3"] == "gpt-image-2"


async def test_without_any_key_and_without_a_stand_in_the_keys_to_set_are_named(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers(stand_in_provider=None)
    answer = await setup.user().post(IMAGE, json={"prompt": "x"})
    refused = expect_problem(answer, 422, "provider_not_configured")
    assert "Set BFL_API_KEY or " in refused["detail"]


async def test_a_stand_in_says_that_it_is_one(start_providers: StartProviders) -> None:
    setup = await start_providers("fal")
    body = {**KITE, "model": "flux-2-flex"}
    checked = await setup.user().post(f"{IMAGE}?validateOnly=true", json=body)
    assert checked.json()["servedBy"] == "studio"


# ── The best that a key has ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ({}, "flux-2-pro"),
        ({"quality": "draft"}, "flux-2-klein-4b"),
        ({"quality": "best"}, "flux-2-flex"),
        ({"quality": "draft", "model": "flux-2-max"}, "flux-2-max"),
        ({"provider": "bfl"}, "flux-2-pro"),
        ({"provider": "bfl", "quality": "best"}, "flux-2-max"),
        ({"provider": "auto"}, "flux-2-klein-4b"),
    ],
)
async def test_a_quality_chooses_among_the_models_of_a_key(
    start_providers: StartProviders, body: dict[str, Any], model: str
) -> None:
    setup = await start_providers("bfl", stand_in_provider=None)
    await setup.run_job({"prompt": "x", **body})
    created = next(call for call in setup.fakes["bfl"].calls if call.method == "POST")
    assert created.path == f"/v1/{model}"


async def test_a_provider_with_a_key_serves_the_model_that_was_asked_of_another(
    start_providers: StartProviders,
) -> None:
    """FAL_KEY alone left README's first request to the stand-in, though fal has that model."""
    setup = await start_providers("fal")
    assert (await setup.run_job(KITE))["servedBy"] == "fal"


async def test_a_request_beyond_the_keys_here_says_which_key_unlocks_it(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("stability", stand_in_provider=None)
    user = setup.user()
    refused = expect_problem(
        await user.post(IMAGE, json={"prompt": "x", "model": "flux-2-flex"}), 422, "unknown_model"
    )
    assert "Set BFL_API_KEY for a provider that can" in refused["detail"]
    refused = expect_problem(
        await user.post("/api/jobs/video-generation", json={"prompt": "x"}),
        422,
        "provider_not_configured",
    )
    assert "RUNWAY_API_KEY" in refused["detail"]


async def test_a_provider_says_what_its_key_unlocks_and_what_it_ends(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("openai")
    shown = (await setup.user().get("/api/providers")).json()["providers"]
    openai = next(one for one in shown if one["provider"] == "openai")
    assert openai["keyVariable"] == "OPENAI_API_KEY"
    assert {"image-generation", "story-generation", "audio-synthesis"} <= {*openai["jobTypes"]}
    bfl = next(one for one in shown if one["provider"] == "bfl")
    assert "video-generation" not in bfl["jobTypes"]
    assert "movie-creation" in openai["jobTypesInPart"]
    today = setup.world.services.clock.now().date()
    ending = {
        model["name"]
        for model in openai["models"]
        if model["retiresOn"]
        and today.isoformat() < model["retiresOn"] <= (today + timedelta(days=90)).isoformat()
    }
    assert {text.partition(" ")[0] for text in openai["warnings"]} == ending


async def test_without_a_key_the_providers_that_are_listed_are_those_that_take_jobs(
    ada: httpx.AsyncClient,
) -> None:
    shown = (await ada.get("/api/providers")).json()["providers"]
    sellers = [one for one in shown if one["keyVariable"] is not None]
    needy = {one["provider"]: one["jobTypesThatNeedKey"] for one in sellers}
    assert needy["elevenlabs"] == ["sound-effect", "transcription"]
    assert needy["bfl"] == []
    served = 0
    for one in sellers:
        assert (one["configured"], one["servedBy"]) == (False, "studio"), one["provider"]
        for job_type in one["jobTypes"]:
            request = {**JOB_TYPES[job_type].example, "provider": one["provider"]}
            request.pop("model", None)
            asked = await ada.post(f"/api/jobs/{job_type}?validateOnly=true", json=request)
            if job_type in needy[one["provider"]]:
                expect_problem(asked, 422, "provider_not_configured")
            else:
                # An example may have more pictures than its models take, or a task of another.
                code = None if asked.is_success else asked.json()["code"]
                assert code != "provider_not_configured", (one["provider"], job_type)
                served += code is None
    assert served > 20


@pytest.mark.parametrize(
    ("variable", "provider"),
    [("RUNWAYML_API_SECRET", "runway"), ("GEMINI_API_KEY", "google"), ("FAL_KEY", "fal")],
)
def test_a_key_is_read_under_the_name_that_the_providers_sdk_reads(
    variable: str, provider: str
) -> None:
    environ = rename_keys({"INTERNAL_API_KEY": "k" * 16, "FILES_SECRET": "f", variable: "s"})
    found = Settings.from_environment(environ, KEY_VARIABLES).provider_keys
    assert {name: key.get_secret_value() for name, key in found.items()} == {provider: "s"}


def test_our_own_name_of_a_key_wins() -> None:
    environ = {"RUNWAY_API_KEY": "ours", "RUNWAYML_API_SECRET": "theirs"}
    assert rename_keys(environ)["RUNWAY_API_KEY"] == "ours"


# ── What it costs ────────────────────────────────────────────────────────────────────────────────


async def test_the_providers_own_price_is_stored_or_else_the_tables(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    said = await setup.run_job(KITE)
    assert (said["costUsd"], said["costEstimated"]) == (0.04, False)
    estimated = await setup.run_job({"prompt": "x", "provider": "fal", "model": "flux-1.1-pro"})
    assert (estimated["costUsd"], estimated["costEstimated"]) == (0.04, True)
    local = await setup.run_job(
        {"prompt": "x", "provider": "studio", "options": {"width": 64, "height": 64}}
    )
    assert (local["costUsd"], local["costEstimated"]) == (None, False)


async def test_a_pipeline_says_what_its_jobs_took(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl")
    picture = {"type": "image-generation", "forEach": ["a", "b"], "payload": KITE}
    done = await setup.run_job({"steps": {"pictures": picture}}, "/api/jobs/pipeline")
    assert (done["status"], done["costUsd"], done["costEstimated"]) == ("COMPLETED", 0.08, False), (
        done["error"]
    )


# ── On a real port ───────────────────────────────────────────────────────────────────────────────


async def test_a_setting_puts_a_provider_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FAKES["replicate"]()
    with serve_on_port(fake) as url:
        settings: dict[str, Any] = {
            "provider_keys": {"replicate": fake.key},
            "provider_base_urls": {"replicate": url},
        }
        async with running(tmp_path, monkeypatch, **settings) as world:
            ada = world.as_user("ada")
            job = await submit_job(ada, {"prompt": "x", "provider": "replicate"})
            for _ in range(100):
                await world.advance(1)
                await asyncio.sleep(0.02)
                if (await read_job(ada, job))["status"] == "COMPLETED":
                    break
            assert (await read_job(ada, job))["servedBy"] == "replicate"
            assert (await read_job(ada, job))["status"] == "COMPLETED"
            await world.services.providers.close()
    assert fake.creates == 1


def test_settings_of_providers_are_read_from_the_environment() -> None:
    environ = {
        "INTERNAL_API_KEY": "k" * 16,
        "FILES_SECRET": "f",
        "BFL_API_KEY": "b",
        "CONFIGURED_PROVIDERS": "fal,runway",
        "PROVIDER_BASE_URLS": '{"bfl": "http://127.0.0.1:1"}',
        "GOOGLE_VERTEX_PROJECT": "p1",
    }
    found = wiring.build(
        Settings.from_environment(environ, KEY_VARIABLES), wiring.SystemClock()
    ).providers
    assert found.paid_names == ["bfl", "runway", "google", "fal"]


def test_a_webhook_secret_of_a_provider_that_cannot_call_is_refused() -> None:
    chosen = Settings.from_environment(
        {"INTERNAL_API_KEY": "k" * 16, "FILES_SECRET": "f", "WEBHOOK_SECRETS": '{"runway": "x"}'},
        {},
    )
    with pytest.raises(ConfigurationError, match="runway"):
        wiring.build(chosen, wiring.SystemClock())


VEO = {"prompt": "waves", "provider": "google", "options": {"duration": 4}}


@pytest.mark.parametrize("provider", ["google", None])
async def test_googles_key_sells_no_veo_and_the_refusal_names_the_setting_that_does(
    start_providers: StartProviders, provider: str | None
) -> None:
    """Each such job was priced, chosen, and then failed at Google with 404."""
    setup = await start_providers("google", stand_in_provider=None)
    body = {**VEO, "provider": provider, "model": "veo-3"}
    problem = expect_problem(await setup.user().post(VIDEO, json=body), 422, "no_provider")
    assert "set GOOGLE_VERTEX_PROJECT" in problem["detail"]
    assert not setup.fakes["google"].calls


async def test_googles_key_sells_clips_of_omni_where_no_model_is_named(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("google", stand_in_provider=None)
    setup.fakes["google"].files["mp4"] = mp4()
    done = await setup.run_job(VEO, path=VIDEO)
    assert (done["status"], done["servedBy"]) == ("COMPLETED", "google")
    assert setup.fakes["google"].calls[0].body["model"] == "gemini-omni-1.2-flash"
    listed = (await setup.user().get("/api/providers")).json()["providers"]
    (google,) = (one for one in listed if one["provider"] == "google")
    assert {"image-generation", "video-generation", "audio-synthesis"} <= set(google["jobTypes"])


async def test_a_job_for_any_provider_passes_over_one_that_the_key_does_not_unlock(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("google", "fal", stand_in_provider=None)
    body = {"prompt": "waves", "model": "veo-3.1", "options": {"duration": 4}}
    checked = await setup.user().post(f"{VIDEO}?validateOnly=true", json=body)
    assert checked.json()["servedBy"] == "fal"


async def test_the_keys_that_would_help_are_those_that_unlock_the_work(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("google", google_vertex_project="p1", stand_in_provider=None)
    body = {"task": "music", "input": {"prompt": "a waltz"}}
    refused = await setup.user().post("/api/jobs/ai-processing", json=body)
    detail = expect_problem(refused, 422, "provider_not_configured")["detail"]
    assert "ELEVENLABS_API_KEY" in detail
    assert "GOOGLE_API_KEY" not in detail


async def test_a_vertex_project_sells_veo(start_providers: StartProviders) -> None:
    setup = await start_providers("google", google_vertex_project="p1", stand_in_provider=None)
    checked = await setup.user().post(f"{VIDEO}?validateOnly=true", json=VEO)
    assert checked.json()["servedBy"] == "google"


# ── A stand-in ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"provider": "bfl", "model": "flux-9"}, "unknown_model"),
        ({"provider": "openai", "model": "flux-1.1-pro"}, "unknown_model"),
        ({"provider": "elevenlabs"}, "unknown_provider"),
        ({"provider": ["openai", "stability"], "model": "flux-9"}, "unknown_model"),
        ({"provider": "openai", "options": {"providerOptions": {"n": 5}}}, "reserved_option"),
        ({"model": "flux-9"}, "unknown_model"),
        ({"provider": "auto", "model": "flux-9"}, "unknown_model"),
    ],
)
async def test_a_stand_in_refuses_what_the_named_provider_would(
    start_providers: StartProviders, body: dict[str, Any], code: str
) -> None:
    setup = await start_providers(stand_in_provider="studio")
    expect_problem(await setup.user().post(IMAGE, json={"prompt": "x", **body}), 422, code)


@pytest.mark.parametrize(
    "body",
    [
        {"provider": ["openai", "bfl"], "model": "flux-1.1-pro"},
        {"provider": "studio", "model": "flux-9"},
        {"provider": ["openai", "studio"], "model": "flux-9"},
        {"provider": "openai", "options": {"providerOptions": {"moderation": "low"}}},
        {"provider": "studio", "options": {"providerOptions": {"n": 5}}},
        {"model": "flux-1.1-pro"},
        {"provider": "auto", "model": "gpt-image-1"},
        {"model": "black-forest-labs/any-model-of-replicate"},
    ],
)
async def test_a_stand_in_serves_what_the_named_provider_would(
    start_providers: StartProviders, body: dict[str, Any]
) -> None:
    setup = await start_providers(stand_in_provider="studio")
    checked = await setup.user().post(f"{IMAGE}?validateOnly=true", json={"prompt": "x", **body})
    assert checked.json()["servedBy"] == "studio"


async def test_a_stand_in_names_the_models_that_exist_in_place_of_a_wrong_one(
    start_providers: StartProviders,
) -> None:
    """`flux-9` was drawn by the dev stack, and refused only by a deployment."""
    setup = await start_providers(stand_in_provider="studio")
    answer = await setup.user().post(IMAGE, json={"prompt": "x", "model": "flux-1.1-prro"})
    (error,) = expect_problem(answer, 422, "unknown_model")["errors"]
    assert error["path"] == "model"
    assert "did you mean flux-1.1-pro?" in error["message"]
    assert "imagen" in error["message"]
    assert "veo" not in error["message"]


async def test_a_stand_in_refuses_a_wrong_model_in_a_step_that_is_not_filled_in_yet(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers(stand_in_provider="studio")
    first = {"type": "image-generation", "payload": {"prompt": "x"}}
    payload = {"prompt": "{{steps.a.artifacts[0].ref}}", "provider": "bfl", "model": "flux-9"}
    steps = {"a": first, "b": {"type": "image-generation", "payload": payload}}
    answer = await setup.user().post("/api/jobs/pipeline", json={"steps": steps})
    refused = expect_problem(answer, 422, "unknown_model")
    assert refused["errors"][0]["path"] == "steps.b.payload.model"
