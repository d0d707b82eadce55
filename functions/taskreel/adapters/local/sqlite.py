"""The store of one process in one SQLite file: values in memory, one commit for many transactions.

**One owner.** The process that opens the file locks it until it closes it, so no other changes
what is stored: a value that was read or written here may be answered from memory for as long as
there is room. A second process is refused.

**A transaction runs at once.** Its function awaits nothing but its own reads, and reads wait for
nothing, so its coroutine is run to its end in one step of the event loop. Nothing can change
between what it reads and what it writes: there are no conflicts, and no lock. Its writes are
encoded while it runs, and a value that cannot be stored fails its own transaction and no other;
values that can always be stored (`Collection.encodes_any`) are encoded by the commit. Only when the
function has returned are all of its writes put into memory, so it is all or nothing.

**One commit for many.** What was written is `_dirty` until it is committed: when the event loop has
found nothing else to do for some turns, and at the latest 20 ms, or a few turns that take longer,
after the first write. A commit takes everything that is dirty, in one SQLite transaction, each
document once however often it was changed. Transactions are thus committed in the order in which
they ran, and never one without an earlier one: the file always holds a state in which the memory
once was.

**Nothing leaves before it is safe.** After a crash the file holds all transactions up to some
moment, and what came later never happened. That is sound only if no one outside has heard of the
later ones: `durable()` is awaited before a response is sent, before a provider is asked for paid
work and before a task is given to an outside queue (`adapters.external_synchrony`, for all callers
at one place). In between nothing waits for the disk: the next step of a job may build on a write
that is not committed, for if the write is lost then so is the step. Queries read the file, so they
commit first.

**A commit that fails ends the process.** Memory would be ahead of a file that refuses, and everyone
who waits for `durable()` would wait for ever. The supervisor starts another process, which begins
with what the file has.

**What a commit survives.** By default (`synchronous=NORMAL`) the death of the process at any
point; a power failure may lose the commits since the last checkpoint (`sqlite_checkpoint`: some
seconds), never the file. With `durable` (STORE_URL with `?durable=1`, `synchronous=FULL`) each
commit waits for the disk and survives that too.

SQLite runs on the event loop's own thread on purpose: a statement takes microseconds, handing it to
another thread and back a hundred. Checkpoints alone, which wait for the disk, have a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from taskreel.adapters.local.sqlite_file import DocumentCache, SqliteFile
from taskreel.adapters.local.sqlite_queries import build_aggregate, build_select
from taskreel.adapters.local.sqlite_tables import DATA, Key, StoredDocument, Table
from taskreel.adapters.local.sqlite_watches import StoreWatches
from taskreel.domain.errors import StoreAbsentError, StoreConflictError
from taskreel.ports import Changes, Collection, Increment, Index, Query, Row, Transaction

log = logging.getLogger(__name__)

T = TypeVar("T")
V = TypeVar("V")

#: The time from a write to its commit, after which the event loop commits although it is busy,
_LONGEST_DELAY_SECONDS = 0.02
#: once it has come round so often: a turn that takes as long by itself is followed by those in
#: which its jobs are claimed and ended, and each of them is then written once instead of twice.
_FULL_TURNS = 4
#: The same however long the turns take: their transactions are not divided into several commits
#: before.
_LONGEST_TURN_SECONDS = 0.2
#: The event loop rests when it has come round so often without a transaction.
_QUIET_TURNS = 5
#: The shortest time between two commits while transactions come all the time: other tasks run
#: although the loop seems to rest. After a longer time a commit waits for nothing, and for a single
#: caller of `durable` never.
_GATHER_SECONDS = 0.005


class _BufferedTransaction:
    """`Transaction` of one caller."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        #: Of all of its writes: later than that of any transaction before.
        self._version = 0
        #: The documents that it has looked up, as they are before its writes.
        self._before: dict[Key, StoredDocument | None] = {}
        self.written: dict[Key, StoredDocument] = {}

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        document = self._look_up((collection.name, id_))
        return self._store.read_value(collection, id_, document)

    def create(
        self, collection: Collection[V], id_: str, value: V, /, *, is_new: bool = False
    ) -> None:
        key = (collection.name, id_)
        if is_new or self._is_first_follower(collection, value):
            # The file has no such row, and the primary key is the last word: a commit fails there.
            self._before.setdefault(key, self._store.find_uncommitted(key))
        if not is_new and _exists(self._find_current(key)):
            raise StoreConflictError(f"{collection.name}/{id_} exists")
        self._write_value(collection, id_, value)

    def set(self, collection: Collection[V], id_: str, value: V, /) -> None:
        self._write_value(collection, id_, value)

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        document = self._find_current((collection.name, id_))
        if not _exists(document):
            raise StoreAbsentError(f"{collection.name}/{id_} does not exist")
        increased = _increase_value(collection, document.value, changes)
        if increased is not None:
            self._write_value(collection, id_, increased)
            return
        data = self._table(collection).load_document(document)
        changed = {name: _apply_change(data.get(name), to) for name, to in changes.items()}
        self._write_document(collection, id_, {**data, **changed})

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        document = StoredDocument(id_, b"", (), self._open_version())
        document.is_deleted = True
        self._put((collection.name, id_), document)

    def _write_value(self, collection: Collection[V], id_: str, value: V) -> None:
        version = self._version or self._open_version()
        if collection.encodes_any:
            document = StoredDocument(id_, b"", (), version, encode=collection.encode)
        else:
            data = collection.encode(value)
            document = self._table(collection).encode(id_, data, version)
        if collection.shareable:
            document.value = value
        self._put((collection.name, id_), document)

    def _write_document(
        self, collection: Collection[Any], id_: str, data: Mapping[str, Any]
    ) -> None:
        document = self._table(collection).encode(id_, data, self._open_version())
        self._put((collection.name, id_), document)

    def _open_version(self) -> int:
        if not self._version:
            self._version = self._store.next_version()
        return self._version

    def _table(self, collection: Collection[Any]) -> Table:
        return self._store.file.open_table(collection.name)

    def _is_first_follower(self, collection: Collection[V], value: V) -> bool:
        """True for the first value that follows another, which was created here; others then may.

        Should this transaction fail, the next such value is looked for in the file, in vain.
        """
        if collection.follows is None:
            return False
        other, find_id = collection.follows
        id_ = find_id(value)
        found = None if id_ is None else self._find_current((other, id_))
        if found is None or found.has_followers:
            return False
        found.has_followers = True
        return True

    def _put(self, key: Key, document: StoredDocument) -> None:
        current = self.written.get(key)
        if current is None:
            current = self._before[key] if key in self._before else self._look_up(key)
        if current is not None:
            document.stored, document.has_followers = current.stored, current.has_followers
        self.written[key] = document

    def _find_current(self, key: Key) -> StoredDocument | None:
        """The document as the writes of this transaction leave it so far."""
        return self.written.get(key) or self._look_up(key)

    def _look_up(self, key: Key) -> StoredDocument | None:
        if key not in self._before:
            self._before[key] = self._store.find_document(key)
        return self._before[key]


