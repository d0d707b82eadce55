"""Jobs at fake providers, with every fault: their results, credits and calls."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from functions.fake_providers import StartProviders
from functions.job_requests import (
    IMAGE,
    UPSCALE,
    expect_problem,
    read_balance,
)
from providers.fake_provider import build_png as picture

TEXT = "/api/jobs/ai-processing"


# ── Happy paths ──────────────────────────────────────────────────────────────────────────────────

SOUND = "/api/jobs/audio-synthesis"
SAID = {"text": "The lamp is lit."}
INLINE = "data:image/png;base64," + base64.b64encode(picture()).decode()


@pytest.mark.parametrize(
    ("provider", "path", "body", "kind"),
    [
        ("bfl", IMAGE, {"prompt": "x", "model": "flux-1.1-pro"}, "image/png"),
        ("stability", IMAGE, {"prompt": "x", "model": "core"}, "image/png"),
        ("openai", IMAGE, {"prompt": "x", "model": "gpt-image-2"}, "image/png"),
        ("google", IMAGE, {"prompt": "x", "model": "nano-banana"}, "image/png"),
        ("fal", IMAGE, {"prompt": "x", "model": "flux-dev"}, "image/png"),
        ("replicate", IMAGE, {"prompt": "x", "model": "flux-schnell"}, "image/png"),
        ("runway", IMAGE, {"prompt": "x", "model": "gen4_image"}, "image/png"),
        ("stability", UPSCALE, {"imageUrl": INLINE, "model": "creative"}, "image/png"),
        ("replicate", UPSCALE, {"imageUrl": INLINE, "model": "real-esrgan"}, "image/png"),
        ("elevenlabs", SOUND, SAID, "audio/"),
    ],
)
async def test_each_provider_serves_a_job(
    start_providers: StartProviders, provider: str, path: str, body: dict[str, Any], kind: str
) -> None:
    setup = await start_providers(provider)
    setup.fakes[provider].files["mp4"] = picture()  # what a file is, its content says
    done = await setup.run_job({**body, "provider": provider}, path)
    assert (done["status"], done["servedBy"], done["tried"]) == ("COMPLETED", provider, []), done[
        "error"
    ]
    (artifact,) = done["result"]["artifacts"]
    assert artifact["contentType"].startswith(kind)
    assert artifact["sha256"]
    assert setup.fakes[provider].creates == 1
    assert (await read_balance(setup.user()))["held"] == 0


async def test_a_text_comes_as_the_jobs_result(start_providers: StartProviders) -> None:
    setup = await start_providers("openai")
    done = await setup.run_job({"task": "text", "input": "A lamp", "provider": "openai"}, TEXT)
    assert (done["status"], done["servedBy"]) == ("COMPLETED", "openai"), done["error"]
    assert done["costUsd"] > 0


# ── What a model does not take ───────────────────────────────────────────────────────────────────


async def test_what_a_model_does_not_take_is_in_the_result_and_defaults_are_not(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("openai")
    options = {"quality": "low", "negativePrompt": "rain", "seed": 7}
    done = await setup.run_job({"prompt": "x", "provider": "openai", "options": options})
    missing = "gpt-image-2 at openai has no such option"
    assert done["result"]["ignoredOptions"] == {"negativePrompt": missing, "seed": missing}
    plain = await setup.run_job({"prompt": "x", "provider": "openai"})
    assert "ignoredOptions" not in plain["result"]


async def test_a_voices_settings_reach_its_provider(start_providers: StartProviders) -> None:
    setup = await start_providers("elevenlabs")
    settings = {"speed": 1.1, "stability": 0.4, "pitch": 60}
    done = await setup.run_job({**SAID, "provider": "elevenlabs", "settings": settings}, SOUND)
    assert setup.fakes["elevenlabs"].calls[0].body["voice_settings"] == {
        "speed": 1.1,
        "stability": 0.4,
    }
    assert set(done["result"]["ignoredOptions"]) == {"pitch"}


async def test_the_local_provider_does_not_pass_over_an_option_in_silence(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers()
    options = {"width": 64, "height": 64, "sampler": "euler", "providerOptions": {"logo": True}}
    done = await setup.run_job({"prompt": "x", "provider": "studio", "options": options})
    assert set(done["result"]["ignoredOptions"]) == {"sampler", "logo"}


async def test_a_format_that_a_model_does_not_write_is_refused_at_once(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("elevenlabs", stand_in_provider=None)
    body = {**SAID, "provider": "elevenlabs", "outputFormat": "flac"}
    refused = expect_problem(await setup.user().post(SOUND, json=body), 422, "no_provider")
    assert "eleven_multilingual_v2 cannot do flac files" in refused["detail"]


async def test_a_world_is_told_the_service_in_all_its_wishes(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("openai")
    wishes = {"style": "baroque", "tone": "calm", "language": "fr"}
    body = {
        "prompt": "islands",
        "genre": "fantasy",
        "places": 3,
        "provider": "openai",
        "options": wishes,
    }
    done = await setup.run_job(body, "/api/jobs/world-building")
    assert done["status"] == "COMPLETED", done["error"]
    told = setup.fakes["openai"].calls[0].body["instructions"]
    assert {
        "Genre: fantasy",
        "Number of places: 3",
        "Style: baroque",
        "Tone: calm",
        "Language: fr",
    } <= set(told.splitlines())


# ── Insights ─────────────────────────────────────────────────────────────────────────────────────

ANALYSE = "/api/jobs/content-analysis"
INSIGHTS = (
    '{"insights": {"summary": "A boat.", "themes": [], "mood": "", '
    '"strengths": [], "suggestions": []}}'
)


async def test_insights_come_from_the_cheapest_that_is_configured(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("openai", "google")
    for fake in setup.fakes.values():
        fake.answer = INSIGHTS  # type: ignore[attr-defined]  # both have one
    body = {"content": "A boat. It was early.", "provider": "auto"}
    done = await setup.run_job(body, ANALYSE)
    assert done["result"]["insights"]["summary"] == "A boat."
    assert done["result"]["measured"]["text"]["words"] == 5
    assert [item["servedBy"] for item in done["result"]["items"]] == ["taskreel", "openai"]
    assert (done["servedBy"], done["credits"]["captured"]) == ("taskreel, openai", 2)


@pytest.mark.parametrize(
    ("names", "body"),
    [
        ((), {"content": "A boat."}),
        (("bfl", "openai"), {"url": INLINE}),
        (("openai",), {"content": "A boat.", "maxUsd": 0.000001}),
        (("openai",), {"content": "A boat.", "insights": False}),
        (("openai",), {"content": "A boat.", "provider": "taskreel"}),
    ],
    ids=["no key", "nobody looks at pictures", "too dear", "not wanted", "kept here"],
)
async def test_without_a_provider_of_insights_there_are_measurements_alone(
    start_providers: StartProviders, names: tuple[str, ...], body: dict[str, Any]
) -> None:
    setup = await start_providers(*names)
    done = await setup.run_job(body, ANALYSE)
    assert done["status"] == "COMPLETED", done["error"]
    assert done["result"]["measured"]
    assert not {"insights", "items"} & done["result"].keys()
    assert (done["servedBy"], done["credits"]["captured"], done["costUsd"]) == ("taskreel", 1, None)


# ── Translation ──────────────────────────────────────────────────────────────────────────────────

PERSONAL = "/api/jobs/personalization"
LETTER = {
    "content": "Dear Mara, good night.",
    "aspects": {"names": {"Mara": "Ada"}, "language": "fr", "voice": "low"},
}


async def test_a_text_is_translated_by_a_service_once_it_is_personal(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("openai")
    answer = '{"text": "Chère Ada, bonne nuit."}'
    setup.fakes["openai"].answer = answer  # type: ignore[attr-defined]  # it has one
    done = await setup.run_job(LETTER, PERSONAL)
    asked = setup.fakes["openai"].calls[0].body
    assert asked["input"] == "Dear Ada, good night."
    assert "into fr" in asked["instructions"]
    assert done["result"]["text"] == "Chère Ada, bonne nuit."
    assert done["result"]["applied"] == ["names: Mara → Ada (1×)", "language: fr"]
    assert done["result"]["skipped"] == {"voice": "a text has none"}
    assert (done["servedBy"], done["credits"]["captured"]) == ("openai", 1)


@pytest.mark.parametrize(
    "named", [{}, {"provider": "studio"}, {"provider": "openai"}, {"provider": "bfl"}]
)
async def test_without_a_service_that_translates_the_key_to_set_is_named(
    start_providers: StartProviders, named: dict[str, str]
) -> None:
    setup = await start_providers()
    refused = expect_problem(
        await setup.user().post(PERSONAL, json={**LETTER, **named}), 422, "provider_not_configured"
    )
    assert "Set OPENAI_API_KEY or GOOGLE_API_KEY" in refused["detail"]
    assert (await read_balance(setup.user()))["available"] == 100


async def test_work_that_is_done_here_takes_no_key_but_a_provider_that_exists(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers(stand_in_provider=None)
    body = {"content": "Dear Mara", "aspects": {"names": {"Mara": "Ada"}}}
    assert (await setup.run_job({**body, "provider": "openai"}, PERSONAL))["result"][
        "text"
    ] == "Dear Ada"
    refused = expect_problem(
        await setup.user().post(PERSONAL, json={**body, "provider": "nobody"}),
        422,
        "invalid_request",
    )
    assert "There is no provider 'nobody'" in refused["detail"]


async def test_the_list_of_providers_is_compressed_where_the_client_takes_it(
    ada: httpx.AsyncClient,
) -> None:
    plain = await ada.get("/api/providers", headers={"Accept-Encoding": "identity"})
    small = await ada.get("/api/providers", headers={"Accept-Encoding": "gzip"})
    assert small.json() == plain.json()
    assert small.num_bytes_downloaded < plain.num_bytes_downloaded / 4
    assert small.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
