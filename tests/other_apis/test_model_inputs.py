"""Inputs of other services' models: the judge is the body that our own adapter sends there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation
from providers.fakes import FAKES
from taskreel.adapters.providers import load_adapter
from taskreel.adapters.providers.model_lookup import list_rows
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.domain.errors import InvalidError
from taskreel.ports import Capability
from taskreel.web.other_apis.model_inputs import translate_input
from taskreel.web.other_apis.model_names import Service, find_model

#: One request of each capability that its client can make, in our own words.
ASKED: dict[Capability, dict[str, Any]] = {
    Capability.IMAGE: {"prompt": "A red kite", "seed": 7, "aspectRatio": "16:9"},
    Capability.VIDEO: {"prompt": "Waves", "seed": 7, "aspectRatio": "9:16", "duration": 6.0},
    Capability.UPSCALE: {"scale": 4.0, "seed": 7},
    Capability.SPEECH: {
        "text": "The lamp is lit.",
        "voice": "narrator",
        "speed": 1.1,
        "stability": 0.25,
        "similarityBoost": 0.5,
        "style": 0.75,
    },
    Capability.MUSIC: {"prompt": "a waltz", "duration": 20.0, "seed": 7},
    Capability.SOUND_EFFECT: {
        "prompt": "a door closes",
        "duration": 2.5,
        "loop": True,
        "promptInfluence": 0.5,
    },
    Capability.CUTOUT: {"seed": 7},
    Capability.VIDEO_EDIT: {"prompt": "in snow"},
    Capability.TRANSCRIPTION: {"language": "de", "diarize": True},
}
HOSTS: tuple[Service, ...] = ("fal", "replicate")
ROWS = [
    row
    for host in HOSTS
    for row in list_rows(host)
    if row.capability in ASKED and row.is_current(datetime.now(UTC).date())
]


async def send(folder: Path, row: ModelRow, pictures: int) -> tuple[str, dict[str, Any]]:
    """The model's name and its input, in the request that our adapter sends to the service."""
    fake = FAKES[row.provider]()
    adapter = load_adapter(row.provider)(key=fake.key, transport=fake.transport())
    request = build_generation(folder, row.capability, row.name, ASKED[row.capability], pictures)
    await adapter.start(request, idempotency_key="job-1.0.0")
    await adapter.close()
    (call,) = (call for call in fake.calls if call.method == "POST")
    if row.provider == "fal":
        return call.path.strip("/"), call.body
    return row.path.partition(":")[0], call.body["input"]


@pytest.mark.parametrize("pictures", [0, 1, 2])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.provider} {row.name}")
async def test_the_input_of_each_model_that_we_buy_is_understood_from_its_clients_too(
    row: ModelRow, pictures: int, tmp_path: Path
) -> None:
    if pictures > row.max_inputs or (row.needs_input and not pictures):
        pictures = min(row.max_inputs, 1)
    name, body = await send(tmp_path, row, pictures)
    service: Service = "fal" if row.provider == "fal" else "replicate"
    named = find_model(service, name)
    job_type, request = translate_input(named, body, at="")

    assert job_type.capability is row.capability or named.task == str(row.capability)
    assert request.submission.model == named.model
    assert set(request.ignored) <= row.constants.keys()
    (unit,) = job_type.units(request.submission)
    assert unit.capability is row.capability
    assert len(unit.input_urls) == pictures
    for option, value in ASKED[row.capability].items():
        if option not in row.options or (option == "aspectRatio" and pictures and row.text_ratios):
            continue
        wanted = row.voice_words.get(str(value), value) if option == "voice" else value
        if option == "duration":
            wanted = row.find_seconds(value)
        if option == "aspectRatio" and option not in unit.params:  # it was sent as a size
            width, height = unit.params["width"], unit.params["height"]
            assert (width > height) is (value == "16:9")
        else:
            assert unit.params[option] == wanted, (option, body)


@pytest.mark.parametrize(
    "name", ["fal-ai/sync-lipsync", "fal-ai/sync-lipsync/v3", "creatify/lipsync"]
)
def test_a_video_and_its_voice_are_understood(name: str) -> None:
    named = find_model("fal", name)
    given = {"video_url": "https://x.test/a.mp4", "audio_url": "https://x.test/a.wav"}
    job_type, request = translate_input(named, {**given, "sync_mode": "loop"}, at="")
    (unit,) = job_type.units(request.submission)
    assert unit.input_urls == tuple(given.values())
    assert unit.params["syncMode"] == "loop"
    assert not request.ignored


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("fal-ai/flux/dev", {"aspect_ratio": ["auto"]}),
        ("fal-ai/minimax/speech-2.8-hd", {"output_format": ["url"]}),
        ("fal-ai/minimax/speech-2.8-hd", {"speed": 1.1, "settings": "loud"}),
    ],
)
def test_a_value_of_a_wrong_kind_is_refused(name: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        translate_input(find_model("fal", name), {"prompt": "The lamp is lit.", **given})


@pytest.mark.parametrize(
    ("service", "name", "given", "path"),
    [
        ("replicate", "black-forest-labs/flux-dev", {"num_outputs": 99}, "num_outputs"),
        ("fal", "fal-ai/flux/dev", {"num_images": "two"}, "num_images"),
        ("fal", "fal-ai/flux/dev", {"seed": -1}, "seed"),
        ("fal", "fal-ai/flux/dev", {"num_inference_steps": "x"}, "num_inference_steps"),
        ("fal", "fal-ai/flux/dev", {"image_size": {"width": 5}}, "image_size.width"),
        ("fal", "fal-ai/flux/dev", {"image_url": 7}, "image_url"),
        # Of several pictures the wrong one, in the input that it was given in.
        (
            "replicate",
            "google/veo-3.1",
            {"last_frame": 7, "input_images": ["https://example.com/a.png"]},
            "last_frame",
        ),
        (
            "fal",
            "fal-ai/flux-2-pro/edit",
            {"image_urls": ["https://example.com/a.png", 7], "image": "https://example.com/b.png"},
            "image_urls[1]",
        ),
        ("fal", "fal-ai/esrgan", {"image_url": None}, "image_url"),
        ("fal", "fal-ai/minimax/speech-2.8-hd", {"speed": 99}, "speed"),
        ("fal", "fal-ai/minimax/speech-2.8-hd", {"prompt": 7}, "prompt"),
    ],
)
def test_a_wrong_input_is_named_as_its_client_does(
    service: Service, name: str, given: dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        translate_input(find_model(service, name), {"prompt": "The lamp is lit.", **given})
    assert [one["path"] for one in caught.value.details["errors"]] == [f"input.{path}"]
    assert caught.value.message.startswith(f"input.{path}: ")
