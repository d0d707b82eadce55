"""Read every document of a collection by pages, whatever it contains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskreel.app.services import Services
from taskreel.ports import Collection, Query, Row, undecoded_collection


async def read_page(
    services: Services, collection: Collection[Any], after: str | None, limit: int
) -> list[Row[Mapping[str, Any]]]:
    """Read the next documents in the order of their ids, which needs no index."""
    place = (after,) if after else None
    query = Query(collection=undecoded_collection(collection.name), limit=limit, after=place)
    return await services.store.query(query)
