"""Count the traces of a person before an erasure, and refuse one of a user whom nothing names."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from taskreel.app.credits.grants import check_user_id
from taskreel.app.erasure.all_documents import read_page
from taskreel.app.erasure.traces import Traces
from taskreel.app.services import Services
from taskreel.domain.artifact import artifacts_folder
from taskreel.domain.erasure import running_erasure_id
from taskreel.domain.errors import NotFoundError
from taskreel.domain.upload import find_upload_folder
from taskreel.ports import Collection, Row, undecoded_collection
from taskreel.store_collections import (
    ACCOUNTS,
    ERASURES,
    JOBS,
    STORED,
    UPLOADS,
)

_PAGE = 100


@dataclass(frozen=True)
class Forecast:
    """Numbers by collection, as an erasure counts them; `files` are those of the bucket."""

    removed: Counter[str] = field(default_factory=Counter)
    pseudonymised: Counter[str] = field(default_factory=Counter)


async def forecast_erasure(services: Services, user_id: str) -> Forecast:
    """Count what an erasure would remove, and what would go on under a pseudonym.

    Costs a read a document, for no index finds a person in most collections, and one listing of
    the bucket. Raises NotFoundError if there is nothing and no erasure is under way.
    """
    check_user_id(user_id)
    traces, forecast = Traces(user_id, ""), Forecast()
    folders: set[str] = set()
    async for collection, row in _find_named(services, traces):
        if traces.owns(row):
            forecast.removed[collection.name] += 1
            if collection.name == JOBS.name:
                folders.add(artifacts_folder(row.id))
            elif collection.name == UPLOADS.name:
                folders.add(find_upload_folder(str(row.data["path"])))
        else:
            forecast.pseudonymised[collection.name] += 1
    if folders:
        async for path in services.blobs.list_paths(""):
            if _is_inside(path, folders):
                forecast.removed["files"] += 1
    if not forecast.removed and not forecast.pseudonymised:
        running = await services.store.get(ERASURES, running_erasure_id(user_id))
        if running is None:
            raise _no_such_user(user_id)
    return forecast


async def require_named(services: Services, user_id: str) -> None:
    """Raise NotFoundError if nothing names the user: a proof for a mistyped id proves nothing."""
    if await services.store.get(undecoded_collection(ACCOUNTS.name), user_id) is not None:
        return
    async for _ in _find_named(services, Traces(user_id, "")):
        return
    raise _no_such_user(user_id)


async def _find_named(
    services: Services, traces: Traces
) -> AsyncIterator[tuple[Collection[Any], Row[Any]]]:
    """Every document that is the person's or names them, but not the erasure under way."""
    for collection in STORED:
        after: str | None = None
        while True:
            rows = await read_page(services, collection, after, _PAGE)
            for row in rows:
                is_erasure = row.id == running_erasure_id(traces.user_id)
                if not is_erasure and (traces.owns(row) or traces.are_in(row)):
                    yield collection, row
            if len(rows) < _PAGE:
                break
            after = rows[-1].id


def _is_inside(path: str, folders: set[str]) -> bool:
    ends = (place + 1 for place, letter in enumerate(path) if letter == "/")
    return any(path[:end] in folders for end in ends)


def _no_such_user(user_id: str) -> NotFoundError:
    return NotFoundError(
        f"No stored document names a user {user_id}, so there is nothing to erase: check the id, "
        "letter by letter. The audit log (text=erasure) has the erasures that have ended."
    )
