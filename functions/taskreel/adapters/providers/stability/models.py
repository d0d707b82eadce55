"""Stability AI's models."""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import (
    FOUR_MEGAPIXELS,
    SHAPE_OPTIONS,
    ModelRow,
    PricePage,
    PriceUnit,
)
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

RATIOS = ("21:9", "16:9", "3:2", "5:4", "1:1", "4:5", "2:3", "9:16", "9:21")
UPSCALE_FIELDS = {
    "prompt": "prompt",
    "outputFormat": "output_format",
    "negativePrompt": "negative_prompt",
}
FIELDS = UPSCALE_FIELDS | {"style": "style_preset"}
SD3_OPTIONS: dict[str, Any] = {
    "fields": FIELDS | {"guidance": "cfg_scale"},
    "formats": ("png", "jpeg"),
    "ranges": {"guidance": (1, 10)},
}


def _build_row(
    name: str, path: str, usd: float, *, capability: Capability = Capability.IMAGE, **more: Any
) -> ModelRow:
    takes = {
        "fields": FIELDS,
        "computed": SHAPE_OPTIONS | {"seed"}
        if capability is Capability.IMAGE
        else frozenset({"seed"}),
        **more,
    }
    return ModelRow(
        name=name,
        provider="stability",
        path=path,
        capability=capability,
        usd=usd,
        **{"unit": PriceUnit.IMAGE, **takes},
    )


#: The mode chooses the work.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {"mode", "audio"}

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_row(
        "stable-image-core",
        "generate/core",
        0.03,
        ratios=RATIOS,
        aliases=("core", "stable-core"),
    ),
    _build_row(
        "stable-image-ultra",
        "generate/ultra",
        0.08,
        quality="best",
        ratios=RATIOS,
        max_inputs=1,
        aliases=("ultra", "stable-ultra"),
    ),
    _build_row(
        "sd3.5-large",
        "generate/sd3",
        0.065,
        variant="sd3.5-large",
        ratios=RATIOS,
        max_inputs=1,
        **SD3_OPTIONS,
        # SDXL is no longer behind this API; Stability names SD 3.5 its successor.
        aliases=(
            "sd3",
            "sd3.5",
            "stable-diffusion-3",
            "stable-diffusion-xl",
            "stable-diffusion",
            "sdxl",
        ),
    ),
    *(
        _build_row(
            name,
            "generate/sd3",
            usd,
            variant=name,
            quality="draft",
            ratios=RATIOS,
            max_inputs=1,
            **SD3_OPTIONS,
        )
        for name, usd in (
            ("sd3.5-large-turbo", 0.04),
            ("sd3.5-medium", 0.035),
            ("sd3.5-flash", 0.025),
        )
    ),
    _build_row(
        "upscale-fast",
        "upscale/fast",
        0.02,
        quality="draft",
        capability=Capability.UPSCALE,
        scales=(4,),
        max_inputs=1,
        needs_input=True,
        fields={"outputFormat": "output_format"},
        computed=frozenset({"scale"}),
        aliases=("fast",),
    ),
    _build_row(
        "upscale-conservative",
        "upscale/conservative",
        0.40,
        capability=Capability.UPSCALE,
        max_inputs=1,
        needs_input=True,
        max_pixels=FOUR_MEGAPIXELS,
        fields=UPSCALE_FIELDS | {"creativity": "creativity"},
        aliases=("conservative",),
    ),
    _build_row(
        "upscale-creative",
        "upscale/creative",
        0.60,
        quality="best",
        capability=Capability.UPSCALE,
        max_inputs=1,
        needs_input=True,
        fields=FIELDS | {"creativity": "creativity"},
        aliases=("creative",),
    ),
    # Five credits, by gateways that sell it at list price, read 2026-11.
    _build_row(
        "remove-background",
        "edit/remove-background",
        0.05,
        capability=Capability.CUTOUT,
        max_inputs=1,
        needs_input=True,
        formats=("png", "webp"),
        fields={"outputFormat": "output_format"},
        computed=frozenset(),
    ),
    # Twenty credits, whatever its length.
    *(
        _build_row(
            "stable-audio-2.5",
            "audio/stable-audio-2/text-to-audio",
            0.20,
            variant="stable-audio-2.5",
            capability=capability,
            unit=PriceUnit.RUN,
            fields={"prompt": "prompt", "outputFormat": "output_format"},
            computed=frozenset({"seed", "duration"}),
            ranges={"duration": (1, 190)},
            formats=("mp3", "wav"),
            aliases=("stable-audio",),
        )
        for capability in (Capability.MUSIC, Capability.SOUND_EFFECT)
    ),
)

PRICE_PAGES = (
    # As clients of 2026-06 count it, and as api-evangelist's plans of 2026-05-08 quote it.
    PricePage(
        url="https://platform.stability.ai/pricing",
        read_on=date(2026, 6, 1),
        is_exact=False,
        capabilities=frozenset({Capability.MUSIC, Capability.SOUND_EFFECT}),
    ),
    PricePage(
        url="https://stability.ai/api-pricing-update-25",
        read_on=date(2026, 11, 27),
        capabilities=frozenset({Capability.UPSCALE, Capability.CUTOUT}),
    ),
    PricePage(url="https://platform.stability.ai/pricing", read_on=date(2026, 11, 1)),
)
