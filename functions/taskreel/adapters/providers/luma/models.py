"""Luma's models.

Prices of pictures: docs.agents.lumalabs.ai/guides/pricing. Of clips: PRICE_PAGES.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from taskreel.adapters.providers.model_row import (
    RAY_BLOCK_SECONDS,
    RAY_SIZES,
    SHAPE_OPTIONS,
    ModelRow,
    PricePage,
    PriceUnit,
    SecondsForm,
    price_sizes,
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
        # Of 720p; ten seconds cost three times as much as five.
        usd=0.06,
        unit=PriceUnit.SECOND,
        usd_by_side=price_sizes(RAY_SIZES, (0.03, 0.06, 0.24)),
        usd_by_seconds={5: 0.30, 10: 0.90},
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
        usd=0.216,
        unit=PriceUnit.SECOND,
        usd_by_side=price_sizes(RAY_SIZES, (0.144, 0.216, 0.432)),
        block_seconds=RAY_BLOCK_SECONDS,
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
    # As public clients of Luma and of Replicate, which sells it at Luma's price, quote it.
    PricePage(
        url="https://docs.agents.lumalabs.ai/guides/pricing",
        read_on=date(2026, 9, 25),
        is_exact=False,
        capabilities=frozenset({Capability.VIDEO}),
    ),
    # fal's price, which a client of Luma's own API counts too.
    PricePage(
        url="https://fal.ai/models/luma/agent/ray/v3.2/video-to-video",
        read_on=date(2026, 11, 27),
        is_exact=False,
        capabilities=frozenset({Capability.VIDEO_EDIT}),
    ),
    PricePage(url="https://docs.agents.lumalabs.ai/guides/pricing", read_on=date(2026, 11, 27)),
)
