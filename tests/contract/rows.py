"""One-write transactions on the collection that the Store suite uses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, cast

from taskreel.ports import Document, Store, Transaction

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


async def create_row(
    store: Store, id_: str, data: Mapping[str, Any], collection: str = "rows"
) -> None:
    async def write(tx: Transaction) -> None:
        tx.create(collection, id_, data)

    await store.transaction(write)


async def update_row(store: Store, id_: str, changes: Mapping[str, Any]) -> None:
    async def write(tx: Transaction) -> None:
        tx.update("rows", id_, changes)

    await store.transaction(write)


async def put_row(store: Store, id_: str, data: Mapping[str, Any]) -> None:
    async def write(tx: Transaction) -> None:
        tx.set("rows", id_, data)

    await store.transaction(write)


async def delete_row(store: Store, id_: str) -> None:
    async def write(tx: Transaction) -> None:
        tx.delete("rows", id_)

    await store.transaction(write)


async def read_row(store: Store, id_: str = "a") -> dict[str, Any]:
    document = await store.get("rows", id_)
    assert document is not None
    return document.data


async def read_version(store: Store, id_: str = "a") -> str:
    document = await store.get("rows", id_)
    assert document is not None
    return document.version


def watch_row(store: Store, id_: str = "a") -> aclosing[AsyncGenerator[Document | None]]:
    """Watch a row for the time of a block."""
    return aclosing(cast("AsyncGenerator[Document | None]", store.watch("rows", id_)))
