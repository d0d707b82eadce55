"""Black Forest Labs' FLUX models."""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import (
    FLUX_FIELDS,
    FLUX_RATIOS,
    FOUR_MEGAPIXELS,
    SHAPE_OPTIONS,
    ModelRow,
    PricePage,
    PriceUnit,
)
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

FIELDS = FLUX_FIELDS | {"safetyTolerance": "safety_tolerance"}
UPSAMPLING_FIELDS = FIELDS | {"promptUpsampling": "prompt_upsampling"}


def _build_row(
    name: str, usd: float, *, path: str = "", unit: PriceUnit = PriceUnit.IMAGE, **more: Any
) -> ModelRow:
    takes = {"fields": FIELDS, "computed": SHAPE_OPTIONS, **more}
    return ModelRow(
        name=name,
        provider="bfl",
        path=path or name,
        capability=Capability.IMAGE,
        usd=usd,
        unit=unit,
        **takes,
    )


#: A fine-tuned model has another price.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {"finetune_id", "finetuned_model"}

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_row(
        "flux-2-pro",
        0.03,
        unit=PriceUnit.MEGAPIXEL,
        usd_further=0.015,
        max_inputs=8,
        max_pixels=FOUR_MEGAPIXELS,
        aliases=("flux-pro", "flux"),
    ),
    *(
        _build_row(
            name,
            usd,
            unit=PriceUnit.MEGAPIXEL,
            usd_further=further,
            max_inputs=pictures,
            max_pixels=FOUR_MEGAPIXELS,
            fields=fields,
            quality=quality,
            # Only flex has these two.
            ranges={"steps": (1, 50), "guidance": (1.5, 10)} if "steps" in fields else {},
        )
        for name, usd, further, pictures, fields, quality in (
            ("flux-2-max", 0.07, 0.03, 8, FIELDS, "best"),
            (
                "flux-2-flex",
                0.05,
                0.05,
                8,
                UPSAMPLING_FIELDS | {"steps": "steps", "guidance": "guidance"},
                "best",
            ),
            ("flux-2-klein-4b", 0.014, 0.001, 4, FIELDS, "draft"),
            ("flux-2-klein-9b", 0.015, 0.002, 4, FIELDS, "draft"),
        )
    ),
    _build_row(
        "flux-1.1-pro",
        0.04,
        path="flux-pro-1.1",
        max_inputs=1,
        max_pixels=1440 * 1440,
        fields=UPSAMPLING_FIELDS,
        aliases=("flux-pro-1.1",),
    ),
    _build_row(
        "flux-1.1-pro-ultra",
        0.06,
        path="flux-pro-1.1-ultra",
        quality="best",
        max_inputs=1,
        ratios=FLUX_RATIOS,
        aliases=("flux-pro-1.1-ultra",),
    ),
    _build_row(
        "flux-kontext-pro",
        0.04,
        max_inputs=4,
        ratios=FLUX_RATIOS,
        fields=UPSAMPLING_FIELDS,
        aliases=("flux-kontext",),
    ),
    _build_row(
        "flux-kontext-max",
        0.08,
        quality="best",
        max_inputs=4,
        ratios=FLUX_RATIOS,
        fields=UPSAMPLING_FIELDS,
    ),
)

PRICE_PAGES = (
    PricePage(url="https://docs.bfl.ai/quick_start/pricing", read_on=date(2026, 11, 27)),
)
