"""The pages that the prices of the model table come from, and the days on which they were read.

A page that was read over half a year ago is said to an operator, who compares the prices with it
and corrects the rows and the day here. A price that is another's quotation of the page, or that is
computed from tokens, is not exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from taskreel.adapters.providers.model_row import ModelRow
from taskreel.ports import Capability

#: Prices change within a year; a page is to be read again after this time.
READ_AGAIN_AFTER = timedelta(days=180)


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePage:
    """A page with the prices of some of a provider's models."""

    provider: str
    url: str
    #: The first day on which one of its prices here may have been read.
    read_on: date
    #: False: the figures are others' quotation of the page, or computed from its tokens.
    is_exact: bool = True
    #: The models and capabilities that it prices; without either all that no earlier page does.
    models: frozenset[str] = frozenset()
    capabilities: frozenset[Capability] = frozenset()

    def prices(self, row: ModelRow) -> bool:
        """True for a row whose price is from this page."""
        if row.provider != self.provider:
            return False
        if self.models or self.capabilities:
            return row.name in self.models or row.capability in self.capabilities
        return True


_STARTED = date(2026, 11, 1)

PAGES: Sequence[PricePage] = (
    PricePage(
        provider="bfl", url="https://docs.bfl.ai/quick_start/pricing", read_on=date(2026, 11, 27)
    ),
    PricePage(
        provider="runway", url="https://docs.dev.runwayml.com/guides/pricing", read_on=_STARTED
    ),
    PricePage(
        provider="stability",
        url="https://stability.ai/api-pricing-update-25",
        read_on=date(2026, 11, 27),
        capabilities=frozenset({Capability.UPSCALE, Capability.CUTOUT}),
    ),
    PricePage(provider="stability", url="https://platform.stability.ai/pricing", read_on=_STARTED),
    # A picture's price is computed from the tokens that its quality usually takes.
    PricePage(
        provider="openai",
        url="https://platform.openai.com/docs/pricing",
        read_on=_STARTED,
        is_exact=False,
        capabilities=frozenset({Capability.IMAGE}),
    ),
    PricePage(provider="openai", url="https://platform.openai.com/docs/pricing", read_on=_STARTED),
    PricePage(
        provider="google",
        url="https://ai.google.dev/gemini-api/docs/pricing",
        read_on=date(2026, 4, 1),
        capabilities=frozenset({Capability.IMAGE}),
    ),
    PricePage(
        provider="google", url="https://ai.google.dev/gemini-api/docs/pricing", read_on=_STARTED
    ),
    # The price of a character depends on the account's plan; the others are quotations.
    PricePage(
        provider="elevenlabs",
        url="https://elevenlabs.io/pricing/api",
        read_on=date(2026, 6, 1),
        is_exact=False,
    ),
    PricePage(provider="replicate", url="https://replicate.com/pricing", read_on=date(2025, 11, 1)),
    PricePage(
        provider="fal",
        url="https://fal.ai/pricing",
        read_on=_STARTED,
        capabilities=frozenset({Capability.CUTOUT}),
    ),
    PricePage(provider="fal", url="https://fal.ai/pricing", read_on=date(2026, 4, 1)),
    PricePage(
        provider="luma",
        url="https://docs.agents.lumalabs.ai/guides/pricing",
        read_on=date(2026, 11, 27),
    ),
    # As docs.laozhang.ai quotes it.
    PricePage(
        provider="minimax",
        url="https://platform.minimax.io/docs/guides/pricing-paygo",
        read_on=date(2026, 10, 24),
        is_exact=False,
    ),
    # As tensorfeed.ai and llm-gateway-bench quote it.
    PricePage(
        provider="openrouter", url="https://openrouter.ai/models", read_on=_STARTED, is_exact=False
    ),
    PricePage(
        provider="xai", url="https://docs.x.ai/developers/models", read_on=date(2026, 11, 27)
    ),
)


def find_price_page(row: ModelRow) -> PricePage | None:
    """The page that a row's price comes from; None for a row without a price."""
    if row.usd is None:
        return None
    return next((page for page in PAGES if page.prices(row)), None)


def list_old_pages(rows: Iterable[ModelRow], on: date) -> list[str]:
    """A sentence for each page of these rows that is to be read again."""
    pages = dict.fromkeys(page for row in rows if (page := find_price_page(row)))
    return [
        f"prices of {page.provider} were read on {page.read_on}; compare them with {page.url}"
        for page in pages
        if on - page.read_on > READ_AGAIN_AFTER
    ]