class SqliteStore:
    """`Store` over one file, or `:memory:`.

    With `durable` a commit survives a power failure too. `indexes` are created with their tables.
    `end_process` is called when a commit fails.
    """

    def __init__(
        self,
        path: Path | str,
        indexes: Sequence[Index] = (),
        *,
        durable: bool = False,
        end_process: Callable[[], None] = lambda: os._exit(1),
    ) -> None:
        self.file = SqliteFile(path, indexes, durable=durable)
        self._end_process = end_process
        #: Written and not yet committed, in the order of the first write of each.
        self._dirty: dict[Key, StoredDocument] = {}
        self._dirty_since = 0.0
        self._is_commit_planned = False
        self._committed_at = 0.0
        #: Committed documents.
        self._cache = DocumentCache()
        self._last_version = 0
        self._transactions = 0
        self._waiting: list[asyncio.Future[None]] = []
        #: Made by the first watch: without any, a transaction has none to report to.
        self._watches: StoreWatches | None = None

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        return self.read_value(collection, id_, self.find_document((collection.name, id_)))

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        found: list[V | None] = []
        for id_ in ids:
            value = await self.get(collection, id_)  # waits for nothing: all are of one moment
            found.append(value)
        return found

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        self.file.open()
        transaction = _BufferedTransaction(self)
        result = _run_synchronously(fn(transaction))
        if transaction.written:
            self._apply(transaction.written)
            if self._is_overdue(_LONGEST_TURN_SECONDS):
                # Transactions one after another, which give the event loop no turn to commit.
                self.commit()
                await asyncio.sleep(0)
        return result

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        self.commit()
        table = self.file.open_table(query.collection.name)
        sql, values = build_select(table, query)
        return self._read_rows(query, table, sql, values)

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        self.commit()
        sql, values = build_aggregate(self.file.open_table(query.collection.name), query, total)
        (row,) = self.file.fetch_all(sql, values)
        return dict(zip(("count", *total), row, strict=True))

    def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        return self._open_watches().watch_document(collection, id_)

    def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        return self._open_watches().watch_changes(collection, field, value, since)

    def _open_watches(self) -> StoreWatches:
        if self._watches is None:
            self._watches = StoreWatches(self)
        return self._watches

    async def durable(self) -> None:
        if self._dirty:
            committed = asyncio.get_running_loop().create_future()
            self._waiting.append(committed)
            await committed

    async def close(self) -> None:
        """Commit what was written, end all watches and release the file."""
        self.commit()
        self._open_watches().close()
        self._cache.clear()
        self.file.close()

    def find_uncommitted(self, key: Key) -> StoredDocument | None:
        """The document if the file lacks it, or its last version, as yet."""
        return self._dirty.get(key)

    def find_document(self, key: Key) -> StoredDocument | None:
        """The document as the last transaction wrote it, deleted perhaps; None if there is none."""
        document = self._dirty.get(key) or self._cache.find(key)
        if document is None:
            document = self.file.read_document(*key)
            if document is not None:
                self._cache.add(key, document)
        return document

    def read_changed_rows(
        self,
        collection: Collection[Any],
        field: str,
        value: str,
        since: datetime,
        after_version: int,
    ) -> list[Row[Any]]:
        """The documents with that value that were written after a version, in their order.

        Those whose `updatedAt` is before `since` are omitted.
        """
        self.commit()
        table = self.file.open_table(collection.name)
        updated = table.expression("updatedAt")
        sql = (
            f"SELECT id, version, {DATA}{table.names} FROM {table.name} "
            f"WHERE {table.expression(field)} = ? AND {updated} >= ? AND version > ? "
            "ORDER BY version, id"
        )
        values = [table.to_sql(field, value), table.to_sql("updatedAt", since), after_version]
        return self._read_rows(Query(collection=collection), table, sql, values)

    def _read_rows(
        self, query: Query[V], table: Table, sql: str, values: Sequence[Any]
    ) -> list[Row[V]]:
        """The rows of a SELECT statement: id, version, data, the fields' columns, perhaps more."""
        collection, read = query.collection, table.build_reader(query.fields)
        return [
            Row(collection, row[0], read(row), row[1]) for row in self.file.fetch_all(sql, values)
        ]

    def read_value(
        self, collection: Collection[V], id_: str, document: StoredDocument | None
    ) -> V | None:
        """The value of a document: the one in memory where it may be shared, else a fresh one."""
        if document is None or document.is_deleted:
            return None
        if document.value is not None and collection.shareable:
            shared: V = document.value
            return shared
        value = collection.read(id_, self.load_document(collection.name, document))
        if collection.shareable:
            document.value = value
        return value

    def load_document(self, collection: str, document: StoredDocument) -> Mapping[str, Any]:
        """The data of a document of a collection."""
        return self.file.open_table(collection).load_document(document)

    def next_version(self) -> int:
        """The time, but later than every earlier version, even if the clock goes back."""
        now = time.time_ns()
        self._last_version = now if now > self._last_version else self._last_version + 1
        return self._last_version

    def commit(self) -> None:
        """Commit all that was written, and wake those who wait for it.

        If that fails the process ends: what is in memory, and perhaps built upon, is not stored.
        """
        if not self._dirty:
            return
        written, self._dirty = self._dirty, {}
        waiting, self._waiting = self._waiting, []
        try:
            self.file.write_documents(written)
        except Exception as error:
            log.critical(
                "a commit failed, and the process ends: what it has in memory is not stored",
                exc_info=error,
                extra={"action": "commit_failed"},
            )
            self._end_process()
            for committed in waiting:
                if not committed.done():
                    committed.set_exception(error)
            raise
        for key, document in written.items():
            if not document.is_deleted:
                self._cache.add(key, document)
        for committed in waiting:
            if not committed.done():  # its caller was cancelled
                committed.set_result(None)

    def _apply(self, written: Mapping[Key, StoredDocument]) -> None:
        """Put the writes of a transaction into memory, and have them committed soon."""
        if not self._dirty:
            self._dirty_since = asyncio.get_running_loop().time()
        for key, document in written.items():
            if key not in self._dirty:
                self._cache.remove(key)
            self._dirty[key] = document
        if self._watches is not None:
            self._watches.report(written)

        self._transactions += 1
        if not self._is_commit_planned:
            self._is_commit_planned = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._commit_when_quiet, self._transactions, 0, 0)

    def _commit_when_quiet(self, seen: int, turns: int, quiet_turns: int) -> None:
        """Commit if the event loop rests or the time is up; else check again in its next turn."""
        loop = asyncio.get_running_loop()
        quiet_turns = quiet_turns + 1 if seen == self._transactions else 0
        longest = _LONGEST_DELAY_SECONDS if turns >= _FULL_TURNS else _LONGEST_TURN_SECONDS
        if self._dirty and quiet_turns < _QUIET_TURNS and not self._is_overdue(longest):
            loop.call_soon(self._commit_when_quiet, self._transactions, turns + 1, quiet_turns)
            return
        pause = self._committed_at + _GATHER_SECONDS - loop.time()
        # One who waits alone gains nothing by others' writes.
        if self._dirty and pause > 0 and len(self._waiting) != 1:
            loop.call_later(
                pause, self._commit_when_quiet, self._transactions, _FULL_TURNS, _QUIET_TURNS
            )
            return
        self._is_commit_planned = False
        self._committed_at = loop.time()
        with contextlib.suppress(Exception):  # it has been logged, and the process ends
            self.commit()

    def _is_overdue(self, seconds: float) -> bool:
        return asyncio.get_running_loop().time() - self._dirty_since >= seconds


def _increase_value(
    collection: Collection[V], value: V | None, changes: Mapping[str, Any]
) -> V | None:
    """The value with numbers increased; None where the document has to be changed instead."""
    if value is None or collection.increase is None:
        return None
    amounts = {name: to.by for name, to in changes.items() if isinstance(to, Increment)}
    if len(amounts) < len(changes):
        return None
    try:
        return collection.increase(value, amounts)
    except ValueError:  # a number is not valid any more: the next reader gets the error
        return None


def _exists(document: StoredDocument | None) -> TypeGuard[StoredDocument]:
    return document is not None and not document.is_deleted


def _apply_change(before: Any, to: Any) -> Any:
    return (before or 0) + to.by if isinstance(to, Increment) else to


def _run_synchronously(awaitable: Awaitable[T]) -> T:
    """Run a coroutine that never waits to its end, without the event loop.

    Raises RuntimeError for one that waits: nothing else may run during a transaction.
    """
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # it carries the coroutine's own result
    raise RuntimeError("a transaction may await nothing but its own reads")
