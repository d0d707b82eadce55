"""The store in one SQLite file: a write-ahead log, group commit, several processes.

Group commit: transactions that wait at the same time run one after another inside one SQLite
transaction and are committed together, since a commit costs about the same for one as for ten.
Each of them is still all or nothing: its function only buffers its writes, and one that raises
adds no statement. If the commit itself fails, every transaction in it fails.

No conflicts: the functions run while SQLite's write lock is held, so nothing that one of them reads
can change before the commit. Reads inside a transaction do not wait for anything, so the function's
coroutine is run to its end in one step, on the event loop.

SQLite runs on the event loop's own thread on purpose: a statement takes microseconds, handing it
to another thread and back a hundred.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from taskreel.adapters.local.sqlite_changes import ChangeWatches
from taskreel.adapters.local.sqlite_tables import (
    TIME,
    StoredRow,
    Table,
    build_conditions,
    build_select,
    load_json,
)
from taskreel.domain.errors import StoreAbsentError, StoreConflictError, StoreError
from taskreel.ports import Changes, Collection, Increment, Index, Query, Row, Transaction

try:
    import fcntl
except ImportError:  # Windows: SQLite's own busy handler decides whose turn it is, less fairly
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")
V = TypeVar("V")

#: A transaction's function, and the future of the caller that waits for its result.
_WaitingTransaction = tuple[Callable[[Transaction], Awaitable[Any]], asyncio.Future[Any]]

#: How often a watch looks for commits; a look is one PRAGMA, not a read of the document.
_WATCH_SECONDS = 0.02


class _BufferedTransaction:
    """`Transaction` of one caller, while the store holds SQLite's write lock."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._rows: dict[tuple[str, str], StoredRow | None] = {}
        self._written: dict[tuple[str, str], Mapping[str, Any] | None] = {}

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        return _read_value(collection, id_, self._read_row(collection.name, id_))

    def create(self, collection: Collection[V], id_: str, value: V, /) -> None:
        if self._current_data(collection.name, id_) is not None:
            raise StoreConflictError(f"{collection.name}/{id_} exists")
        self._written[collection.name, id_] = collection.encode(value)

    def set(self, collection: Collection[V], id_: str, value: V, /) -> None:
        self._read_row(collection.name, id_)  # `build_statements` needs to know if the row exists
        self._written[collection.name, id_] = collection.encode(value)

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        data = self._current_data(collection.name, id_)
        if data is None:
            raise StoreAbsentError(f"{collection.name}/{id_} does not exist")
        changed = {name: _apply_change(data.get(name), to) for name, to in changes.items()}
        self._written[collection.name, id_] = {**data, **changed}

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        self._read_row(collection.name, id_)
        self._written[collection.name, id_] = None

    def build_statements(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Yield the writes as SQL statements with their values."""
        for (collection, id_), data in self._written.items():
            table = self._store.open_table(collection)
            before = self._rows[collection, id_]
            if data is not None:
                yield table.build_write(id_, data, before)
            elif before is not None:
                yield f"DELETE FROM {table.name} WHERE id = ?", (id_,)

    @property
    def written(self) -> Mapping[tuple[str, str], Mapping[str, Any] | None]:
        """The documents as the writes leave them; None for a deleted one."""
        return self._written

    def _read_row(self, collection: str, id_: str) -> StoredRow | None:
        key = (collection, id_)
        if key not in self._rows:
            self._rows[key] = self._store.read_row(collection, id_)
        return self._rows[key]

    def _current_data(self, collection: str, id_: str) -> Mapping[str, Any] | None:
        """The document as the writes of this transaction leave it so far."""
        row = self._read_row(collection, id_)
        return self._written.get((collection, id_), row.data if row else None)


class SqliteStore:
    """`Store` over one file, or `:memory:`.

    With `durable` each commit waits for the disk and survives a power failure. Without it, a commit
    survives the death of the process at any point, which is what the dev stack needs. A busy
    process commits once in `gather_seconds` at most. `indexes` are created with their tables.
    """

    def __init__(
        self,
        path: Path | str,
        indexes: Sequence[Index] = (),
        *,
        durable: bool = False,
        gather_seconds: float = 0.0,
    ) -> None:
        self._path = path
        self._indexes = tuple(indexes)
        self._durable = durable
        self._gather_seconds = gather_seconds
        self._tables: dict[str, Table] = {}
        self._connection: sqlite3.Connection | None = None
        self._lock_file: Any = None
        self._waiting: list[_WaitingTransaction] = []
        self._commits = 0
        self._committed_at = 0.0
        self._changes = ChangeWatches(self)

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        with self._translate_errors():
            row = self.read_row(collection.name, id_)
        return _read_value(collection, id_, row)

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((fn, future))
        if len(self._waiting) == 1:
            # The first one schedules the commit; those that come before it takes place join it.
            pause = self._committed_at + self._gather_seconds - loop.time()
            if pause > 0:
                loop.call_later(pause, self._commit_waiting)
            else:
                loop.call_soon(self._commit_waiting)
        return await future

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        sql, values = build_select(self.open_table(query.collection.name), query)
        with self._translate_errors():
            rows = self._open_connection().execute(sql, values).fetchall()
        return [Row(query.collection, id_, load_json(text), at) for id_, at, text, *_ in rows]

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        table = self.open_table(query.collection.name)
        where, values = build_conditions(table, query)
        sums = "".join(f", coalesce(sum({table.expression(field)}), 0)" for field in total)
        sql = f"SELECT count(*){sums} FROM {table.name}{where}"
        with self._translate_errors():
            row = self._open_connection().execute(sql, values).fetchone()
        return dict(zip(("count", *total), row, strict=True))

    async def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        seen_version: int | None = -1
        seen_commit: tuple[int, int] | None = None
        while True:
            commit = self._read_commit_marker()
            if commit != seen_commit:
                seen_commit = commit
                row = self.read_row(collection.name, id_)
                version = row.version if row else None
                if version != seen_version:
                    seen_version = version
                    yield _read_value(collection, id_, row)
                    continue
            await asyncio.sleep(_WATCH_SECONDS)

    def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        return self._changes.watch(collection, field, value, since)

    async def durable(self) -> None:
        """Nothing: a transaction returns when it is committed."""

    async def close(self) -> None:
        self._changes.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def open_table(self, collection: str) -> Table:
        """The collection's table, created when it is first used."""
        if collection not in self._tables:
            with self._translate_errors():
                self._create_table(collection)
        return self._tables[collection]

    def read_row(self, collection: str, id_: str) -> StoredRow | None:
        """Read one document, or None if it does not exist."""
        table = self.open_table(collection)
        sql = f"SELECT version, data FROM {table.name} WHERE id = ?"
        found = self._open_connection().execute(sql, (id_,)).fetchone()
        return found and StoredRow(*found)

    def _commit_waiting(self) -> None:
        """Run every waiting transaction, commit all of them at once, and wake their callers."""
        batch, self._waiting = self._waiting, []
        results: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            with self._translate_errors(), self.hold_write_lock() as connection:
                self._changes.find_foreign_commits()
                for fn, future in batch:
                    results.append((future, *self._run_function(connection, fn)))
        except StoreError as error:
            # The commit failed. A table that was created in it does not exist any more.
            self._tables.clear()
            results = [(future, None, error) for _, future in batch]
        self._commits += 1
        self._committed_at = asyncio.get_running_loop().time()
        self._changes.report_commit()

        for future, result, failure in results:
            if future.done():  # its caller was cancelled
                continue
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)

    def _run_function(
        self, connection: sqlite3.Connection, fn: Callable[[Transaction], Awaitable[T]]
    ) -> tuple[T | None, Exception | None]:
        """Run one transaction's function and its writes; its result, or the error it raised.

        The statements are complete before the first is executed, so a function that raises has
        written nothing although the transactions around it are committed.
        """
        transaction = _BufferedTransaction(self)
        try:
            result = _run_synchronously(fn(transaction))
            statements = list(transaction.build_statements())
        except Exception as error:  # noqa: BLE001 - it is raised to the transaction's caller
            return None, error
        for statement, values in statements:
            connection.execute(statement, values)
        self._changes.note_writes(transaction.written)
        return result, None

    @contextlib.contextmanager
    def hold_write_lock(self) -> Iterator[sqlite3.Connection]:
        """Hold SQLite's write lock and commit at the end; an error rolls everything back.

        A process that already holds it (a table is created during a transaction) joins in.
        """
        connection = self._open_connection()
        if connection.in_transaction:
            yield connection
            return
        with self._hold_file_lock():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _hold_file_lock(self) -> Iterator[None]:
        """Wait in the kernel for the other processes.

        SQLite's own busy handler sleeps in steps of up to 100 ms, and is not fair.
        """
        if self._lock_file is None or not fcntl:
            yield
            return
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _read_commit_marker(self) -> tuple[int, int]:
        """A value that differs after a commit of this process or of any other."""
        return self.read_foreign_marker(), self._commits

    def read_foreign_marker(self) -> int:
        """A number that differs after a commit of another process."""
        (version,) = self._open_connection().execute("PRAGMA data_version").fetchone()
        return int(version)

    def read_changed_rows(
        self,
        collection: Collection[Any],
        field: str,
        value: str,
        since: datetime,
        after_version: int,
    ) -> list[Row[Any]]:
        """The documents with that value that were written after a version, in their order.

        Those whose `updatedAt` is before `since` are left out.
        """
        table = self.open_table(collection.name)
        updated = table.expression("updatedAt")
        sql = (
            f"SELECT id, version, data FROM {table.name} WHERE {table.expression(field)} = ? "
            f"AND {updated} >= ? AND version > ? ORDER BY version, id"
        )
        values = (table.to_sql(field, value), table.to_sql("updatedAt", since), after_version)
        with self._translate_errors():
            rows = self._open_connection().execute(sql, values).fetchall()
        return [Row(collection, id_, load_json(text), at) for id_, at, text in rows]

    def _open_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            with self._translate_errors():
                self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if str(self._path) != ":memory:":
            with contextlib.suppress(OSError):  # SQLite's own error names the problem better
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, isolation_level=None, timeout=20, cached_statements=512
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        connection.execute("PRAGMA cache_size = -32000")
        if str(self._path) != ":memory:":
            # Open as long as the connection.
            self._lock_file = Path(f"{self._path}.lock").open("a")  # noqa: SIM115 - see above
        return connection

    def _create_table(self, collection: str) -> None:
        """Create the collection's table, columns and indexes where they do not exist."""
        indexes = [index for index in self._indexes if index.collection == collection]
        fields = tuple(dict.fromkeys(name for index in indexes for name, _ in index.fields))
        table = Table(collection, fields)
        connection = self._open_connection()
        if not _existing_columns(connection, table) or _missing_fields(connection, table):
            with self.hold_write_lock():
                _create_columns(connection, table)
        for index in indexes:
            _create_index(connection, table, index)
        self._tables[collection] = table

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise StoreError for the errors of SQLite and of the file system."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"The SQLite store in {self._path} failed: {error}. Check that the disk has space "
                "and that the folder exists and can be written; STORE_URL names the file."
            ) from error


