"""Queries of many rows: read by pages, each behind the last; and the one for what is due."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TypeVar

from taskreel.ports import Collection, Query, Row, Store

V = TypeVar("V")

#: `wakeShard` is drawn from so many numbers: it spreads the index on `wakeAt`.
WAKE_SHARDS = 8


async def read_pages(store: Store, query: Query[V]) -> AsyncIterator[list[Row[V]]]:
    """Yield the pages of an ordered query; its `limit` is the size of a page.

    Each page begins behind the last row of the one before, not at the first row that still
    matches: a document that could not be written would be on every page.
    """
    if query.limit is None:
        raise ValueError("a query that is read by pages needs a limit, the size of a page")
    while True:
        rows = await store.query(query)
        yield rows
        if len(rows) < query.limit:
            return
        query = query.behind(rows[-1])


def build_due_query(collection: Collection[V], until: datetime, *, page: int) -> Query[V]:
    """The documents whose `wakeAt` has come by `until`, in that order, `page` of them at a time."""
    return Query(
        collection=collection,
        where=(("wakeShard", "in", list(range(WAKE_SHARDS))), ("wakeAt", "<=", until)),
        order=(("wakeAt", "asc"),),
        limit=page,
    )
