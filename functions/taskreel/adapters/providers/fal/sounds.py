"""fal's models of speech, music, sound effects and transcripts.

The fields are those of the types of @fal-ai/client 1.10.1. The prices are those of the models'
pages at fal.ai, read between 2026-04 and 2026-09.
"""

from __future__ import annotations

from typing import Any

from taskreel.adapters.providers.fal.model_rows import build_row
from taskreel.adapters.providers.model_row import ModelRow, PriceUnit, SecondsForm
from taskreel.ports import Capability

#: A voice that every ElevenLabs account has, and one of MiniMax's.
RACHEL, WISE_WOMAN = "Rachel", "Wise_Woman"


def _build_speech(name: str, path: str, narrator: str, **more: Any) -> ModelRow:
    return build_row(
        name,
        path,
        0.10,
        capability=Capability.SPEECH,
        unit=PriceUnit.CHARACTERS,
        formats=("mp3",),
        voice_words={"narrator": narrator, narrator.lower(): narrator},
        computed=frozenset(),
        **more,
    )


SOUNDS: tuple[ModelRow, ...] = (
    _build_speech(
        "eleven_multilingual_v2",
        "fal-ai/elevenlabs/tts/multilingual-v2",
        RACHEL,
        max_characters=10_000,
        fields={
            "text": "text",
            "voice": "voice",
            "language": "language_code",
            "speed": "speed",
            "stability": "stability",
            "similarityBoost": "similarity_boost",
            "style": "style",
        },
        ranges={"speed": (0.7, 1.2)},
        aliases=("elevenlabs",),
    ),
    _build_speech(
        "eleven_v3",
        "fal-ai/elevenlabs/tts/eleven-v3",
        RACHEL,
        quality="best",
        max_characters=5_000,
        fields={
            "text": "text",
            "voice": "voice",
            "language": "language_code",
            "stability": "stability",
        },
    ),
    _build_speech(
        "minimax-speech-2.8-hd",
        "fal-ai/minimax/speech-2.8-hd",
        WISE_WOMAN,
        max_characters=10_000,
        fields={
            "text": "prompt",
            "voice": "voice_setting.voice_id",
            "speed": "voice_setting.speed",
        },
        ranges={"speed": (0.5, 2.0)},
        constants={"output_format": "url"},
    ),
    build_row(
        "eleven-music",
        "fal-ai/elevenlabs/music",
        0.80,
        capability=Capability.MUSIC,
        unit=PriceUnit.MINUTE,
        fields={"prompt": "prompt"},
        computed=frozenset({"duration"}),
        ranges={"duration": (3, 600)},
        seconds_field="music_length_ms",
        seconds_form=SecondsForm.MILLISECONDS,
        formats=("mp3",),
        constants={"force_instrumental": True},
        aliases=("music_v1",),
    ),
    build_row(
        "stable-audio-2.5",
        "fal-ai/stable-audio-25/text-to-audio",
        0.20,
        capability=Capability.MUSIC,
        unit=PriceUnit.RUN,
        fields={"prompt": "prompt", "seed": "seed"},
        computed=frozenset({"duration"}),
        ranges={"duration": (1, 190)},
        seconds_field="seconds_total",
    ),
    # Schema and price by its page, read 2026-09.
    build_row(
        "eleven_text_to_sound_v2",
        "fal-ai/elevenlabs/sound-effects/v2",
        0.002,
        capability=Capability.SOUND_EFFECT,
        unit=PriceUnit.SECOND,
        fields={"prompt": "text", "loop": "loop", "promptInfluence": "prompt_influence"},
        computed=frozenset({"duration"}),
        ranges={"duration": (0.5, 22)},
        seconds_field="duration_seconds",
        seconds_form=SecondsForm.DECIMAL,
        formats=("mp3",),
    ),
    # Schema and price by its page, read 2026-11.
    build_row(
        "scribe_v1",
        "fal-ai/elevenlabs/speech-to-text",
        0.03 / 60,
        capability=Capability.TRANSCRIPTION,
        unit=PriceUnit.SECOND,
        fields={"diarize": "diarize"},
        computed=frozenset({"language"}),
        max_inputs=1,
        input_fields=("audio_url",),
        needs_input=True,
    ),
)
