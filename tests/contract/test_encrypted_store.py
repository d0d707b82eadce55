"""The documents of an encrypted store, on each adapter; the Store suite runs over it as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pytest

from contract.conftest import StoreMaker
from contract.rows import NOON, ROWS, create_row, put_row, read_row, watch_row
from taskreel.adapters.encryption.data_keys import DataKeys
from taskreel.adapters.encryption.encrypted_store import EncryptedStore
from taskreel.ports import Collection, Query, Store, Transaction
from taskreel.ports.store import SEALED
from taskreel.store_collections import DATA_KEYS

on_each_store = pytest.mark.parametrize(
    "store_maker",
    [
        "sqlite encrypted",
        pytest.param("firestore encrypted", marks=pytest.mark.emulator),
    ],
    indirect=True,
)
MARKER = "zanzibar-lighthouse"


def as_encrypted(store: Store) -> EncryptedStore:
    assert isinstance(store, EncryptedStore)
    return store


def open_process(maker: StoreMaker, first: EncryptedStore) -> EncryptedStore:
    """Another process over the same documents: it has keys of its own in memory."""
    assert maker.key is not None
    return EncryptedStore(
        first.inner, DataKeys(first.inner, [maker.key]), {"rows": frozenset({"text"})}
    )


@on_each_store
async def test_protected_fields_are_one_encrypted_text_and_the_others_as_they_are(
    store: Store,
) -> None:
    await create_row(store, "a", {"n": 1, "owner": "ann", "text": MARKER, "value": {MARKER: NOON}})
    stored = await as_encrypted(store).inner.get(ROWS, "a")
    assert stored is not None
    assert stored.keys() == {"n", "owner", SEALED}
    assert MARKER not in str(stored)
    (key,) = await as_encrypted(store).inner.query(Query(collection=DATA_KEYS))
    assert key.value.wrapped_by.startswith("local:")


@on_each_store
async def test_changes_of_a_document_one_after_another_are_all_written(store: Store) -> None:
    await create_row(store, "a", {"n": 1, "owner": "ann", "text": MARKER})

    async def change(tx: Transaction) -> None:
        await tx.get(ROWS, "a")
        tx.update(ROWS, "a", {"n": 2})
        tx.update(ROWS, "a", {"text": "another"})
        tx.update(ROWS, "a", {"owner": "bob"})

    await store.transaction(change)
    assert await read_row(store) == {"n": 2, "owner": "bob", "text": "another"}


@on_each_store
async def test_the_same_words_are_never_encrypted_to_the_same_text(store: Store) -> None:
    for id_ in ("a", "b", "a"):
        await put_row(store, id_, {"text": MARKER})
    inner = as_encrypted(store).inner
    assert await inner.get(ROWS, "a") != await inner.get(ROWS, "b")


@on_each_store
async def test_a_document_from_before_encryption_is_read_and_then_encrypted(store: Store) -> None:
    await create_row(as_encrypted(store).inner, "a", {"text": MARKER, "n": 1})
    assert await read_row(store) == {"text": MARKER, "n": 1}

    async def change(tx: Any) -> None:
        row = await tx.get(ROWS, "a")
        assert row is not None
        tx.update(ROWS, "a", {"text": f"{MARKER} again", "n": 2})

    await store.transaction(change)
    assert await read_row(store) == {"text": f"{MARKER} again", "n": 2}
    assert MARKER not in str(await as_encrypted(store).inner.get(ROWS, "a"))


@on_each_store
async def test_another_process_reads_what_a_new_key_encrypted(
    store_maker: StoreMaker, open_store: Callable[[], Store]
) -> None:
    first = as_encrypted(open_store())
    await put_row(first, "a", {"text": "one"})
    other = open_process(store_maker, first)
    assert await read_row(other) == {"text": "one"}
    await other.keys.rotate()
    await put_row(other, "b", {"text": "two"})
    assert await read_row(first, "b") == {"text": "two"}
    rows = await first.query(Query(collection=ROWS))
    assert [row.data["text"] for row in rows] == ["one", "two"]

    async def read(tx: Any) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = await tx.get(ROWS, "b")
        return found

    assert await first.transaction(read) == {"text": "two"}


@on_each_store
async def test_a_watch_goes_on_when_a_new_key_encrypts(
    store_maker: StoreMaker, open_store: Callable[[], Store]
) -> None:
    first = as_encrypted(open_store())
    await put_row(first, "a", {"text": "one"})
    other = open_process(store_maker, first)
    async with watch_row(first) as values:
        assert await anext(values) == {"text": "one"}
        await other.keys.rotate()
        await put_row(other, "a", {"text": "two"})
        assert await anext(values) == {"text": "two"}


@on_each_store
async def test_parts_of_documents_may_be_protected_ones(store: Store) -> None:
    await create_row(store, "a", {"n": 1, "text": MARKER, "value": {"inner": 7}})
    for fields in (("n",), ("n", "text"), ("value.inner", "other")):
        (row,) = await store.query(Query(collection=ROWS, fields=fields))
        whole = {"n": 1, "text": MARKER, "value.inner": 7, "other": None}
        assert row.data == {name: whole[name] for name in fields}


@on_each_store
async def test_changes_of_many_documents_come_decrypted(store: Store) -> None:
    row = {"owner": "ann", "updatedAt": NOON, "text": MARKER}
    await create_row(store, "a", row)
    rows: Collection[Mapping[str, Any]] = ROWS
    since: datetime = NOON
    async for changes in store.watch_changes(rows, "owner", "ann", since=since):
        assert [change.data for change in changes.documents] == [row]
        break
    watched: Any = store.watch_changes(rows, "owner", "ann", since=since)
    await watched.aclose()
