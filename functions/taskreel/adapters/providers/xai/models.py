"""xAI's models.

Prices: docs.x.ai/developers/models; of a picture and a clip by its size.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers import chat_completions
from taskreel.adapters.providers.model_row import (
    SHAPE_OPTIONS,
    TEXT_OPTIONS,
    ModelRow,
    PricePage,
    PriceUnit,
)
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

PICTURE_RATIOS = (
    *("2:1", "20:9", "16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16", "9:20", "1:2"),
)
CLIP_RATIOS = ("16:9", "3:2", "4:3", "1:1", "3:4", "2:3", "9:16")
VOICES = ("eve", "ara", "rex", "sal", "leo")
VOICE_WORDS = {
    "narrator": "rex",
    "calm": "sal",
    "deep": "leo",
    "bright": "eve",
    "warm": "ara",
    "story": "ara",
}
#: What the texts say, the input files that were checked, and tools and searches, which have prices
#: of their own.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    *("messages", "text", "tools", "tool_choice", "search_parameters", "max_tokens"),
    *("max_completion_tokens", "deferred", "response_format", "video", "storage_options"),
    *("image", "images"),
}


def _build_row(
    name: str, capability: Capability, usd: float, unit: PriceUnit, **more: Any
) -> ModelRow:
    return ModelRow(
        name=name, provider="xai", path=name, capability=capability, usd=usd, unit=unit, **more
    )


def _build_picture(name: str, usd: float, **more: Any) -> ModelRow:
    return _build_row(
        name,
        Capability.IMAGE,
        usd,
        PriceUnit.IMAGE,
        ratios=PICTURE_RATIOS,
        sizes=(("1k", 1408), ("2k", 4096)),
        max_inputs=3,
        max_results=10,
        fields={"prompt": "prompt", "numImages": "n"},
        computed=SHAPE_OPTIONS,
        **more,
    )


def _build_clip(name: str, usd: float, **more: Any) -> ModelRow:
    return _build_row(
        name,
        Capability.VIDEO,
        usd,
        PriceUnit.SECOND,
        ratios=CLIP_RATIOS,
        durations=tuple(range(1, 16)),
        max_inputs=1,
        fields={"prompt": "prompt"},
        computed=SHAPE_OPTIONS | {"duration"},
        **more,
    )


#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_picture("grok-imagine-image", 0.02, aliases=("grok-imagine",)),
    _build_picture("grok-imagine-image-quality", 0.05),
    # Without a quality xAI chooses one, with a price of its own.
    _build_picture(
        "grok-imagine-image-2.0",
        0.08,
        usd_by_side=((1408, 0.06),),
        quality="best",
        constants={"quality": "medium"},
    ),
    _build_clip(
        "grok-imagine-video",
        0.07,
        usd_by_side=((854, 0.05),),
        sizes=(("480p", 854), ("720p", 1280)),
    ),
    _build_clip(
        "grok-imagine-video-1.5",
        0.25,
        usd_by_side=((854, 0.08), (1280, 0.14)),
        sizes=(("480p", 854), ("720p", 1280), ("1080p", 1920)),
        quality="best",
    ),
    *(
        _build_row(
            name,
            Capability.TEXT,
            usd,
            PriceUnit.TOKENS,
            usd_input=usd_input,
            quality=quality,
            fields=chat_completions.FIELDS,
            computed=TEXT_OPTIONS | chat_completions.MESSAGES,
            aliases=aliases,
        )
        for name, usd, usd_input, quality, aliases in (
            ("grok-4.3", 2.50, 1.25, "standard", ("grok",)),
            ("grok-4.5", 6.00, 2.00, "best", ()),
        )
    ),
    # The model has no name in a request: there is one.
    _build_row(
        "grok-tts",
        Capability.SPEECH,
        0.0042,
        PriceUnit.CHARACTERS,
        fields={
            "text": "text",
            "voice": "voice_id",
            "language": "language",
            "speed": "speed",
            "outputFormat": "output_format.codec",
        },
        constants={"language": "auto"},
        ranges={"speed": (0.7, 1.5)},
        voices=VOICES,
        voice_words=VOICE_WORDS,
        formats=("mp3", "wav"),
        max_characters=15_000,
    ),
)

PRICE_PAGES = (PricePage(url="https://docs.x.ai/developers/models", read_on=date(2026, 11, 27)),)
