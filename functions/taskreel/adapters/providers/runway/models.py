"""Runway's models."""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import (
    SHAPE_OPTIONS,
    ModelRow,
    PricePage,
    PriceUnit,
    SecondsForm,
)
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

GEN4_VIDEO_RATIOS = ("1280:720", "720:1280", "1104:832", "832:1104", "960:960", "1584:672")
GEN4_IMAGE_RATIOS = (
    "1920:1080",
    "1080:1920",
    "1024:1024",
    "1360:768",
    "1080:1080",
    "1440:1080",
    "1080:1440",
    "2112:912",
)
GEN4_FIELDS = {"prompt": "promptText", "seed": "seed"}
#: Those of 720p: the greater ones have prices of their own.
SEEDANCE_RATIOS = ("1470:630", "1280:720", "1112:834", "960:960", "834:1112", "720:1280")
SEEDANCE_FIELDS = {"prompt": "promptText", "seed": "seed", "audio": "audio"}
KLING_FIELDS = {"prompt": "promptText", "audio": "audio"}
VEO_FIELDS = {"prompt": "promptText", "negativePrompt": "negativePrompt", "audio": "audio"}


ELEVEN_FIELDS = {
    "text": "promptText",
    "seed": "seed",
    "speed": "speed",
    "stability": "stability",
    "similarityBoost": "similarityBoost",
    "style": "style",
}
#: The presets of the types of runwayml 5.24.
VOICES = (
    *("Maya", "Arjun", "Serene", "Bernard", "Billy", "Mark", "Clint", "Mabel", "Chad", "Leslie"),
    *("Eleanor", "Elias", "Elliot", "Grungle", "Brodie", "Sandra", "Kirk", "Kylie", "Lara"),
    *("Lisa", "Malachi", "Marlene", "Martin", "Miriam", "Monster", "Paula", "Pip", "Rusty"),
    *("Ragnar", "Xylar", "Maggie", "Jack", "Katie", "Noah", "James", "Rina", "Ella", "Mariah"),
    *("Frank", "Claudia", "Niki", "Vincent", "Kendrick", "Myrna", "Tom", "Wanda", "Benjamin"),
    *("Kiana", "Rachel"),
)


def _build_row(
    name: str, capability: Capability, usd: float | None, unit: PriceUnit, **more: Any
) -> ModelRow:
    computed = {
        Capability.IMAGE: SHAPE_OPTIONS,
        Capability.VIDEO: SHAPE_OPTIONS | {"duration"},
        Capability.UPSCALE: frozenset({"scale"}),
        Capability.SPEECH: frozenset({"voice"}),
        Capability.SOUND_EFFECT: frozenset({"duration"}),
        Capability.VIDEO_EDIT: frozenset(),
    }
    takes = {"computed": computed[capability], **more}
    return ModelRow(
        name=name, provider="runway", path=name, capability=capability, usd=usd, unit=unit, **takes
    )


