"""One-write transactions on the collection that the Store suite uses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, cast

from taskreel.ports import Collection, Store, Transaction

#: Rows are seen as they are stored.
ROWS: Collection[Mapping[str, Any]] = Collection("rows", dict, dict)

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


async def create_row(
    store: Store,
    id_: str,
    data: Mapping[str, Any],
    collection: Collection[Mapping[str, Any]] = ROWS,
) -> None:
    async def write(tx: Transaction) -> None:
        tx.create(collection, id_, data)

    await store.transaction(write)


async def update_row(store: Store, id_: str, changes: Mapping[str, Any]) -> None:
    async def write(tx: Transaction) -> None:
        tx.update(ROWS, id_, changes)

    await store.transaction(write)


async def put_row(store: Store, id_: str, data: Mapping[str, Any]) -> None:
    async def write(tx: Transaction) -> None:
        tx.set(ROWS, id_, data)

    await store.transaction(write)


async def delete_row(store: Store, id_: str) -> None:
    async def write(tx: Transaction) -> None:
        tx.delete(ROWS, id_)

    await store.transaction(write)


async def read_row(store: Store, id_: str = "a") -> Mapping[str, Any]:
    row = await store.get(ROWS, id_)
    assert row is not None
    return row


def watch_row(store: Store, id_: str = "a") -> aclosing[AsyncGenerator[Mapping[str, Any] | None]]:
    """Watch a row for the time of a block."""
    return aclosing(cast("AsyncGenerator[Mapping[str, Any] | None]", store.watch(ROWS, id_)))
