"""Queries of many rows: by pages, without odd documents; and the query for what is due."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar

from taskreel.domain.errors import UnreadableDocumentError
from taskreel.ports import MOST_IN, Collection, Query, Row, Store

log = logging.getLogger(__name__)

V = TypeVar("V")

#: `wakeShard` is drawn from so many numbers at least: it spreads the index on `wakeAt`.
WAKE_SHARDS = 8
#: The most numbers: a query asks for all of them by one `in`.
MOST_WAKE_SHARDS = MOST_IN
#: Later than every time that is stored.
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


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


async def read_page_by_id(
    store: Store, collection: Collection[V], *, limit: int, after: str | None, prefix: str = ""
) -> tuple[list[V], str | None]:
    """A page of values by their ids, and the id behind which the next page begins.

    It ends where ids do not begin with `prefix`. No index is needed: documents are ordered by id.
    """
    query = Query(collection=collection, limit=limit + 1, after=(after,) if after else None)
    rows = [row for row in await store.query(query) if row.id.startswith(prefix)]
    return list(read_values(rows[:limit])), rows[limit - 1].id if len(rows) > limit else None


def read_value(row: Row[V]) -> V | None:
    """The row's value; None, and a line in the log, for one that cannot be read."""
    try:
        return row.value
    except UnreadableDocumentError:
        log.exception(
            "a stored document cannot be read and is passed over",
            extra={
                "action": "document_unreadable",
                "collection": row.collection.name,
                "document_id": row.id,
            },
        )
        return None


def read_values(rows: Iterable[Row[V]]) -> Iterator[V]:
    """Yield the rows' values, without those that cannot be read: one stops no list."""
    for row in rows:
        value = read_value(row)
        if value is not None:
            yield value


def build_due_query(
    collection: Collection[V], until: datetime, *, page: int, shards: int
) -> Query[V]:
    """The documents whose `wakeAt` has come by `until`, in that order, `page` of them at a time.

    `shards` is the number of the deployment, from which `wakeShard` is drawn. A document of before
    it was raised has one of the smaller numbers, and is found too.
    """
    return Query(
        collection=collection,
        where=(("wakeShard", "in", list(range(shards))), ("wakeAt", "<=", until)),
        order=(("wakeAt", "asc"),),
        limit=page,
    )
