"""fal's models of pictures, upscales and cutouts.

The fields are those of the types of @fal-ai/client 1.10.1. The prices are those of the models'
pages at fal.ai, read between 2026-04 and 2026-09.
"""

from __future__ import annotations

from taskreel.adapters.providers.fal.model_rows import FAL_FLUX_FIELDS, build_row
from taskreel.adapters.providers.model_row import (
    FLUX_FIELDS,
    FLUX_RATIOS,
    FOUR_MEGAPIXELS,
    GEMINI_RATIOS,
    GEMINI_SIZES,
    ModelRow,
    PriceUnit,
    price_sizes,
)
from taskreel.ports import Capability

OPEN_FLUX_FIELDS = FAL_FLUX_FIELDS | {"steps": "num_inference_steps", "guidance": "guidance_scale"}

PICTURES: tuple[ModelRow, ...] = (
    build_row(
        "flux-2-pro",
        "fal-ai/flux-2-pro",
        0.03,
        usd_further=0.015,
        input_path="fal-ai/flux-2-pro/edit",
        input_fields=("image_urls[]",),
        max_inputs=9,
        max_pixels=FOUR_MEGAPIXELS,
        size_multiple=16,
        fields=FLUX_FIELDS,
    ),
    build_row("flux-1.1-pro", "fal-ai/flux-pro/v1.1", 0.04, max_results=4),
    build_row(
        "flux-schnell",
        "fal-ai/flux/schnell",
        0.003,
        quality="draft",
        ranges={"steps": (1, 12), "guidance": (1, 20)},
        max_results=4,
        fields=OPEN_FLUX_FIELDS,
    ),
    build_row(
        "flux-dev",
        "fal-ai/flux/dev",
        0.025,
        max_results=4,
        fields=OPEN_FLUX_FIELDS,
        ranges={"steps": (1, 50), "guidance": (1, 20)},
    ),
    build_row(
        "flux-kontext-pro",
        "fal-ai/flux-pro/kontext",
        0.04,
        unit=PriceUnit.IMAGE,
        ratios=FLUX_RATIOS,
        max_inputs=1,
        needs_input=True,
        fields=FAL_FLUX_FIELDS | {"guidance": "guidance_scale"},
        ranges={"guidance": (1, 20)},
    ),
    *(
        build_row(
            name,
            path,
            prices[0],
            unit=PriceUnit.IMAGE,
            usd_by_side=price_sizes(GEMINI_SIZES, prices),
            quality=quality,
            input_path=f"{path}/edit",
            input_fields=("image_urls[]",),
            max_inputs=14,
            max_results=4,
            ratios=GEMINI_RATIOS,
            sizes=GEMINI_SIZES,
            formats=("png", "jpeg", "webp"),
        )
        for name, path, prices, quality in (
            ("nano-banana-2", "fal-ai/nano-banana-2", (0.08, 0.12, 0.16), "standard"),
            ("nano-banana-pro", "fal-ai/nano-banana-pro", (0.15, 0.15, 0.30), "best"),
        )
    ),
    build_row(
        "esrgan",
        "fal-ai/esrgan",
        0.003,
        capability=Capability.UPSCALE,
        unit=PriceUnit.RUN,
        scales=tuple(range(1, 9)),
        max_inputs=1,
        needs_input=True,
        fields={"scale": "scale", "faceEnhance": "face"},
        computed=frozenset(),
        aliases=("real-esrgan",),
    ),
    build_row(
        "seedvr2",
        "fal-ai/seedvr/upscale/image",
        0.001,
        capability=Capability.UPSCALE,
        quality="best",
        ranges={"scale": (1, 10)},
        max_inputs=1,
        needs_input=True,
        fields={"scale": "upscale_factor", "seed": "seed"},
        computed=frozenset({"outputFormat"}),
        formats=("png", "jpeg", "webp"),
        constants={"upscale_mode": "factor"},
    ),
    build_row(
        "clarity-upscaler",
        "fal-ai/clarity-upscaler",
        0.03,
        capability=Capability.UPSCALE,
        ranges={"scale": (1, 4)},
        max_inputs=1,
        needs_input=True,
        fields={
            "scale": "upscale_factor",
            "seed": "seed",
            "prompt": "prompt",
            "creativity": "creativity",
        },
        computed=frozenset(),
    ),
)

#: Schemas and prices by the models' pages, read 2026-11. They write PNG alone.
CUTOUTS: tuple[ModelRow, ...] = tuple(
    build_row(
        name,
        path,
        usd,
        capability=Capability.CUTOUT,
        unit=unit,
        quality=quality,
        max_inputs=1,
        needs_input=True,
        fields={"seed": "seed"},
        computed=frozenset(),
        formats=("png",),
    )
    for name, path, usd, unit, quality in (
        ("feynobg", "fal-ai/feynobg", 0.001, PriceUnit.RUN, "standard"),
        ("ben-v2", "fal-ai/ben/v2/image", 0.025, PriceUnit.MEGAPIXEL, "best"),
    )
)
