"""The pages that the prices of the model table come from, and which of them are to be read again.

Each provider's `models.py` has its `PRICE_PAGES`. A page that was read over half a year ago is said
to an operator, who compares the prices with it and corrects the rows and the day.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from taskreel.adapters.providers import load_price_pages
from taskreel.adapters.providers.model_row import ModelRow, PricePage

#: Prices change within a year; a page is to be read again after this time.
READ_AGAIN_AFTER = timedelta(days=180)


def find_price_page(row: ModelRow) -> PricePage | None:
    """The page that a row's price comes from; None for a row without a price."""
    if row.usd is None:
        return None
    pages = load_price_pages(row.provider)
    return next(
        (page for page in pages if not page.capabilities or row.capability in page.capabilities),
        None,
    )


def list_old_pages(rows: Iterable[ModelRow], on: date) -> list[str]:
    """A sentence for each page of these rows that is to be read again."""
    pages = {page: row.provider for row in rows if (page := find_price_page(row))}
    return [
        f"prices of {provider} were read on {page.read_on}; compare them with {page.url}"
        for page, provider in pages.items()
        if on - page.read_on > READ_AGAIN_AFTER
    ]
