"""Google's Gemini, Veo, Omni and Lyria models."""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import (
    GEMINI_RATIOS,
    GEMINI_SIZES,
    SHAPE_OPTIONS,
    TEXT_OPTIONS,
    WIDE_OR_TALL,
    ModelRow,
    PricePage,
    PriceUnit,
    SecondsForm,
    price_sizes,
)
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

#: Nano Banana 2.1: $30 a million tokens, of which these sizes take 1120 to 3780, by Google's price
#: page of 2026-10-07 as public clients' tables quote it. What it thinks is billed beside that.
NANO_BANANA_USD = (0.0336, 0.0504, 0.1134)
#: By Google's price page (2026-04): $60 a million tokens, of which these sizes take 1120 to 2520.
FLASH_IMAGE_USD = (0.067, 0.101, 0.151)
PRO_IMAGE_USD = (0.134, 0.134, 0.24)
#: US dollars a million tokens of text read and of sound spoken, by Google's price page until
#: 2026-12-31; then they double.
SPEECH_TOKENS_USD = {
    "gemini-3.8-flash-tts": (0.50, 9.00),
    "gemini-3.8-flash-lite-tts": (0.50, 6.00),
}
#: A thousand characters are about 67 seconds, of 25 tokens each, after 250 tokens of text.
_SPOKEN_TOKENS, _TEXT_TOKENS = 67 * 25, 250
#: One of the prebuilt voices, of which there are more than two thousand.
NARRATOR = "Kore"
#: Omni's price at 720p; other sizes cost 1.5 and 3 times as much (price page, 2026-11).
OMNI_USD = ((1280, 0.07), (1920, 0.105), (3840, 0.21))
TEXT_FIELDS = {"temperature": "temperature", "maxTokens": "maxOutputTokens"}
VEO_FIELDS = {"negativePrompt": "negativePrompt", "audio": "generateAudio"}


def _build_row(
    name: str, capability: Capability, usd: float, unit: PriceUnit, **more: Any
) -> ModelRow:
    takes: dict[Capability, dict[str, Any]] = {
        Capability.IMAGE: {"computed": SHAPE_OPTIONS | {"prompt", "seed"}},
        Capability.VIDEO: {
            "fields": VEO_FIELDS,
            "computed": SHAPE_OPTIONS | {"prompt", "seed", "duration"},
            # google-genai refuses Veo without Vertex, and Google's changelog of 2026-06-15 moved
            # these ids there.
            "keyless_only": True,
        },
        Capability.SPEECH: {
            "computed": frozenset({"text", "voice", "instructions", "seed"}),
            "voice_words": {"narrator": NARRATOR, NARRATOR.lower(): NARRATOR},
        },
        Capability.MUSIC: {"computed": frozenset({"prompt", "duration"}), "key_only": True},
        Capability.TEXT: {
            "fields": TEXT_FIELDS,
            "computed": TEXT_OPTIONS | {"prompt", "instructions", "seed"},
        },
    }
    more = {"path": name, **takes[capability], **more}
    return ModelRow(name=name, provider="google", capability=capability, usd=usd, unit=unit, **more)


