"""Values that the SQLite store encodes at the commit: once, and without a failure."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.local.sqlite_tables import StoredDocument
from taskreel.ports import Collection, Increment, Transaction

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
Row = Mapping[str, Any]
encoded: list[Row] = []


def _encode(row: Row) -> Row:
    encoded.append(row)
    return row


def _increase(row: Row, amounts: Mapping[str, int | float]) -> Row:
    changed = {**row, **{name: row[name] + by for name, by in amounts.items()}}
    if min(changed.values()) < 0:
        raise ValueError("below 0")
    return changed


ROWS: Collection[Row] = Collection(
    "rows", _encode, dict, shareable=True, encodes_any=True, increase=_increase
)


async def put(store: SqliteStore, row: Row) -> None:
    async def write(tx: Transaction) -> None:
        tx.set(ROWS, "a", row)

    await store.transaction(write)


async def reopen(store: SqliteStore, path: Path) -> Row | None:
    """The row as the file has it."""
    await store.close()
    reader = SqliteStore(path)
    found = await reader.get(ROWS, "a")
    await reader.close()
    return found


async def test_the_last_of_several_versions_alone_is_encoded(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a.db")
    encoded.clear()
    for number in range(5):
        await put(store, {"n": number})
    await store.durable()
    assert encoded == [{"n": 4}]
    assert await reopen(store, tmp_path / "a.db") == {"n": 4}


async def test_numbers_are_increased_without_a_document(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "a.db")
    encoded.clear()
    await put(store, {"n": 1, "m": 5})

    async def increase(tx: Transaction) -> None:
        tx.update(ROWS, "a", {"n": Increment(2), "m": Increment(-1)})

    await store.transaction(increase)
    assert await store.get(ROWS, "a") == {"n": 3, "m": 4}
    await store.durable()
    assert encoded == [{"n": 3, "m": 4}]
    assert await reopen(store, tmp_path / "a.db") == {"n": 3, "m": 4}


async def test_numbers_that_become_invalid_are_stored_as_any_update_stores_them(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "a.db")
    await put(store, {"n": 1})

    async def decrease(tx: Transaction) -> None:
        tx.update(ROWS, "a", {"n": Increment(-2)})

    await store.transaction(decrease)
    assert await store.get(ROWS, "a") == {"n": -1}
    assert await reopen(store, tmp_path / "a.db") == {"n": -1}


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("a \ud83d kite", "a \ufffd kite"),
        ("\U0001f9e1", "\U0001f9e1"),
        (2**80, float(2**80)),
        ([{"\udc00": -(2**64)}], [{"\ufffd": float(-(2**64))}]),
    ],
)
async def test_what_no_store_can_have_is_stored_as_the_nearest_that_it_can(
    tmp_path: Path, written: Any, stored: Any
) -> None:
    store = SqliteStore(tmp_path / "a.db")
    await put(store, {"n": written})
    assert await reopen(store, tmp_path / "a.db") == {"n": stored}


async def test_a_value_without_any_encoding_ends_the_process(tmp_path: Path) -> None:
    ended: list[bool] = []
    store = SqliteStore(tmp_path / "a.db", end_process=lambda: ended.append(True))
    await put(store, {"n": object()})
    with pytest.raises(TypeError, match="cannot be of type object"):
        await store.durable()
    assert ended == [True]
    await store.close()


async def test_a_document_is_decoded_once_for_all_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "store.db")
    loaded: list[str] = []
    load = store.load_document

    def count(collection: str, document: StoredDocument) -> Mapping[str, Any]:
        loaded.append(collection)
        return load(collection, document)

    async with AsyncExitStack() as watches:
        begun = []
        for owner in ("ann", "ann", "bob"):
            changes: Any = store.watch_changes(ROWS, "owner", owner, since=NOON)
            begun.append(await watches.enter_async_context(aclosing(changes)))
            assert (await anext(begun[-1])).documents == []
        monkeypatch.setattr(store, "load_document", count)
        await put(store, {"owner": "ann", "updatedAt": NOON})
        assert [[row.id for row in (await anext(one)).documents] for one in begun[:2]] == [
            ["a"]
        ] * 2
        assert loaded == ["rows"]
    await store.close()