def _read_value(collection: Collection[V], id_: str, row: StoredRow | None) -> V | None:
    return None if row is None else collection.read(id_, row.data)


def _apply_change(before: Any, to: Any) -> Any:
    return (before or 0) + to.by if isinstance(to, Increment) else to


def _run_synchronously(awaitable: Awaitable[T]) -> T:
    """Run a coroutine that never waits to its end, without the event loop.

    Raises RuntimeError for one that waits: nothing else may run while the write lock is held.
    """
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # it carries the coroutine's own result
    raise RuntimeError("a transaction may await nothing but its own reads")


def _existing_columns(connection: sqlite3.Connection, table: Table) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}


def _missing_fields(connection: sqlite3.Connection, table: Table) -> list[str]:
    """The indexed fields that have no column yet."""
    existing = _existing_columns(connection, table)
    return [field for field in table.fields if f"f_{field}" not in existing]


def _create_columns(connection: sqlite3.Connection, table: Table) -> None:
    """Create the table, or add the columns that its indexes need to an older one.

    Called with the write lock held. What exists is read again, because another process may have
    created it before this one got the lock.
    """
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table.name} "
        "(id TEXT PRIMARY KEY, version INTEGER NOT NULL, data TEXT NOT NULL)"
    )
    for field in _missing_fields(connection, table):
        column = table.expression(field)
        connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {column}")
        time = f"json_extract(data, '$.{field}.\"{TIME}\"')"
        value = f"coalesce({time}, json_extract(data, '$.{field}'))"
        connection.execute(f"UPDATE {table.name} SET {column} = {value}")


def _create_index(connection: sqlite3.Connection, table: Table, index: Index) -> None:
    """Create an index that ends with the id, in the direction of the last field.

    It leaves out documents that lack one of the fields before the last: no query asks for them by
    that field.
    """
    columns = ", ".join(f"{table.expression(field)} {way}" for field, way in index.fields)
    columns += f", id {index.fields[-1][1]}"
    name = "_".join([index.collection, *(f"{field}_{way}" for field, way in index.fields)])
    is_present = " AND ".join(
        f"{table.expression(field)} IS NOT NULL" for field, _ in index.fields[:-1]
    )
    connection.execute(
        f'CREATE INDEX IF NOT EXISTS "{name}" ON {table.name} ({columns}) WHERE {is_present}'
    )
