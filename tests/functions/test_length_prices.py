"""Work that is billed by the length of its file: held by a limit, charged by the real length."""

from __future__ import annotations

import base64
import io
import struct
import wave
from datetime import timedelta
from typing import Any

import av
import pytest

from forged_media import forge_flac, make_sound
from functions.fake_providers import ProviderSetup, StartProviders
from functions.job_requests import (
    complete_job,
    expect_problem,
    read_balance,
    read_job,
    refused_paths,
    submit_job,
)
from functions.test_inputs import mp4
from providers.elevenlabs.fake import SCRIBE
from providers.fake_provider import Fault
from taskreel.jobtypes.length_price import LengthPrice
from taskreel.jobtypes.lip_sync import CUT_PRICE, LIP_SYNC_PRICE
from taskreel.jobtypes.transcription import TRANSCRIPTION_PRICE
from taskreel.jobtypes.video_edit import VIDEO_EDIT_PRICE

TRANSCRIPTION = "/api/jobs/transcription"
CLIP = "data:video/mp4;base64," + base64.b64encode(mp4()).decode()


def build_long_wav(seconds: int) -> str:
    """Silence of a sample rate so low that an hour fits into a request."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(50)
        file.writeframes(b"\x80" * (50 * seconds))
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()


def build_lying_webm(seconds: int, stated: float) -> bytes:
    """Silence whose header states another length than it has."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        for number in range(seconds * 50):
            frame = av.AudioFrame(format="s16", layout="mono", samples=960)
            frame.planes[0].update(bytes(1920))
            frame.sample_rate, frame.pts = 48_000, number * 960
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = bytearray(file.getvalue())
    at = content.index(b"\x44\x89\x88") + 3  # Duration, eight bytes, in milliseconds
    content[at : at + 8] = struct.pack(">d", stated * 1000)
    return bytes(content)


async def transcribe_sound(setup: ProviderSetup, seconds: int, **options: Any) -> dict[str, Any]:
    """An ended transcription of a sound of that length."""
    request = {"url": build_long_wav(seconds), "options": options}
    return await setup.run_job(request, TRANSCRIPTION)


@pytest.mark.parametrize(
    ("price", "seconds", "expected"),
    [
        (TRANSCRIPTION_PRICE, 0.2, 1),
        (TRANSCRIPTION_PRICE, 600.06, 1),  # ten minutes and the end of an encoder
        (TRANSCRIPTION_PRICE, 601, 2),
        (TRANSCRIPTION_PRICE, 3 * 3600, 18),
        (VIDEO_EDIT_PRICE, 10, 5),
        (VIDEO_EDIT_PRICE, 30, 15),
        (LIP_SYNC_PRICE, 31, 10),
    ],
)
def test_every_block_that_is_begun_costs_its_credits(
    price: LengthPrice, seconds: float, expected: int
) -> None:
    assert price.price_seconds(seconds) == expected


def test_of_a_video_and_a_voice_the_longer_is_billed_unless_it_is_cut() -> None:
    assert LIP_SYNC_PRICE.choose_seconds([8.0, 40.0]) == 40
    assert CUT_PRICE.choose_seconds([8.0, 40.0]) == 8


async def test_a_cut_whose_price_is_lower_is_made_by_models_that_cut_alone(
    start_providers: StartProviders,
) -> None:
    """creatify-lipsync ignores `syncMode`: the shorter file was paid for, the longer bought."""
    setup = await start_providers("fal")
    setup.fakes["fal"].files["mp4"] = mp4()
    request = {
        "videoUrl": CLIP,
        "audioUrl": build_long_wav(40),
        "options": {"syncMode": "cut_off"},
    }
    refused = await setup.user().post(
        "/api/jobs/lip-sync", json={**request, "model": "creatify-lipsync"}
    )
    assert refused.status_code == 422
    assert "cannot do syncMode cut_off" in refused.json()["detail"], refused.text
    job = await setup.run_job({**request, "model": "lipsync-2"}, "/api/jobs/lip-sync")
    assert job["status"] == "COMPLETED", job["error"]
    assert job["credits"]["captured"] == 5
    others = {**request, "model": "creatify-lipsync", "options": {"syncMode": "loop"}}
    job = await setup.run_job(others, "/api/jobs/lip-sync")
    assert job["credits"]["captured"] == 10
    assert "syncMode" in job["result"]["ignoredOptions"]