#: `generationConfig` has the number, the size and the length of results.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    "contents",
    "instances",
    "generation_config",
    "image_config",
    "tools",
    "tool_config",
    "cached_content",
    "storage_uri",
    "output_gcs_uri",
    "pubsub_topic",
    "max_output_tokens",
    *("input", "response_format", "response_modalities", "speech_config", "webhook_config"),
    *("previous_interaction_id", "agent", "agent_config"),
}

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_row(
        "gemini-nano-banana-2.1",
        Capability.IMAGE,
        NANO_BANANA_USD[0],
        PriceUnit.IMAGE,
        usd_by_side=price_sizes(GEMINI_SIZES, NANO_BANANA_USD),
        sizes=GEMINI_SIZES,
        ratios=("8:1", "4:1", *GEMINI_RATIOS, "1:4", "1:8"),
        max_inputs=14,
        # Nano Banana 2 is the name of the line, of which 2.1 is what remains at Google.
        aliases=("gemini-image", "nano-banana", "nano-banana-2", "nano-banana-2.1"),
    ),
    # Shut down by Google's changelog of 2026-10-06.
    _build_row(
        "gemini-3.1-flash-image",
        Capability.IMAGE,
        FLASH_IMAGE_USD[0],
        PriceUnit.IMAGE,
        usd_by_side=price_sizes(GEMINI_SIZES, FLASH_IMAGE_USD),
        sizes=GEMINI_SIZES,
        ratios=GEMINI_RATIOS,
        max_inputs=14,
        retires_on=date(2026, 10, 29),
        replaced_by="gemini-nano-banana-2.1",
    ),
    _build_row(
        "gemini-3-pro-image",
        Capability.IMAGE,
        PRO_IMAGE_USD[0],
        PriceUnit.IMAGE,
        usd_by_side=price_sizes(GEMINI_SIZES, PRO_IMAGE_USD),
        sizes=GEMINI_SIZES,
        quality="best",
        ratios=GEMINI_RATIOS,
        max_inputs=14,
        aliases=("nano-banana-pro",),
    ),
    *(
        _build_row(
            name,
            Capability.IMAGE,
            0.04,
            PriceUnit.IMAGE,
            retires_on=date(2026, 6, 30),
            replaced_by="gemini-nano-banana-2.1",
        )
        for name in ("imagen-4", "imagen-3", "imagen")
    ),
    _build_row(
        "veo-3.1",
        Capability.VIDEO,
        0.40,
        PriceUnit.SECOND,
        path="veo-3.1-generate-001",
        quality="best",
        ratios=WIDE_OR_TALL,
        durations=(4, 6, 8),
        max_inputs=2,
        # "Veo 3" is the guides' name of the line, of which 3.1 is what remains.
        aliases=("veo", "veo-3", "veo3", "veo3.1", "veo-3.1-generate-001"),
    ),
    _build_row(
        "veo-3.1-fast",
        Capability.VIDEO,
        0.10,
        PriceUnit.SECOND,
        path="veo-3.1-fast-generate-001",
        ratios=WIDE_OR_TALL,
        durations=(4, 6, 8),
        max_inputs=2,
        aliases=("veo-3-fast", "veo-3.1-fast-generate-001"),
    ),
    _build_row(
        "veo-3.1-lite",
        Capability.VIDEO,
        0.05,
        PriceUnit.SECOND,
        path="veo-3.1-lite-generate-001",
        quality="draft",
        ratios=WIDE_OR_TALL,
        durations=(4, 6, 8),
        max_inputs=1,
        aliases=("veo-3.1-lite-generate-001",),
    ),
    _build_row(
        "gemini-omni-1.2-flash",
        Capability.VIDEO,
        OMNI_USD[0][1],
        PriceUnit.SECOND,
        usd_by_side=OMNI_USD,
        ratios=WIDE_OR_TALL,
        durations=tuple(range(3, 11)),
        seconds_form=SecondsForm.TEXT_S,
        sizes=(("720p", 1280), ("1080p", 1920), ("4k", 3840)),
        max_inputs=1,
        fields={},
        computed=SHAPE_OPTIONS | {"prompt", "duration"},
        keyless_only=False,
        aliases=("omni", "gemini-omni", "gemini-omni-flash"),
    ),
    *(
        _build_row(
            name,
            Capability.VIDEO,
            0.40,
            PriceUnit.SECOND,
            retires_on=date(2026, 6, 30),
            replaced_by="veo-3.1",
            aliases=aliases,
        )
        for name, aliases in (
            ("veo-3.0-generate-001", ("veo-3.0",)),
            ("veo-2.0-generate-001", ("veo-2", "veo2")),
        )
    ),
    _build_row(
        "gemini-3.8-flash",
        Capability.TEXT,
        3.75,
        PriceUnit.TOKENS,
        usd_input=0.75,
        max_inputs=14,
        aliases=("gemini-flash",),
    ),
    _build_row(
        "gemini-3.7-flash",
        Capability.TEXT,
        3.75,
        PriceUnit.TOKENS,
        usd_input=0.75,
        max_inputs=14,
    ),
    _build_row(
        "gemini-3.5-flash-lite",
        Capability.TEXT,
        2.50,
        PriceUnit.TOKENS,
        usd_input=0.30,
        quality="draft",
        max_inputs=14,
    ),
    _build_row(
        "gemini-3.5-flash", Capability.TEXT, 9.0, PriceUnit.TOKENS, usd_input=1.50, max_inputs=14
    ),
    *(
        _build_row(
            name,
            Capability.SPEECH,
            (_TEXT_TOKENS * text + _SPOKEN_TOKENS * sound) / 1e6,
            PriceUnit.CHARACTERS,
            quality=quality,
            # 8,192 tokens a request, at three characters a token or more.
            max_characters=24_000,
            aliases=aliases,
        )
        for (name, (text, sound)), quality, aliases in zip(
            SPEECH_TOKENS_USD.items(),
            ("standard", "draft"),
            (("gemini-tts",), ()),
            strict=True,
        )
    ),
    _build_row("lyria-3.5", Capability.MUSIC, 0.08, PriceUnit.RUN, aliases=("lyria",)),
)


def count_speech_cost(model: str, tokens_in: int | None, tokens_out: int | None) -> float | None:
    """The cost in US dollars of the tokens of speech; None where Google counted none."""
    if tokens_in is None or tokens_out is None:
        return None
    text, sound = SPEECH_TOKENS_USD[model]
    return (tokens_in * text + tokens_out * sound) / 1e6


PRICE_PAGES = (
    PricePage(
        url="https://ai.google.dev/gemini-api/docs/pricing",
        read_on=date(2026, 4, 1),
        capabilities=frozenset({Capability.IMAGE}),
    ),
    PricePage(url="https://ai.google.dev/gemini-api/docs/pricing", read_on=date(2026, 11, 1)),
)
