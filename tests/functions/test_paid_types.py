"""Job types that no imitation does: each by the providers that sell it, refused without a key."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from functions.fake_providers import StartProviders
from functions.job_requests import PAID_TYPES, expect_problem, read_balance
from functions.test_inputs import mp4
from providers.fake_provider import build_png, build_wav
from taskreel.jobtypes import JOB_TYPES

#: Of each job type: a provider, and the key that unlocks it.
SELLERS = [
    ("sound-effect", "elevenlabs", "ELEVENLABS_API_KEY"),
    ("sound-effect", "runway", "RUNWAY_API_KEY"),
    ("sound-effect", "fal", "FAL_KEY"),
    ("sound-effect", "stability", "STABILITY_API_KEY"),
    ("transcription", "openai", "OPENAI_API_KEY"),
    ("transcription", "elevenlabs", "ELEVENLABS_API_KEY"),
    ("transcription", "fal", "FAL_KEY"),
    ("background-removal", "stability", "STABILITY_API_KEY"),
    ("background-removal", "fal", "FAL_KEY"),
    ("background-removal", "replicate", "REPLICATE_API_TOKEN"),
    ("video-edit", "runway", "RUNWAY_API_KEY"),
    ("video-edit", "fal", "FAL_KEY"),
    ("lip-sync", "fal", "FAL_KEY"),
]
#: What a job of each type leaves.
FILES = {
    "sound-effect": ["effect.wav"],
    "background-removal": ["cutout.png"],
    "video-edit": ["edited.mp4"],
    "lip-sync": ["synced.mp4"],
    "transcription": ["transcript.json", "transcript.srt", "transcript.vtt"],
}
#: The price of the shortest file; `test_length_prices.py` has longer ones.
LEAST_CREDITS = {"transcription": 1, "video-edit": 5, "lip-sync": 5}
SOUND = "data:audio/wav;base64," + base64.b64encode(build_wav(1.5)).decode()
#: The files of the examples.
INPUTS = {
    "https://example.com/clip.mp4": "data:video/mp4;base64," + base64.b64encode(mp4()).decode(),
    "https://example.com/voice.mp3": SOUND,
    "https://example.com/portrait.png": "data:image/png;base64,"
    + base64.b64encode(build_png()).decode(),
    "https://example.com/interview.mp3": SOUND,
}


def build_request(job_type: str, **fields: Any) -> dict[str, Any]:
    """The request of the type's own example, with files that are here."""
    found = {**JOB_TYPES[job_type].example, **fields}
    return {name: INPUTS.get(str(value), value) for name, value in found.items()}


def test_every_paid_type_has_a_seller_here() -> None:
    assert {job_type for job_type, _, _ in SELLERS} == PAID_TYPES


@pytest.mark.parametrize(("job_type", "provider", "key"), SELLERS)
async def test_without_a_key_it_is_refused_and_the_key_is_named(
    job_type: str, provider: str, key: str, ada: httpx.AsyncClient
) -> None:
    for wish in ({}, {"provider": "auto"}, {"provider": provider}, {"provider": [provider]}):
        answer = await ada.post(f"/api/jobs/{job_type}", json=build_request(job_type, **wish))
        refused = expect_problem(answer, 422, "provider_not_configured")
        assert key in refused["detail"], refused
    assert (await read_balance(ada))["held"] == 0


@pytest.mark.parametrize(("job_type", "provider", "key"), SELLERS)
async def test_with_its_key_it_is_quoted_made_and_charged(
    job_type: str, provider: str, key: str, start_providers: StartProviders
) -> None:
    setup = await start_providers(provider)
    setup.fakes[provider].files["mp4"] = mp4()
    ada = setup.user()
    path, body = f"/api/jobs/{job_type}", build_request(job_type)
    quote = (await ada.post(f"{path}?validateOnly=true", json=body)).json()
    job = await setup.run_job(body, path)
    assert job["status"] == "COMPLETED", job["error"]
    assert job["servedBy"] == provider
    # Of what is billed by the length of its file, the least: the file plays a second.
    least = LEAST_CREDITS.get(job_type, quote["cost"])
    assert job["credits"] == {"held": 0, "captured": least, "released": quote["cost"] - least}
    assert setup.fakes[provider].creates == 1
    assert [file["name"] for file in job["result"]["artifacts"]] == FILES[job_type]
    shown = (await ada.get("/api/providers")).json()["providers"]
    (seller,) = [one for one in shown if one["provider"] == provider]
    assert seller["keyVariable"] == key
    assert job_type in seller["jobTypes"]


async def test_a_transcript_is_a_films_captions(start_providers: StartProviders) -> None:
    setup = await start_providers("elevenlabs")
    picture = "data:image/png;base64," + base64.b64encode(build_png()).decode()
    scene = {"visual": picture, "narration": "{{steps.words.result.text}}", "duration": 1}
    film = {"width": 96, "height": 64, "fps": 8, "quality": "draft", "captions": "soft"}
    steps = {
        "words": {"type": "transcription", "payload": build_request("transcription")},
        "film": {
            "type": "video-composition",
            "payload": {"scenes": [scene], "options": {**film, "subtitleFile": True}},
        },
    }
    made = await setup.run_job({"steps": steps}, "/api/jobs/pipeline")
    assert made["status"] == "COMPLETED", made["error"]
    job = await setup.world.job(made["jobId"])
    (path,) = [file.path for file in job.artifacts if file.name == "film.srt"]
    blobs = setup.world.services.blobs
    text = b"".join([piece async for piece in blobs.read(path)])
    assert b"The lamp is lit." in text


async def test_a_model_without_a_price_changes_a_clip_where_it_is_named(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("luma")
    setup.fakes["luma"].files["mp4"] = mp4()
    named = build_request("video-edit", provider="luma", model="ray-3.2")
    job = await setup.run_job(named, "/api/jobs/video-edit")
    assert job["status"] == "COMPLETED", job["error"]
    assert [file["name"] for file in job["result"]["artifacts"]] == FILES["video-edit"]
