"""Models at Replicate; it runs any other by `owner/name` too."""

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

REAL_ESRGAN = (
    "nightmareai/real-esrgan:f121d640bd286e1fdc67f9799164c1d5be36ff74576ee11c803ae5b665dd46aa"
)
OPEN_FLUX_FIELDS = FLUX_FIELDS | {"numImages": "num_outputs", "steps": "num_inference_steps"}


def _build_row(
    name: str, path: str, usd: float, *, capability: Capability = Capability.IMAGE, **more: Any
) -> ModelRow:
    more = {"unit": PriceUnit.IMAGE, "fields": FLUX_FIELDS, "computed": SHAPE_OPTIONS, **more}
    return ModelRow(
        name=name, provider="replicate", path=path, capability=capability, usd=usd, **more
    )


#: The hardware sets the price.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {"input", "hardware", "deployment"}

#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_row(
        "flux-1.1-pro", "black-forest-labs/flux-1.1-pro", 0.04, ratios=FLUX_RATIOS, max_inputs=1
    ),
    _build_row(
        "flux-schnell",
        "black-forest-labs/flux-schnell",
        0.003,
        quality="draft",
        ranges={"steps": (1, 4)},
        ratios=FLUX_RATIOS,
        max_results=4,
        fields=OPEN_FLUX_FIELDS,
    ),
    _build_row(
        "flux-dev",
        "black-forest-labs/flux-dev",
        0.025,
        ratios=FLUX_RATIOS,
        max_inputs=1,
        max_results=4,
        fields=OPEN_FLUX_FIELDS | {"guidance": "guidance"},
        ranges={"steps": (1, 50), "guidance": (0, 10)},
    ),
    _build_row(
        "flux-kontext-pro",
        "black-forest-labs/flux-kontext-pro",
        0.04,
        ratios=FLUX_RATIOS,
        max_inputs=1,
    ),
    _build_row(
        "real-esrgan",
        REAL_ESRGAN,
        0.0017,
        capability=Capability.UPSCALE,
        unit=PriceUnit.RUN,
        scales=tuple(range(1, 11)),
        max_inputs=1,
        needs_input=True,
        fields={"scale": "scale", "faceEnhance": "face_enhance"},
        computed=frozenset(),
        aliases=("realesrgan", "real-esrgan-x4", "esrgan", "nightmareai/real-esrgan"),
    ),
)
