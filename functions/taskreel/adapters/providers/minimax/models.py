"""MiniMax's model of clips.

Prices: MiniMax's pay-as-you-go page of 2026-10-24, as laozhang.ai's comparison quotes it.
"""

from __future__ import annotations

from datetime import date

from taskreel.adapters.providers.model_row import SHAPE_OPTIONS, ModelRow, PricePage, PriceUnit
from taskreel.adapters.providers.reserved_options import RESERVED_IN_PRICE
from taskreel.ports import Capability

#: What the clip starts from: files that are referred to are paid for apart.
RESERVED_OPTIONS = RESERVED_IN_PRICE | {"content"}

MODELS: tuple[ModelRow, ...] = (
    ModelRow(
        name="minimax-h3",
        provider="minimax",
        path="MiniMax-H3",
        capability=Capability.VIDEO,
        usd=0.13,
        unit=PriceUnit.SECOND,
        usd_by_side=((1366, 0.08),),
        quality="best",
        ratios=("21:9", "16:9", "4:3", "1:1", "3:4", "9:16"),
        durations=tuple(range(5, 16)),
        sizes=(("768P", 1366), ("2K", 2560)),
        max_inputs=2,
        computed=SHAPE_OPTIONS | {"prompt", "duration"},
        aliases=("hailuo-3", "hailuo3", "hailuo"),
    ),
)

#: As docs.laozhang.ai quotes it.
PRICE_PAGES = (
    PricePage(
        url="https://platform.minimax.io/docs/guides/pricing-paygo",
        read_on=date(2026, 10, 24),
        is_exact=False,
    ),
)
