"""Luma's models.

Prices of pictures: docs.agents.lumalabs.ai/guides/pricing. Luma prices a clip by its size and
length in a table that was not at hand: Ray serves only where it is named.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import (
    RAY_SIZES,
    SHAPE_OPTIONS,
    ModelRow,
    PricePage,
    PriceUnit,
    SecondsForm,
)
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

PICTURE_RATIOS = ("3:1", "2:1", "16:9", "3:2", "1:1", "2:3", "9:16", "1:2", "1:3")
CLIP_RATIOS = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")
#: Search of the web, layers and their sizes, and the clip's settings cost more. The input files are
#: those that were checked.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {
    *("type", "web_search", "layering", "video", "hdr"),
    *("source", "image_ref", "start_frame", "end_frame", "keyframes", "keyframe_indexes"),
}


def _build_picture(name: str, usd: float, **more: Any) -> ModelRow:
    return ModelRow(
        name=name,
        provider="luma",
        path=name,
        capability=Capability.IMAGE,
        usd=usd,
        unit=PriceUnit.IMAGE,
        ratios=PICTURE_RATIOS,
        max_inputs=9,
        formats=("png", "jpeg"),
        fields={"prompt": "prompt", "outputFormat": "output_format"},
        computed=SHAPE_OPTIONS,
        **more,
    )


#: The first of a capability is its default.
MODELS: tuple[ModelRow, ...] = (
    _build_picture("uni-1", 0.0404, aliases=("luma-uni-1", "luma")),
    _build_picture("uni-1-max", 0.10, quality="best", aliases=("luma-uni-1-max",)),
    ModelRow(
        name="ray-3.2",
        provider="luma",
        path="ray-3.2",
        capability=Capability.VIDEO,
        usd=None,
        unit=PriceUnit.SECOND,
        quality="best",
        ratios=CLIP_RATIOS,
        durations=(5, 10),
        seconds_form=SecondsForm.TEXT_S,
        sizes=RAY_SIZES,
        max_inputs=2,
        fields={"prompt": "prompt"},
        computed=SHAPE_OPTIONS | {"duration"},
        aliases=("luma-ray", "luma-ray-3.2", "ray"),
    ),
    # The source has at most 18 seconds, and the result as many.
    ModelRow(
        name="ray-3.2-edit",
        provider="luma",
        path="ray-3.2",
        capability=Capability.VIDEO_EDIT,
        usd=None,
        unit=PriceUnit.SECOND,
        quality="best",
        sizes=RAY_SIZES,
        max_inputs=1,
        needs_input=True,
        fields={"prompt": "prompt"},
        computed=frozenset({"width", "height", "resolution"}),
        aliases=("ray-3.2", "luma-ray", "luma-ray-3.2", "ray"),
    ),
)

PRICE_PAGES = (
    PricePage(url="https://docs.agents.lumalabs.ai/guides/pricing", read_on=date(2026, 11, 27)),
)