#: A ratio such as 1920:1080 is the size.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {"ratio", "outputFormat", "proresProfile", "videoUri"}

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_row(
        "gen4.5",
        Capability.VIDEO,
        0.12,
        PriceUnit.SECOND,
        quality="best",
        ratios=GEN4_VIDEO_RATIOS,
        text_ratios=("1280:720", "720:1280"),
        durations=tuple(range(2, 11)),
        max_inputs=1,
        fields=GEN4_FIELDS,
        aliases=("runway-gen4.5",),
    ),
    _build_row(
        "gen4_turbo",
        Capability.VIDEO,
        0.05,
        PriceUnit.SECOND,
        quality="draft",
        ratios=GEN4_VIDEO_RATIOS,
        durations=tuple(range(2, 11)),
        max_inputs=1,
        needs_input=True,
        fields=GEN4_FIELDS,
        aliases=("runway-gen4", "gen4", "gen-4", "runway-gen4-turbo", "gen4-turbo"),
    ),
    *(
        _build_row(
            name,
            Capability.VIDEO,
            usd,
            PriceUnit.SECOND,
            quality=quality,
            ratios=("1280:720", "720:1280"),
            durations=(4, 6, 8),
            max_inputs=2,
            fields=VEO_FIELDS,
        )
        for name, usd, quality in (("veo3.1", 0.40, "best"), ("veo3.1_fast", 0.15, "standard"))
    ),
    # By the types of runwayml 5.24, which state no range of seconds. Without a price here a model
    # serves only where it is named; what a task cost is in its answer.
    *(
        _build_row(
            name,
            Capability.VIDEO,
            None,
            PriceUnit.SECOND,
            ratios=ratios,
            max_inputs=2,
            fields=fields,
        )
        for name, ratios, fields in (
            ("seedance2", SEEDANCE_RATIOS, SEEDANCE_FIELDS),
            ("seedance2_fast", SEEDANCE_RATIOS, SEEDANCE_FIELDS),
            ("kling3.0_standard", ("1280:720", "720:1280", "960:960"), KLING_FIELDS),
            ("kling3.0_pro", ("1920:1080", "1080:1920", "1440:1440"), KLING_FIELDS),
        )
    ),
    _build_row(
        "gen4_image",
        Capability.IMAGE,
        0.08,
        PriceUnit.IMAGE,
        ratios=GEN4_IMAGE_RATIOS,
        max_inputs=3,
        fields=GEN4_FIELDS,
    ),
    _build_row(
        "gen4_image_turbo",
        Capability.IMAGE,
        0.02,
        PriceUnit.IMAGE,
        quality="draft",
        ratios=GEN4_IMAGE_RATIOS,
        max_inputs=3,
        needs_input=True,
        fields=GEN4_FIELDS,
    ),
    _build_row(
        "magnific_precision_upscaler_v2",
        Capability.UPSCALE,
        0.25,
        PriceUnit.IMAGE,
        scales=(2, 4, 8, 16),
        max_inputs=1,
        needs_input=True,
        max_pixels=25_300_000,
        aliases=("magnific",),
    ),
    _build_row(
        "eleven_multilingual_v2",
        Capability.SPEECH,
        0.20,
        PriceUnit.CHARACTERS,
        fields={"text": "promptText"},
        max_characters=1000,
        voices=VOICES,
        voice_words={"narrator": "Maya"},
    ),
    # By the types of runwayml 5.24, which state no price: they serve only where they are named.
    *(
        _build_row(
            name,
            Capability.SPEECH,
            None,
            PriceUnit.CHARACTERS,
            quality="best",
            fields=ELEVEN_FIELDS,
            computed=frozenset({"voice", "language"}),
            ranges={"speed": (0.7, 1.2)},
            voices=VOICES,
            voice_words={"narrator": "Maya"},
        )
        for name in ("eleven_v3", "eleven_v4")
    ),
    # By the types of runwayml 5.24; a credit a second where the length is given, by Runway's price
    # page as it was read in 2026-09. What a task cost is in its answer.
    _build_row(
        "eleven_text_to_sound_v2",
        Capability.SOUND_EFFECT,
        0.01,
        PriceUnit.SECOND,
        fields={"prompt": "promptText", "loop": "loop"},
        seconds_form=SecondsForm.DECIMAL,
        ranges={"duration": (0.5, 30)},
        formats=("mp3",),
    ),
    # By the types of runwayml 5.24; 28 credits a second of 2 to 30, at least 56, by Runway's price
    # page as it was read in 2026-09.
    _build_row(
        "aleph2",
        Capability.VIDEO_EDIT,
        0.28,
        PriceUnit.SECOND,
        fields={"prompt": "promptText", "seed": "seed"},
        max_inputs=1,
        needs_input=True,
        aliases=("aleph", "gen4_aleph", "runway-aleph"),
    ),
)

PRICE_PAGES = (
    # As a cost plan of 2026-09-15 quotes it.
    PricePage(
        url="https://docs.dev.runwayml.com/guides/pricing",
        read_on=date(2026, 9, 15),
        is_exact=False,
        capabilities=frozenset({Capability.SOUND_EFFECT, Capability.VIDEO_EDIT}),
    ),
    PricePage(url="https://docs.dev.runwayml.com/guides/pricing", read_on=date(2026, 11, 1)),
)