async def test_a_file_is_charged_by_its_length_and_the_rest_is_released(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("fal")
    job = await transcribe_sound(setup, 650)
    assert job["status"] == "COMPLETED", job["error"]
    assert job["credits"] == {"held": 0, "captured": 2, "released": 4}
    assert job["result"]["inputSeconds"] == 650
    # 0.03 dollars a minute: the cost is that of the real length too.
    stored = await setup.world.job(job["jobId"])
    (unit,) = stored.units
    assert unit.cost_usd == pytest.approx(650 * 0.03 / 60, rel=0.01)


@pytest.mark.parametrize(
    ("options", "advised"), [({"maxSeconds": 600}, 650), ({}, 3700)], ids=["own", "usual"]
)
async def test_a_longer_file_is_refused_before_anything_is_bought(
    options: dict[str, int], advised: int, start_providers: StartProviders
) -> None:
    setup = await start_providers("elevenlabs")
    job = await transcribe_sound(setup, advised, **options)
    assert job["status"] == "FAILED"
    assert job["error"]["code"] == "input_too_large"
    assert f"options.maxSeconds of {advised}" in job["error"]["message"]
    assert job["credits"]["captured"] == 0
    assert setup.fakes["elevenlabs"].creates == 0
    assert (await read_balance(setup.user()))["held"] == 0


async def test_a_file_that_states_another_length_is_charged_by_what_is_in_it(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("fal")
    forged = forge_flac(make_sound("flac", "flac", rate=8000, seconds=650))
    url = "data:audio/flac;base64," + base64.b64encode(forged).decode()
    job = await setup.run_job({"url": url}, TRANSCRIPTION)
    assert job["status"] == "COMPLETED", job["error"]
    assert job["credits"]["captured"] == 2
    assert job["result"]["inputSeconds"] == pytest.approx(650, abs=1)


@pytest.mark.parametrize(("billed", "captured"), [(1300.0, 3), (99_000.0, 6), (651.0, 2)])
async def test_the_length_that_a_provider_bills_is_charged_up_to_what_is_held(
    billed: float, captured: int, start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCRIBE, "audio_duration_secs", billed)
    setup = await start_providers("elevenlabs")
    job = await transcribe_sound(setup, 650)
    assert job["status"] == "COMPLETED", job["error"]
    assert job["credits"] == {"held": 0, "captured": captured, "released": 6 - captured}
    assert job["result"]["inputSeconds"] == (650 if billed == 651 else billed)
    assert job["costUsd"] == pytest.approx(billed * 0.22 / 3600, rel=0.01)


async def test_the_limit_is_what_is_held_and_what_is_refused_for(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("elevenlabs", initial_credits=3)
    ada = setup.user()
    request = {"url": build_long_wav(2)}
    expect_problem(await ada.post(TRANSCRIPTION, json=request), 402, "insufficient_credits")
    less = {**request, "options": {"maxSeconds": 1800}}
    quote = (await ada.post(f"{TRANSCRIPTION}?validateOnly=true", json=less)).json()
    job = await submit_job(ada, less, TRANSCRIPTION)
    assert quote["cost"] == (await read_job(ada, job))["credits"]["held"] == 3
    too_long = {**request, "options": {"maxSeconds": TRANSCRIPTION_PRICE.most_seconds + 1}}
    answer = await ada.post(TRANSCRIPTION, json=too_long)
    assert refused_paths(answer) == {"options.maxSeconds"}


async def test_a_result_of_ones_own_is_priced_exactly_at_submission(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("elevenlabs")
    ada = setup.user()
    effect = await complete_job(setup.world, ada, "sound-effect", {"prompt": "a slow wave"})
    seconds = effect["result"]["artifacts"][0]["durationSeconds"]
    request = {"url": f"job:{effect['jobId']}/effect.wav"}
    quote = (await ada.post(f"{TRANSCRIPTION}?validateOnly=true", json=request)).json()
    assert seconds
    assert quote["cost"] == 1
    job = await submit_job(ada, request, TRANSCRIPTION)
    assert (await read_job(ada, job))["credits"]["held"] == 1


async def test_a_retry_holds_the_price_of_a_result_of_ones_own_as_the_submission_did(
    start_providers: StartProviders,
) -> None:
    """It held the price of an hour, which an account might not have, and released it again."""
    setup = await start_providers("elevenlabs", initial_credits=4)
    ada = setup.user()
    effect = await complete_job(setup.world, ada, "sound-effect", {"prompt": "a slow wave"})
    request = {"url": f"job:{effect['jobId']}/effect.wav", "retry": {"maxAttempts": 1}}
    setup.fakes["elevenlabs"].fault = Fault.SERVER_ERROR
    job = await setup.run_job(request, TRANSCRIPTION)
    assert job["status"] == "FAILED"
    setup.fakes["elevenlabs"].fault = None
    dry_run = {
        "action": "retry",
        "filter": {"jobType": "transcription"},
        "limit": 5,
        "dryRun": True,
    }
    planned = (await ada.post("/api/operations", json=dry_run)).json()
    retried = await ada.post(f"{TRANSCRIPTION}/{job['jobId']}/retry")
    assert retried.status_code == 202, retried.text
    assert retried.json()["credits"]["held"] == 1
    assert planned["cost"] == 1, planned
    await setup.world.advance(60)
    ended = await read_job(ada, job)
    assert ended["status"] == "COMPLETED", ended["error"]
    assert ended["credits"]["captured"] == 1


async def test_a_result_longer_than_the_request_allows_is_refused_at_submission(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("elevenlabs")
    ada = setup.user()
    effect = await complete_job(setup.world, ada, "sound-effect", {"prompt": "a slow wave"})
    job = await setup.world.job(effect["jobId"])
    file = job.units[0].artifacts[0].model_copy(update={"duration_seconds": 5.1})
    unit = job.units[0].with_changes(artifacts=(file,))
    await setup.world.put(job.model_copy(update={"units": (unit,)}))
    url = f"job:{job.job_id}/effect.wav"
    answer = await ada.post(TRANSCRIPTION, json={"url": url, "options": {"maxSeconds": 1}})
    assert refused_paths(answer) == {"options.maxSeconds"}
    assert "must be at least 5" in answer.text
    # What it says is enough, though the file is a little longer.
    least = {"url": build_long_wav(2), "options": {"maxSeconds": 5}}
    assert (await ada.post(TRANSCRIPTION, json=least)).status_code == 202


async def test_a_result_of_ones_own_is_priced_exactly_where_the_job_waits_for_another(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("elevenlabs")
    ada = setup.user()
    effect = await complete_job(setup.world, ada, "sound-effect", {"prompt": "a slow wave"})
    job = await setup.run_job(
        {
            "url": f"job:{effect['jobId']}/effect.wav",
            "dependsOn": [{"jobId": effect["jobId"]}],
        },
        TRANSCRIPTION,
    )
    assert job["status"] == "COMPLETED", job["error"]
    assert job["credits"] == {"held": 0, "captured": 1, "released": 0}


async def test_a_result_that_was_made_again_longer_is_not_bought_for_the_price_of_the_former(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("fal")
    ada, world = setup.user(), setup.world

    async def stitch(count: int) -> str:
        body = {"operation": "video-stitch", "inputFiles": [CLIP] * count}
        path = "/api/jobs/media-processing"
        made = await ada.post(path, json=body, headers={"Idempotency-Key": "clip"})
        await world.advance(60)
        job = await read_job(ada, made.json())
        assert job["status"] == "COMPLETED", job["error"]
        return f"job:{job['jobId']}/{job['result']['artifacts'][0]['name']}"

    url = await stitch(2)
    edit = {
        "videoUrl": url,
        "prompt": "in snow",
        "options": {"maxSeconds": 600},
        "scheduleAt": (world.now() + timedelta(hours=1)).isoformat(),
    }
    job = await submit_job(ada, edit, "/api/jobs/video-edit")
    assert job["credits"]["held"] == VIDEO_EDIT_PRICE.credits
    removed = await ada.delete(f"/api/jobs/media-processing/{url[4:].partition('/')[0]}")
    assert removed.status_code == 204
    assert await stitch(12) == url
    await world.advance(3600)
    found = await read_job(ada, job)
    assert (found["status"], found["error"]["code"]) == ("FAILED", "input_too_large")
    assert found["credits"]["captured"] == 0
    assert setup.fakes["fal"].creates == 0


async def test_a_file_whose_header_states_less_than_it_plays_is_charged_for_what_it_plays(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("fal")
    setup.fakes["fal"].files["mp4"] = mp4()
    sound = "data:audio/webm;base64," + base64.b64encode(build_lying_webm(40, 1.0)).decode()
    request = {"videoUrl": CLIP, "audioUrl": sound}
    job = await setup.run_job(request, "/api/jobs/lip-sync")
    assert job["status"] == "COMPLETED", job["error"]
    assert job["credits"]["captured"] == 2 * LIP_SYNC_PRICE.credits


async def test_a_provider_gets_the_very_file_that_was_measured(
    start_providers: StartProviders,
) -> None:
    """The user's own server might send it another one, and a longer."""
    setup = await start_providers("fal", api_base_url="https://taskreel.example")
    fake = setup.fakes["fal"]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(8000)
        file.writeframes(b"\x80" * (8000 * 650))
    fake.files["wav"] = buffer.getvalue()
    job = await setup.run_job({"url": f"{fake.delivery}/files/voice.wav"}, TRANSCRIPTION)
    assert job["status"] == "COMPLETED", job["error"]
    assert job["credits"]["captured"] == 2
    (sent,) = [call.body["audio_url"] for call in fake.calls if call.method == "POST"]
    assert sent.startswith("https://taskreel.example/")
    # The copy goes with the job.
    ada, blobs = setup.user(), setup.world.services.blobs
    folder = f"artifacts/{job['jobId']}/"
    assert [path async for path in blobs.list_paths(folder) if path.endswith(".measured")]
    assert (await ada.delete(f"{TRANSCRIPTION}/{job['jobId']}")).status_code == 204
    await setup.world.advance(60)
    assert not [path async for path in blobs.list_paths(folder)]


async def test_a_step_is_charged_by_the_length_of_its_file(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("elevenlabs")
    steps = {"words": {"type": "transcription", "payload": {"url": build_long_wav(650)}}}
    made = await setup.run_job({"steps": steps}, "/api/jobs/pipeline")
    assert made["status"] == "COMPLETED", made["error"]
    assert made["credits"] == {"held": 0, "captured": 2, "released": 4}


async def test_a_file_without_a_length_is_refused(start_providers: StartProviders) -> None:
    setup = await start_providers("fal")
    request = {"videoUrl": CLIP, "audioUrl": "data:text/plain,hello"}
    job = await setup.run_job(request, "/api/jobs/lip-sync")
    assert job["error"]["code"] == "input_invalid"
    assert job["error"]["message"].startswith("audioUrl: its length cannot be read")
    assert setup.fakes["fal"].creates == 0
