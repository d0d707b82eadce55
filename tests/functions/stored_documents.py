"""Documents of a store as data in a file: written by one release, read by the next."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from simulation.world import World
from taskreel.ports import Collection, Query, Transaction

#: The documents by collection and id.
Documents = dict[str, dict[str, dict[str, Any]]]

COLLECTIONS = ("jobs", "accounts", "ledger")
_TIME = "$time"


async def read_documents(world: World, collections: Iterable[str] = COLLECTIONS) -> Documents:
    """Every document of these collections of the world's store."""
    return {
        collection: {
            row.id: dict(row.data)
            for row in await world.services.store.query(Query(collection=_as_stored(collection)))
        }
        for collection in collections
    }


async def store_documents(world: World, documents: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the documents as they are, past every model and rule."""

    async def write(tx: Transaction) -> None:
        for collection, rows in documents.items():
            for id_, data in rows.items():
                tx.set(_as_stored(collection), id_, data)

    await world.services.store.transaction(write)


def save_documents(documents: Documents, path: Path) -> None:
    """Write the documents into a JSON file."""
    text = json.dumps(documents, indent=1, sort_keys=True, default=_encode_time)
    path.write_text(text + "\n", encoding="utf-8")


def load_documents(path: Path) -> Documents:
    """Read the documents of a JSON file."""
    found: Documents = json.loads(path.read_text(encoding="utf-8"), object_hook=_decode_time)
    return found


def _as_stored(collection: str) -> Collection[Mapping[str, Any]]:
    return Collection(collection, dict, dict)


def _encode_time(value: Any) -> dict[str, str]:
    assert isinstance(value, datetime)
    return {_TIME: value.isoformat()}


def _decode_time(value: dict[str, Any]) -> Any:
    return datetime.fromisoformat(value[_TIME]) if value.keys() == {_TIME} else value
