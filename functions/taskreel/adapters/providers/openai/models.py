"""OpenAI's models."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import (
    SHAPE_OPTIONS,
    TEXT_OPTIONS,
    ModelRow,
    PricePage,
    PriceUnit,
)
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

IMAGE_FIELDS = {
    "prompt": "prompt",
    "numImages": "n",
    "quality": "quality",
    "outputFormat": "output_format",
}
TEXT_FIELDS = {
    "prompt": "input",
    "instructions": "instructions",
    "temperature": "temperature",
    "maxTokens": "max_output_tokens",
}
#: Sizes since gpt-image-2, by OpenAI's image generation guide.
ANY_SIZE: dict[str, Any] = {"max_pixels": 3840 * 2160, "min_pixels": 655_360, "max_ratio": 3.0}
SPEECH_FIELDS = {"text": "input", "outputFormat": "response_format", "speed": "speed"}
#: By the types of openai 3.57.
VOICES = (
    *("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer"),
    *("verse", "marin", "cedar"),
)
VOICE_WORDS = {
    "narrator": "coral",
    "calm": "sage",
    "deep": "onyx",
    "bright": "nova",
    "warm": "shimmer",
    "story": "fable",
}
#: List prices of the gpt-image line in US dollars a million tokens.
USD_TEXT_IN, USD_PICTURE_IN, USD_PICTURE_OUT = 5.0, 8.0, 30.0
USD_BY_QUALITY = {"low": 0.006, "medium": 0.053, "high": 0.211}


def _build_row(
    name: str, capability: Capability, usd: float | None, unit: PriceUnit, **more: Any
) -> ModelRow:
    takes: dict[Capability, dict[str, Any]] = {
        Capability.IMAGE: {"fields": IMAGE_FIELDS, "computed": SHAPE_OPTIONS},
        Capability.VIDEO: {},
        Capability.TEXT: {"fields": TEXT_FIELDS, "computed": TEXT_OPTIONS},
        Capability.TRANSCRIPTION: {
            "computed": frozenset({"language"}),
            "max_inputs": 1,
            "needs_input": True,
            # Their last day by the types of openai 3.57; gpt-transcribe stays, and has no times.
            "retires_on": date(2027, 2, 26),
            "replaced_by": "scribe_v2 (elevenlabs)",
        },
        Capability.SPEECH: {
            "computed": frozenset({"voice"}),
            "voices": VOICES,
            "voice_words": VOICE_WORDS,
            "formats": ("mp3", "wav", "opus", "flac"),
            "max_characters": 4096,
        },
    }
    more = {**takes[capability], **more}
    return ModelRow(
        name=name, provider="openai", path=name, capability=capability, usd=usd, unit=unit, **more
    )


#: The text that is counted, and tools and extras that have prices of their own.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    "input",
    "text",
    "tools",
    "tool_choice",
    "max_output_tokens",
    "max_tokens",
    "conversation",
    "previous_response_id",
    "partial_images",
    "input_fidelity",
    "file",
    "response_format",
    "timestamp_granularities",
    "chunking_strategy",
}

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_row(
        "gpt-image-2",
        Capability.IMAGE,
        0.053,
        PriceUnit.IMAGE,
        usd_by_quality=USD_BY_QUALITY,
        usd_input=5.0,
        max_inputs=16,
        max_results=10,
        **ANY_SIZE,
        aliases=("gpt-image",),
    ),
    *(
        _build_row(
            name,
            Capability.IMAGE,
            0.053,
            PriceUnit.IMAGE,
            usd_by_quality=USD_BY_QUALITY,
            usd_input=5.0,
            max_inputs=16,
            max_results=10,
            **ANY_SIZE,
        )
        for name in (
            "gpt-image-2.5-flare",
            "gpt-image-2.5-sunburst",
            "gpt-image-2.6-flare",
            "gpt-image-2.6-sunburst",
        )
    ),
    *(
        _build_row(
            name,
            Capability.IMAGE,
            0.04,
            PriceUnit.IMAGE,
            max_inputs=16,
            max_results=10,
            ratios=("1024:1024", "1536:1024", "1024:1536"),
            retires_on=date(2026, 12, 1),
            replaced_by="gpt-image-2",
        )
        for name in ("gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest")
    ),
    _build_row(
        "gpt-image-1",
        Capability.IMAGE,
        0.04,
        PriceUnit.IMAGE,
        retires_on=date(2026, 10, 23),
        replaced_by="gpt-image-2",
    ),
    *(
        _build_row(
            name,
            Capability.IMAGE,
            0.04,
            PriceUnit.IMAGE,
            retires_on=date(2026, 5, 12),
            replaced_by="gpt-image-2",
            aliases=(name.replace("-", "", 1),),
        )
        for name in ("dall-e-3", "dall-e-2")
    ),
    _build_row(
        "sora-2",
        Capability.VIDEO,
        0.10,
        PriceUnit.SECOND,
        retires_on=date(2026, 9, 24),
        replaced_by="gen4.5 (runway) or veo-3.1 (google)",
        aliases=("sora", "sora-2-pro", "openai-sora"),
    ),
    _build_row(
        "gpt-5.4-mini",
        Capability.TEXT,
        4.50,
        PriceUnit.TOKENS,
        usd_input=0.75,
        aliases=("gpt", "gpt-5-mini"),
    ),
    _build_row(
        "gpt-5.4",
        Capability.TEXT,
        15.0,
        PriceUnit.TOKENS,
        usd_input=2.50,
        quality="best",
        aliases=("gpt-5",),
    ),
    _build_row(
        "gpt-5.4-nano", Capability.TEXT, 1.25, PriceUnit.TOKENS, usd_input=0.20, quality="draft"
    ),
    *(
        _build_row(
            name,
            Capability.SPEECH,
            usd,
            PriceUnit.CHARACTERS,
            retires_on=date(2027, 1, 6),
            replaced_by="elevenlabs",
            fields=fields,
            quality=quality,
        )
        for name, usd, fields, quality in (
            (
                "gpt-4o-mini-tts",
                0.015,
                SPEECH_FIELDS | {"instructions": "instructions"},
                "standard",
            ),
            ("tts-1", 0.015, SPEECH_FIELDS, "draft"),
            ("tts-1-hd", 0.030, SPEECH_FIELDS, "best"),
        )
    ),
    # $0.006 a minute, by openrouter.ai and the model libraries of gateways, read 2026-11.
    _build_row(
        "whisper-1", Capability.TRANSCRIPTION, 0.0001, PriceUnit.SECOND, aliases=("whisper",)
    ),
    _build_row(
        "gpt-4o-transcribe-diarize",
        Capability.TRANSCRIPTION,
        0.0001,
        PriceUnit.SECOND,
        quality="best",
        computed=frozenset({"language", "diarize"}),
    ),
    # By the types of openai 3.57: a text without times, so without subtitles. No price was found:
    # it serves by its name alone.
    _build_row(
        "gpt-transcribe",
        Capability.TRANSCRIPTION,
        None,
        PriceUnit.SECOND,
        fields={"language": "languages[]"},
        computed=frozenset(),
        retires_on=None,
        replaced_by="",
    ),
)


def count_image_cost(usage: Mapping[str, Any]) -> float | None:
    """The cost in US dollars of the tokens of a gpt-image answer; None when it counts none."""
    if not isinstance(usage.get("output_tokens"), int):
        return None
    details = usage.get("input_tokens_details") or {}
    text_in = details.get("text_tokens", 0) * USD_TEXT_IN
    picture_in = details.get("image_tokens", 0) * USD_PICTURE_IN
    picture_out = usage["output_tokens"] * USD_PICTURE_OUT
    return float(text_in + picture_in + picture_out) / 1e6


PRICE_PAGES = (
    # A picture's price is computed from the tokens that its quality usually takes; that of a
    # transcript is quoted by others.
    PricePage(
        url="https://platform.openai.com/docs/pricing",
        read_on=date(2026, 11, 1),
        is_exact=False,
        capabilities=frozenset({Capability.IMAGE, Capability.TRANSCRIPTION}),
    ),
    PricePage(url="https://platform.openai.com/docs/pricing", read_on=date(2026, 11, 1)),
)
