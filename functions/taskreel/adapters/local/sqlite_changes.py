"""Watching the documents with one value of a field in the SQLite store.

A commit of this process is handed to the watches that match it, without a query. Commits of other
processes on the same file are only seen as a changed number (`PRAGMA data_version`): each watch
then reads the rows that are newer than the last one it has reported.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from taskreel.adapters.local.sqlite_tables import StoredRow
from taskreel.domain.errors import StoreError
from taskreel.ports import COMMIT_DELAY, Changes, Collection, Row

#: The longest time after which a commit of another process is seen.
_POLL_SECONDS = 0.02


class WatchedFile(Protocol):
    """The parts of the SQLite store that watches use."""

    def hold_write_lock(self) -> AbstractContextManager[Any]:
        """Keep every process from committing."""

    def read_foreign_marker(self) -> int:
        """A number that differs after a commit of another process."""

    def read_row(self, collection: str, id_: str) -> StoredRow | None:
        """Read one document."""

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

    def __init__(
        self, collection: Collection[Any], field: str, value: str, since: datetime
    ) -> None:
        self.collection = collection
        self.field = field
        self.value = value
        self.since = since
        self.position = 0
        self.pending: list[Row[Any]] = []
        #: True when another process has committed: only a query tells what.
        self.is_stale = True
        self.woken = asyncio.Event()

    def add(self, documents: list[Row[Any]]) -> None:
        """Report documents that were committed after all earlier ones."""
        for document in documents:
            self.position = max(self.position, document.commit_number)
            updated_at = document.data.get("updatedAt")
            if isinstance(updated_at, datetime):
                # Later queries begin here: a user's older jobs are not read again and again.
                self.since = max(self.since, updated_at - COMMIT_DELAY)
        self.pending += documents


class ChangeWatches:
    """All watches of one store. They cost nothing while there is none."""

    def __init__(self, store: WatchedFile) -> None:
        self._store = store
        self._watches: set[_Watch] = set()
        self._noted: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._foreign_marker = 0
        self._poller: asyncio.Task[None] | None = None
        self._is_closed = False

    async def watch(
        self, collection: Collection[Any], field: str, value: str, since: datetime
    ) -> AsyncIterator[Changes[Any]]:
        """Yield what matches now, then what is committed."""
        watch = _Watch(collection, field, value, since)
        self._start(watch)
        try:
            self._read_first(watch)
            is_first = True
            while True:
                if self._is_closed:
                    raise StoreError("The SQLite store was closed, which ends its watches.")
                if watch.is_stale:
                    self._read_newer(watch)
                if watch.pending or is_first:
                    is_first = False
                    documents, watch.pending = watch.pending, []
                    yield Changes(documents, watch.position)
                    continue
                watch.woken.clear()
                await watch.woken.wait()
        finally:
            self._stop(watch)

    def close(self) -> None:
        """End every watch with a StoreError."""
        self._is_closed = True
        for watch in self._watches:
            watch.woken.set()
        if self._poller is not None:
            self._poller.cancel()
            self._poller = None

    def find_foreign_commits(self) -> None:
        """Mark the watches stale if another process has committed; the write lock is held.

        What is committed next comes after it, so a watch must not be given that alone.
        """
        if not self._watches:
            return
        marker = self._store.read_foreign_marker()
        if marker == self._foreign_marker:
            return
        self._foreign_marker = marker
        for watch in self._watches:
            watch.is_stale = True
            watch.woken.set()

    def note_writes(self, written: Mapping[tuple[str, str], Mapping[str, Any] | None]) -> None:
        """Note the writes of one transaction, which are committed with others later."""
        if self._watches:
            self._noted.update(
                {key: data for key, data in written.items() if data is not None},
            )

    def report_commit(self) -> None:
        """Give the noted writes to the watches that match; they were committed, or never will be.

        The rows are read again: they have the versions, and after a failed commit the old state.
        """
        noted, self._noted = self._noted, {}
        if not noted:
            return
        for watch in self._watches:
            matching = [
                id_
                for (collection, id_), data in noted.items()
                if collection == watch.collection.name and data.get(watch.field) == watch.value
            ]
            if not matching:
                continue
            if not watch.is_stale:
                watch.add(self._read_rows(watch, matching))
            watch.woken.set()

    def _read_rows(self, watch: _Watch, ids: list[str]) -> list[Row[Any]]:
        rows = [(id_, self._store.read_row(watch.collection.name, id_)) for id_ in ids]
        documents = [
            Row(watch.collection, id_, row.data, row.version)
            for id_, row in rows
            if row is not None and row.version > watch.position
        ]
        return sorted(documents, key=lambda one: (one.commit_number, one.id))

    def _read_first(self, watch: _Watch) -> None:
        """Read what matches now, at a moment at which no process is about to commit."""
        with self._store.hold_write_lock():
            self._read_newer(watch)
            watch.position = max(watch.position, time.time_ns())

    def _read_newer(self, watch: _Watch) -> None:
        watch.is_stale = False
        watch.add(
            self._store.read_changed_rows(
                watch.collection, watch.field, watch.value, watch.since, watch.position
            )
        )

    def _start(self, watch: _Watch) -> None:
        if not self._watches:
            self._foreign_marker = self._store.read_foreign_marker()
            self._poller = asyncio.create_task(self._poll())
        self._watches.add(watch)

    def _stop(self, watch: _Watch) -> None:
        self._watches.discard(watch)
        if not self._watches and self._poller is not None:
            self._poller.cancel()
            self._poller = None

    async def _poll(self) -> None:
        while True:
            self.find_foreign_commits()
            await asyncio.sleep(_POLL_SECONDS)
