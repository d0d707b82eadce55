"""Models at fal; it runs any other by its endpoint too."""

from __future__ import annotations

from typing import Any

from taskreel.adapters.providers.model_row import (
    FLUX_FIELDS,
    FLUX_RATIOS,
    SHAPE_OPTIONS,
    ModelRow,
    PriceUnit,
)
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

FAL_FLUX_FIELDS = FLUX_FIELDS | {"numImages": "num_images"}
OPEN_FLUX_FIELDS = FAL_FLUX_FIELDS | {"steps": "num_inference_steps", "guidance": "guidance_scale"}


def _build_row(
    name: str, path: str, usd: float, *, capability: Capability = Capability.IMAGE, **more: Any
) -> ModelRow:
    more = {
        "unit": PriceUnit.MEGAPIXEL,
        "fields": FAL_FLUX_FIELDS,
        "computed": SHAPE_OPTIONS,
        "formats": ("png", "jpeg") if capability is Capability.IMAGE else (),
        **more,
    }
    return ModelRow(name=name, provider="fal", path=path, capability=capability, usd=usd, **more)


#: The address of its webhook.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {"fal_webhook"}

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_row("flux-1.1-pro", "fal-ai/flux-pro/v1.1", 0.04, max_results=4),
    _build_row(
        "flux-schnell",
        "fal-ai/flux/schnell",
        0.003,
        quality="draft",
        ranges={"steps": (1, 12), "guidance": (1, 20)},
        max_results=4,
        fields=OPEN_FLUX_FIELDS,
    ),
    _build_row(
        "flux-dev",
        "fal-ai/flux/dev",
        0.025,
        max_results=4,
        fields=OPEN_FLUX_FIELDS,
        ranges={"steps": (1, 50), "guidance": (1, 20)},
    ),
    _build_row(
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
    _build_row(
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
)
