"""Every option of every job type at every model: sent, or known not to be."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.case import build_generation, count_least_inputs
from providers.fakes import FAKES
from taskreel.adapters.providers import load_adapter
from taskreel.adapters.providers.catalogue import ModelCatalogue
from taskreel.adapters.providers.model_limits import list_ignored_options
from taskreel.adapters.providers.model_lookup import get_today, list_rows
from taskreel.adapters.providers.model_row import ModelRow
from taskreel.domain.errors import RunError
from taskreel.jobtypes.ai_processing import (
    MusicParameters,
    SpeechParameters,
    TextParameters,
    UpscaleParameters,
)
from taskreel.jobtypes.background_removal import CutoutOptions
from taskreel.jobtypes.image_generation import ImageOptions
from taskreel.jobtypes.lip_sync import LipSyncOptions
from taskreel.jobtypes.sound_effect import SoundEffectOptions
from taskreel.jobtypes.submission import Options, list_given_options
from taskreel.jobtypes.text_schemas import add_instructions
from taskreel.jobtypes.transcription import TranscriptionOptions
from taskreel.jobtypes.video_edit import VideoEditOptions
from taskreel.jobtypes.video_generation import VideoOptions
from taskreel.ports import Capability, WorkRequest
from taskreel_local.studio import CAPABILITIES, PROVIDERS

#: What each capability is asked for, and every option of it with another value than there.
BASE: dict[Capability, dict[str, Any]] = {
    Capability.IMAGE: {"prompt": "x", "width": 1024, "height": 1024},
    Capability.VIDEO: {"prompt": "x", "width": 1280, "height": 720, "duration": 4},
    Capability.UPSCALE: {"scale": 2},
    Capability.TEXT: {"prompt": "x"},
    Capability.SPEECH: {"text": "x"},
    Capability.MUSIC: {"prompt": "x", "duration": 10},
    Capability.SOUND_EFFECT: {"prompt": "x", "duration": 4},
    Capability.TRANSCRIPTION: {},
    Capability.CUTOUT: {},
    Capability.VIDEO_EDIT: {"prompt": "x"},
    Capability.LIP_SYNC: {},
}
CHANGES: dict[Capability, dict[str, Any]] = {
    Capability.IMAGE: {
        "seed": 7,
        "width": 512,
        "height": 512,
        "aspectRatio": "9:16",
        "outputFormat": "jpeg",
        "quality": "low",
        "negativePrompt": "rain",
        "style": "anime",
        "steps": 20,
        "guidance": 3.5,
        "sampler": "euler",
        "promptUpsampling": True,
        "safetyTolerance": 1,
    },
    Capability.VIDEO: {
        "seed": 7,
        "duration": 8,
        "width": 320,
        "height": 1920,
        "aspectRatio": "9:16",
        "fps": 24,
        "negativePrompt": "rain",
        "audio": False,
        "quality": "high",
        "style": "anime",
    },
    Capability.UPSCALE: {
        "seed": 7,
        "scale": 4,
        "outputFormat": "jpeg",
        "faceEnhance": True,
        "creativity": 0.3,
        "prompt": "rain",
    },
    Capability.TEXT: {
        "seed": 7,
        "temperature": 0.3,
        "maxTokens": 500,
        "instructions": "Be brief.",
        "schema": {"type": "object"},
        "kind": "story",
        "genre": "noir",
        "sceneCount": 2,
        "placeCount": 2,
        "characterCount": 2,
        "style": "dry",
        "tone": "calm",
        "audience": "children",
        "language": "fr",
    },
    Capability.SPEECH: {
        "seed": 7,
        "voice": "nova",
        "language": "de-AT",
        "outputFormat": "wav",
        "instructions": "whisper",
        "speed": 1.1,
        "pitch": 60,
        "stability": 0.4,
        "similarityBoost": 0.7,
        "style": 0.2,
    },
    Capability.MUSIC: {"seed": 7, "duration": 20, "outputFormat": "wav"},
    Capability.SOUND_EFFECT: {
        "seed": 7,
        "duration": 2.5,
        "loop": True,
        "promptInfluence": 0.8,
        "outputFormat": "wav",
    },
    Capability.CUTOUT: {"seed": 7, "outputFormat": "webp"},
    Capability.VIDEO_EDIT: {"seed": 7},
    Capability.LIP_SYNC: {"seed": 7, "syncMode": "remap"},
    Capability.TRANSCRIPTION: {"seed": 7, "language": "de-AT", "diarize": True, "speakers": 2},
}
MODELS: dict[Capability, type[Options]] = {
    Capability.IMAGE: ImageOptions,
    Capability.VIDEO: VideoOptions,
    Capability.UPSCALE: UpscaleParameters,
    Capability.TEXT: TextParameters,
    Capability.SPEECH: SpeechParameters,
    Capability.MUSIC: MusicParameters,
    Capability.SOUND_EFFECT: SoundEffectOptions,
    Capability.TRANSCRIPTION: TranscriptionOptions,
    Capability.CUTOUT: CutoutOptions,
    Capability.VIDEO_EDIT: VideoEditOptions,
    Capability.LIP_SYNC: LipSyncOptions,
}
CURRENT = [row for row in list_rows() if row.is_current(get_today())]


async def send_to_fake(row: ModelRow, folder: Path, params: dict[str, Any]) -> Any:
    """Send a request to the strict fake, which must not refuse it; returns the body."""
    fake = FAKES[row.provider]()
    provider = load_adapter(row.provider)(fake.key, transport=fake.transport())
    params = add_instructions(params) if row.capability is Capability.TEXT else params
    if row.voices and "voice" in params:
        params = {**params, "voice": row.voices[-1]}
    request = build_generation(folder, row.capability, row.name, params, count_least_inputs(row))
    try:
        await provider.start(request, idempotency_key="k")
    except RunError as error:
        if error.code not in {"model_retired", "voice_unknown"}:  # a model that the fake lacks
            raise
    await provider.close()
    call = fake.calls[0]
    return call.path, call.query, call.body


@pytest.mark.parametrize("capability", MODELS, ids=str)
def test_every_option_of_the_job_types_is_tried_here(capability: Capability) -> None:
    fields = MODELS[capability].model_fields.values()
    names = {field.serialization_alias or field.alias for field in fields}
    # `resolution` is sent as width and height, `maxSeconds` limits the price.
    assert set(CHANGES[capability]) == names - {"providerOptions", "resolution", "maxSeconds"}


@pytest.mark.parametrize(
    "row", CURRENT, ids=lambda row: f"{row.provider} {row.name} {row.capability}"
)
async def test_an_option_is_sent_or_listed_as_ignored(row: ModelRow, tmp_path: Path) -> None:
    base = BASE[row.capability]
    plain = await send_to_fake(row, tmp_path, base)
    for name, value in CHANGES[row.capability].items():
        params = {**base, name: value}
        missing = list_ignored_options(row, params, [name])
        if name in row.ranges and not row.ranges[name][0] <= value <= row.ranges[name][1]:
            assert missing  # it is moved into the range: test_rows.py
            continue
        able = {"duration": row.durations, "scale": row.scales}.get(name)
        if able and value not in able and len(able) > 1:
            assert missing  # the nearest that the model makes is taken
            continue
        if row.scales == (4,) and name == "scale":  # it makes four times the size unasked
            assert not missing
            continue
        if name == "diarize" and row.name.endswith("diarize"):  # it does so unasked
            assert not missing
            continue
        assert (await send_to_fake(row, tmp_path, params) == plain) is (name in missing), name


@pytest.mark.parametrize(
    ("provider", "model", "params", "words"),
    [
        ("google", "veo-3.1", {"duration": 5.0}, "veo-3.1 at google uses the nearest of 4, 6, 8"),
        (
            "stability",
            "upscale-fast",
            {"scale": 2.0},
            "upscale-fast at stability uses the nearest of 4",
        ),
    ],
)
def test_a_number_that_becomes_another_is_said(
    provider: str, model: str, params: dict[str, Any], words: str
) -> None:
    (row,) = [row for row in list_rows() if (row.provider, row.name) == (provider, model)]
    assert list(list_ignored_options(row, params, params).values()) == [words]
    assert not list_ignored_options(row, params, [])


@pytest.mark.parametrize("capability", CAPABILITIES, ids=str)
def test_the_local_provider_says_what_it_ignores(capability: Capability) -> None:
    params = {**BASE[capability], **CHANGES[capability], "providerOptions": {"logo": True}}
    others = params.keys() - CAPABILITIES[capability] - {"providerOptions"}
    name, asked = PROVIDERS[0].name, WorkRequest(capability, "", params, 0, datetime.now(UTC))
    ignored = ModelCatalogue({name: PROVIDERS[0]}).explain_ignored_options(name, asked, params)
    assert ignored.keys() == others | {"logo"}


def test_only_what_a_caller_has_set_counts() -> None:
    payload = {
        "imageUrl": "https://example.com/x.png",
        "options": {"outputFormat": "png", "providerOptions": {"fps": 3}},
        "settings": {"speed": 1},
        "parameters": {"max_tokens": 16},
    }
    named = {
        "imageUrl",
        "options",
        "outputFormat",
        "providerOptions",
        "settings",
        "speed",
        "parameters",
        "maxTokens",
    }
    assert list_given_options(payload) == named
