"""Watching one document, or all with one value of a field, in the SQLite store.

The process owns the file, so every change passes by here: a transaction hands its writes to the
watches that match, and a query is needed only once for what was there before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from taskreel.adapters.local.sqlite_tables import Key, StoredDocument
from taskreel.domain.errors import StoreError
from taskreel.ports import Changes, Collection, Row

V = TypeVar("V")


class WatchedStore(Protocol):
    """The parts of the SQLite store that watches use."""

    def find_document(self, key: Key) -> StoredDocument | None:
        """The document as the last transaction wrote it, deleted perhaps; None if there is none."""

    def read_value(
        self, collection: Collection[V], id_: str, document: StoredDocument | None
    ) -> V | None:
        """The value of a document."""

    def next_version(self) -> int:
        """A number that is greater than those of all writes so far."""

    def load_document(self, collection: str, document: StoredDocument) -> Mapping[str, Any]:
        """The data of a document of a collection."""

    def read_changed_rows(
        self,
        collection: Collection[Any],
        field: str,
        value: str,
        since: datetime,
        after_version: int,
    ) -> list[Row[Any]]:
        """Read the documents with a value that were written after a version, in their order."""


class _Watch:
    """The documents of `collection` with `field == value`, reported up to `position`."""

    def __init__(self, collection: Collection[Any], field: str, value: str) -> None:
        self.collection = collection
        self.field = field
        self.value = value
        self.position = 0
        self.pending: list[Row[Any]] = []
        self.woken = asyncio.Event()

    def add(self, changes: list[Row[Any]]) -> None:
        """Report documents that were written after all earlier ones."""
        for change in changes:
            self.position = max(self.position, change.commit_number)
        self.pending += changes


class StoreWatches:
    """All watches of one store."""

    def __init__(self, store: WatchedStore) -> None:
        self._store = store
        #: The signs of a change that the watches of one document wait for.
        self._signs: dict[Key, set[asyncio.Event]] = {}
        self._watches: set[_Watch] = set()
        self._is_closed = False

    async def watch_document(self, collection: Collection[V], id_: str) -> AsyncIterator[V | None]:
        """Yield the value now and after each change."""
        key = (collection.name, id_)
        changed = asyncio.Event()
        self._signs.setdefault(key, set()).add(changed)
        seen: int | None = -1
        try:
            while True:
                self._require_open()
                changed.clear()
                document = self._store.find_document(key)
                version = None if document is None or document.is_deleted else document.version
                if version != seen:
                    seen = version
                    yield self._store.read_value(collection, id_, document)
                else:
                    await changed.wait()
        finally:
            self._signs[key].discard(changed)
            if not self._signs[key]:
                del self._signs[key]

    async def watch_changes(
        self, collection: Collection[Any], field: str, value: str, since: datetime
    ) -> AsyncIterator[Changes[Any]]:
        """Yield what matches now, then what is written."""
        watch = _Watch(collection, field, value)
        watch.add(self._store.read_changed_rows(collection, field, value, since, 0))
        watch.position = max(watch.position, self._store.next_version())
        self._watches.add(watch)
        is_first = True
        try:
            while True:
                self._require_open()
                if watch.pending or is_first:
                    is_first = False
                    documents, watch.pending = watch.pending, []
                    yield Changes(documents, watch.position)
                    continue
                watch.woken.clear()
                await watch.woken.wait()
        finally:
            self._watches.discard(watch)

    def close(self) -> None:
        """End every watch with a StoreError."""
        self._is_closed = True
        for watch in self._watches:
            watch.woken.set()
        for signs in self._signs.values():
            for sign in signs:
                sign.set()

    def _require_open(self) -> None:
        if self._is_closed:
            raise StoreError("The SQLite store was closed, which ends its watches.")

    def report(self, written: Mapping[Key, StoredDocument]) -> None:
        """Give the writes of a transaction to the watches that match.

        A document is decoded once, however many watches there are.
        """
        for key in self._signs.keys() & written.keys():
            for sign in self._signs[key]:
                sign.set()
        if not self._watches:
            return
        names = {watch.collection.name for watch in self._watches}
        changed = [
            (collection, id_, self._store.load_document(collection, document), document.version)
            for (collection, id_), document in written.items()
            if collection in names and not document.is_deleted
        ]
        for watch in self._watches:
            matching = [
                Row(watch.collection, id_, data, version)
                for collection, id_, data, version in changed
                if collection == watch.collection.name and data.get(watch.field) == watch.value
            ]
            if matching:
                watch.add(sorted(matching, key=lambda one: one.commit_number))
                watch.woken.set()
