"""Speech by Gemini, which answers with bare samples."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Mapping
from typing import Any

from taskreel.adapters.providers.model_limits import choose_voice
from taskreel.adapters.providers.model_row import ModelRow

DEFAULT_RATE = 24_000


def build_speech_config(row: ModelRow, params: Mapping[str, Any]) -> dict[str, Any]:
    """The part of `generationConfig` that makes a model speak."""
    voice = choose_voice(row, params, row.voice_words["narrator"])
    return {
        "responseModalities": ["AUDIO"],
        "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}},
    }


def write_spoken_text(params: Mapping[str, Any]) -> str:
    """The text to speak, after the words on how to speak it."""
    text = str(params.get("text") or "")
    instructions = params.get("instructions")
    return f"{instructions}: {text}" if instructions else text


def wrap_samples(samples: bytes, mime_type: str) -> bytes:
    """A WAV file of 16-bit mono samples; `audio/L16;rate=24000` states their rate."""
    rate = re.search(r"rate=(\d+)", mime_type)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(int(rate[1]) if rate else DEFAULT_RATE)
        writer.writeframes(samples)
    return file.getvalue()
