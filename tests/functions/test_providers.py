"""Jobs at fake providers, with every fault: their results, credits and calls."""

from __future__ import annotations

import asyncio
import base64
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from functions.fake_providers import KITE, StartProviders
from functions.job_requests import (
    BATCH,
    IMAGE,
    UPSCALE,
    expect_problem,
    read_balance,
    read_job,
    submit_job,
)
from providers.fake_provider import RETRY_AFTER, SECRETS, Fault
from providers.fake_provider import build_png as picture
from taskreel import wiring
from taskreel.app.worker.processor import Processor
from taskreel.domain.errors import Category
from taskreel.domain.job import Job
from taskreel.domain.job_error import JobError
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState

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


# ── What providers do wrong ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("provider", ["bfl", "stability", "openai", "google", "replicate"])
async def test_what_moderation_holds_back_fails_for_good_and_costs_nothing(
    start_providers: StartProviders, provider: str
) -> None:
    setup = await start_providers(provider, "fal")
    setup.fakes[provider].fault = Fault.MODERATION
    failed = await setup.run_job({"prompt": "x", "provider": [provider, "fal"]})
    assert (failed["status"], failed["attempt"]) == ("FAILED", 1)
    assert (failed["error"]["code"], failed["error"]["category"]) == ("moderation", "permanent")
    assert (
        failed["error"]["message"]
        == f"{provider} refused the request: its content moderation rejected it"
    )
    assert setup.fakes["fal"].creates == 0
    assert (await read_balance(setup.user()))["available"] == 100


@pytest.mark.parametrize(
    ("fault", "seconds"), [(Fault.RATE_LIMITED, RETRY_AFTER), (Fault.RATE_LIMITED_WITHOUT_TIME, 30)]
)
async def test_a_rate_limit_is_a_wait_and_no_attempt_more(
    start_providers: StartProviders, fault: Fault, seconds: int
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = fault
    began = setup.world.now()
    waiting = await setup.run_job(KITE, seconds=1)
    assert (waiting["status"], waiting["attempt"], waiting["error"]["code"]) == (
        "RETRYING",
        1,
        "rate_limited",
    )
    assert (
        abs((datetime.fromisoformat(waiting["nextAttemptAt"]) - began).total_seconds() - seconds)
        < 1
    )
    setup.fakes["bfl"].fault = None
    await setup.world.advance(60)
    done = await read_job(setup.user(), waiting)
    assert (done["status"], done["attempt"], done["tried"]) == ("COMPLETED", 1, [])


async def test_without_credit_elsewhere_goes_on_and_alone_fails(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = Fault.NO_CREDIT
    done = await setup.run_job({"prompt": "x", "provider": ["bfl", "fal"], "model": "flux-1.1-pro"})
    assert (done["status"], done["servedBy"], done["attempt"]) == ("COMPLETED", "fal", 1)
    assert done["tried"] == [
        {"provider": "bfl", "model": "flux-1.1-pro", "code": "provider_out_of_credit"}
    ]
    failed = await setup.run_job(KITE)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "provider_out_of_credit")
    assert setup.fakes["bfl"].creates == 0


async def test_a_job_moves_off_a_provider_that_is_down_before_anything_was_bought(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = Fault.SERVER_ERROR
    done = await setup.run_job({"prompt": "x", "provider": ["bfl", "fal"]})
    assert (done["status"], done["servedBy"]) == ("COMPLETED", "fal")
    assert [one["code"] for one in done["tried"]] == ["provider_down"]


async def test_work_that_was_bought_is_never_bought_elsewhere(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].polls = 3
    ada = setup.user()
    job = await submit_job(ada, {"prompt": "x", "provider": ["bfl", "fal"]})
    await setup.world.settle()
    setup.fakes["bfl"].fault = Fault.SERVER_ERROR  # while it runs there
    await setup.world.advance(60)
    assert (await read_job(ada, job))["status"] == "PROCESSING"
    setup.fakes["bfl"].fault = None
    await setup.world.advance(60)
    done = await read_job(ada, job)
    assert (done["status"], done["servedBy"], done["attempt"]) == ("COMPLETED", "bfl", 1)
    assert (setup.fakes["bfl"].creates, setup.fakes["fal"].creates) == (1, 0)


async def test_work_at_a_provider_that_is_away_is_asked_for_less_and_less_often(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    job = await submit_job(setup.user(), KITE)
    await setup.world.settle()
    setup.fakes["bfl"].fault = Fault.SERVER_ERROR
    await setup.world.advance(3600)
    assert len(setup.fakes["bfl"].calls) < 30
    setup.fakes["bfl"].fault = None
    await setup.world.advance(600)
    assert (await read_job(setup.user(), job))["status"] == "COMPLETED"


async def test_a_batch_goes_on_where_it_can(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = Fault.NO_CREDIT
    body = {"prompts": ["a", "b", "c"], "provider": ["bfl", "fal"], "batchSize": 2}
    done = await setup.run_job(body, BATCH)
    assert (done["status"], done["servedBy"], done["credits"]["captured"]) == (
        "COMPLETED",
        "fal",
        3,
    )
    assert setup.fakes["fal"].creates == 3


async def test_a_connection_lost_after_a_create_is_reported_to_an_operator(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = Fault.LOST_ANSWER
    failed = await setup.run_job({"prompt": "x", "provider": ["bfl", "fal"]}, seconds=3600)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "ambiguous_create")
    assert "operator" in failed["error"]["message"]
    assert (setup.fakes["bfl"].creates, setup.fakes["fal"].creates) == (1, 0)
    assert (await read_balance(setup.user()))["available"] == 100
    for anew in ("retry", "replay"):
        expect_problem(await setup.user().post(failed["urls"][anew]), 403, "forbidden")
    setup.fakes["bfl"].fault = None
    assert (await setup.user("root", role="admin").post(failed["urls"]["retry"])).status_code == 202
    await setup.world.advance(60)
    assert (await read_job(setup.user(), failed))["status"] == "COMPLETED"
    assert setup.fakes["bfl"].creates == 2


@pytest.mark.parametrize("fault", [Fault.GATEWAY_TIMEOUT, Fault.NO_ID])
async def test_an_answer_that_does_not_say_what_was_bought_is_not_sent_again(
    start_providers: StartProviders, fault: Fault
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = fault
    failed = await setup.run_job(KITE, seconds=3600)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "ambiguous_create")
    assert len([call for call in setup.fakes["bfl"].calls if call.method == "POST"]) == 1


@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_run_that_died_while_it_bought_is_not_repeated(
    start_providers: StartProviders, attempts: int
) -> None:
    setup = await start_providers("bfl")
    job = await submit_job(setup.user(), {**KITE, "retry": {"maxAttempts": attempts}})
    now = setup.world.now()
    stored = await setup.world.job(job["jobId"])
    begun = stored.units[0].with_changes(begun_at=now)
    dead = stored.enter_status(
        Status.PROCESSING, now, units=(begun,), attempt=1, fence=1, lease_until=now
    )
    await setup.world.put(dead)
    await setup.world.advance(600)
    failed = await read_job(setup.user(), job)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "ambiguous_create")
    assert setup.fakes["bfl"].creates == 0


async def test_a_purchase_is_stored_before_it_is_made(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    provider = setup.world.services.providers.get("bfl")
    stored: list[Job] = []
    start = provider.start

    async def watched(request: Any, **more: Any) -> Any:
        stored.append(await setup.world.job(job["jobId"]))
        return await start(request, **more)

    monkeypatch.setattr(provider, "start", watched)
    job = await submit_job(setup.user(), KITE)
    await setup.world.settle()
    assert [one.maybe_bought for one in stored] == [True]
    assert not (await setup.world.job(job["jobId"])).maybe_bought


@pytest.mark.parametrize("provider", ["bfl", "fal", "replicate"])
async def test_an_unknown_status_of_an_operation_means_that_it_runs(
    start_providers: StartProviders, provider: str
) -> None:
    setup = await start_providers(provider)
    setup.fakes[provider].fault = Fault.UNKNOWN_STATUS
    done = await setup.run_job({"prompt": "x", "provider": provider})
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)


async def test_an_expired_address_is_asked_for_anew_and_the_work_not_bought_again(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = Fault.EXPIRED
    failed = await setup.run_job(KITE, seconds=600)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "result_unreachable")
    assert setup.fakes["bfl"].creates == 1
    assert len([call for call in setup.fakes["bfl"].calls if call.path.startswith("/files")]) == 3


async def test_an_address_that_works_the_second_time_completes_the_job(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = Fault.EXPIRED
    job = await submit_job(setup.user(), KITE)
    await setup.world.advance(4.5)
    setup.fakes["bfl"].fault = None
    await setup.world.advance(60)
    done = await read_job(setup.user(), job)
    assert (done["status"], done["attempt"], setup.fakes["bfl"].creates) == ("COMPLETED", 1, 1)


@pytest.mark.parametrize(
    ("fault", "code"), [(Fault.NO_RESULT, "no_output"), (Fault.FAILED, "operation_failed")]
)
async def test_work_that_ended_in_nothing_is_begun_anew(
    start_providers: StartProviders, fault: Fault, code: str
) -> None:
    setup = await start_providers("bfl", "fal")
    setup.fakes["bfl"].fault = fault
    body = {**KITE, "provider": ["bfl", "fal"], "retry": {"maxAttempts": 2}}
    failed = await setup.run_job(body)
    assert (failed["status"], failed["error"]["code"], failed["attempt"]) == ("FAILED", code, 2)
    assert (setup.fakes["bfl"].creates, setup.fakes["fal"].creates) == (2, 0)
    assert (await read_balance(setup.user()))["available"] == 100


async def test_a_providers_words_are_made_fit_for_users(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = Fault.PRIVATE_TEXT
    failed = await setup.run_job(KITE)
    assert failed["error"]["code"] == "provider_rejected"
    assert not any(secret in str(failed) for secret in SECRETS)


@pytest.mark.parametrize("provider", ["fal", "replicate"])
async def test_cancelling_reaches_the_provider(
    start_providers: StartProviders, provider: str
) -> None:
    setup = await start_providers(provider)
    setup.fakes[provider].polls = 50
    ada = setup.user()
    job = await submit_job(ada, {"prompt": "x", "provider": provider})
    await setup.world.settle()
    assert (await ada.delete(job["urls"]["cancel"])).json()["status"] == "CANCELLED"
    await setup.world.settle()
    assert setup.fakes[provider].cancelled == set(setup.fakes[provider].operations)
    assert (await read_balance(ada))["available"] == 100


async def test_a_job_that_runs_out_of_time_is_stopped_at_its_provider(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("replicate")
    fake = setup.fakes["replicate"]
    fake.polls = 500
    late = await setup.run_job({"prompt": "x", "provider": "replicate", "deadlineSeconds": 60})
    assert (late["status"], late["error"]["code"]) == ("FAILED", "deadline_passed")
    await setup.world.settle()
    assert fake.cancelled == set(fake.operations)
    stored = await setup.world.job(late["jobId"])
    assert (stored.operations, stored.wake_at) == ((), None)


async def test_a_provider_that_cannot_be_told_to_stop_is_told_again(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("fal")
    fake, ada = setup.fakes["fal"], setup.user()
    fake.polls = 500
    job = await submit_job(ada, {"prompt": "x", "provider": "fal"})
    await setup.world.settle()
    fake.fault = Fault.SERVER_ERROR
    await ada.delete(job["urls"]["cancel"])
    await setup.world.settle()
    assert (fake.cancelled, (await read_job(ada, job))["status"]) == (set(), "CANCELLED")
    fake.fault = None
    await setup.world.advance(130)
    await setup.world.sweep()
    await setup.world.settle()
    assert fake.cancelled == set(fake.operations)
    assert (await setup.world.job(job["jobId"])).wake_at is None


@pytest.mark.parametrize(
    ("name", "state"), [("bfl", UnitState.RUNNING), ("openai", UnitState.DONE)]
)
async def test_a_stopping_instance_stores_what_it_is_just_buying(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch, name: str, state: UnitState
) -> None:
    setup = await start_providers(name)
    provider, asked, may_answer = (
        setup.world.services.providers.get(name),
        asyncio.Event(),
        asyncio.Event(),
    )
    start = provider.start

    async def slow(request: Any, **more: Any) -> Any:
        answer = await start(request, **more)
        asked.set()
        await may_answer.wait()
        return answer

    monkeypatch.setattr(provider, "start", slow)
    job = await submit_job(setup.user(), {"prompt": "x", "provider": name})
    await setup.world.settle()
    assert asked.is_set()
    stopping = asyncio.create_task(wiring.running().stop())
    await setup.world.rest()
    may_answer.set()
    await stopping
    back = await setup.world.job(job["jobId"])
    assert (back.status, back.attempt, back.units[0].state) == (Status.QUEUED, 1, state)
    wiring.running.cache_clear()
    wiring.processor.cache_clear()
    await Processor(setup.world.services).process_task(job["jobId"])
    await setup.world.advance(60)
    done = await read_job(setup.user(), job)
    assert (done["status"], done["attempt"], setup.fakes[name].creates) == ("COMPLETED", 1, 1)


async def test_a_stopping_instance_finishes_storing_a_result(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("openai")
    blobs, storing, may_store = setup.world.services.blobs, asyncio.Event(), asyncio.Event()
    put = blobs.put

    async def slow(*args: Any, **more: Any) -> None:
        storing.set()
        await may_store.wait()
        await put(*args, **more)

    monkeypatch.setattr(blobs, "put", slow)
    job = await submit_job(setup.user(), {"prompt": "x", "provider": "openai"})
    await setup.world.settle()
    assert storing.is_set()
    stopping = asyncio.create_task(wiring.running().stop())
    await setup.world.rest()
    may_store.set()
    await stopping
    assert (await setup.world.job(job["jobId"])).units[0].state is UnitState.DONE


async def test_what_a_cancelled_run_has_just_bought_is_cancelled_too(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("fal")
    provider, ada = setup.world.services.providers.get("fal"), setup.user()
    start = provider.start

    async def slow(request: Any, **more: Any) -> Any:
        answer = await start(request, **more)
        await ada.delete(job["urls"]["cancel"])
        return answer

    monkeypatch.setattr(provider, "start", slow)
    job = await submit_job(ada, {"prompt": "x", "provider": "fal"})
    await setup.world.settle()
    assert (await read_job(ada, job))["status"] == "CANCELLED"
    assert len(setup.fakes["fal"].cancelled) == 1


async def test_what_failed_in_a_batch_waits_for_its_own_time_while_the_rest_is_polled(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    fake, ada = setup.fakes["bfl"], setup.user()
    fake.polls = 20
    body = {
        "prompts": ["a", "b"],
        "provider": "bfl",
        "batchSize": 1,
        "retry": {"maxAttempts": 3, "minBackoffSeconds": 60},
    }
    job = await submit_job(ada, body, BATCH)
    stored = await setup.world.job(job["jobId"])
    error = JobError(code="provider_error", category=Category.TEMPORARY, message="not now")
    later = stored.units[0].model_copy(
        update={"error": error, "due_at": setup.world.now() + timedelta(minutes=1)}
    )
    await setup.world.put(stored.with_changes(setup.world.now(), units=(later, stored.units[1])))
    await setup.world.advance(30)
    polled = await setup.world.job(job["jobId"])
    assert (polled.attempt, fake.creates, polled.units[0]) == (1, 1, later)
    await setup.world.advance(300)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"], fake.creates, done["credits"]["captured"]) == (
        "COMPLETED",
        2,
        2,
        2,
    )


async def test_the_list_of_providers_is_compressed_where_the_client_takes_it(
    ada: httpx.AsyncClient,
) -> None:
    plain = await ada.get("/api/providers", headers={"Accept-Encoding": "identity"})
    small = await ada.get("/api/providers", headers={"Accept-Encoding": "gzip"})
    assert small.json() == plain.json()
    assert small.num_bytes_downloaded < plain.num_bytes_downloaded / 4
    assert small.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
