"""The store in one SQLite file: write-ahead log, one commit for all transactions that wait, several processes.

A transaction's function runs inside SQLite's own write transaction, so it never meets a conflict: its reads are
synchronous, and its coroutine is stepped to its end without leaving the event loop. Running SQLite on the loop's own
thread is on purpose: a statement takes microseconds, a hand-over to another thread and back a hundred.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from taskreel.adapters.local.sqlite_tables import TIME, Row, Table, conditions, loads, select
from taskreel.domain.errors import StoreAbsentError, StoreConflictError, StoreError
from taskreel.ports import Document, Increment, Index, Query, Transaction

try:
    import fcntl
except ImportError:  # Windows: SQLite's own busy handler arbitrates, less fairly
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")

_WATCH_SECONDS = 0.02


def _document(collection: str, id_: str, row: Row | None) -> Document | None:
    return None if row is None else Document(collection, id_, row.data, str(row.version))


class _Transaction:
    """One caller's reads and buffered writes, inside SQLite's write lock."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._read: dict[tuple[str, str], Row | None] = {}
        self._written: dict[tuple[str, str], dict[str, Any] | None] = {}

    async def get(self, collection: str, id_: str, /) -> Document | None:
        row = self._row(collection, id_)
        return _document(collection, id_, row)

    def create(self, collection: str, id_: str, data: Mapping[str, Any], /) -> None:
        if self._now(collection, id_) is not None:
            raise StoreConflictError(f"{collection}/{id_} exists")
        self._written[collection, id_] = dict(data)

    def set(self, collection: str, id_: str, data: Mapping[str, Any], /) -> None:
        self._row(collection, id_)  # `statements` needs to know whether the row exists
        self._written[collection, id_] = dict(data)

    def update(self, collection: str, id_: str, changes: Mapping[str, Any], /) -> None:
        now = self._now(collection, id_)
        if now is None:
            raise StoreAbsentError(f"{collection}/{id_} does not exist")
        self._written[collection, id_] = {
            **now,
            **{name: _changed(now.get(name), to) for name, to in changes.items()},
        }

    def delete(self, collection: str, id_: str, /) -> None:
        self._now(collection, id_)
        self._written[collection, id_] = None

    def statements(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The writes, as SQL and its values."""
        for (collection, id_), data in self._written.items():
            table = self._store.table(collection)
            before = self._read[collection, id_]
            if data is not None:
                yield table.write(id_, data, before)
            elif before is not None:
                yield f"DELETE FROM {table.name} WHERE id = ?", (id_,)

    def _row(self, collection: str, id_: str) -> Row | None:
        key = (collection, id_)
        if key not in self._read:
            self._read[key] = self._store.row(collection, id_)
        return self._read[key]

    def _now(self, collection: str, id_: str) -> dict[str, Any] | None:
        """The document as this transaction has left it."""
        row = self._row(collection, id_)
        return self._written.get((collection, id_), row.data if row else None)


def _changed(now: Any, to: Any) -> Any:
    return (now or 0) + to.by if isinstance(to, Increment) else to


class SqliteStore:
    """`Store` over one file, or `:memory:`. `durable` waits for the disk at each commit.

    Without `durable` a commit survives the death of the process at any point, not the loss of power. A busy process
    commits every `gather_seconds` at most: a commit's pages cost the same for one transaction as for ten.
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
        self._waiting: list[
            tuple[Callable[[Transaction], Awaitable[Any]], asyncio.Future[Any]]
        ] = []
        self._commits = 0
        self._flushed = 0.0

    async def get(self, collection: str, id_: str, /) -> Document | None:
        with _translated():
            row = self.row(collection, id_)
        return _document(collection, id_, row)

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((fn, future))
        if len(self._waiting) == 1:
            pause = self._flushed + self._gather_seconds - loop.time()
            _ = loop.call_later(pause, self._flush) if pause > 0 else loop.call_soon(self._flush)
        return await future

    async def query(self, query: Query, /) -> list[Document]:
        sql, values = select(self.table(query.collection), query)
        with _translated():
            rows = self._open().execute(sql, values).fetchall()
        return [
            Document(query.collection, id_, loads(text), str(version))
            for id_, version, text, *_ in rows
        ]

    async def aggregate(
        self, query: Query, /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        table = self.table(query.collection)
        where, values = conditions(table, query)
        sums = "".join(f", coalesce(sum({table.expression(field)}), 0)" for field in total)
        with _translated():
            row = (
                self._open()
                .execute(f"SELECT count(*){sums} FROM {table.name}{where}", values)
                .fetchone()
            )
        return dict(zip(("count", *total), row, strict=True))

    async def watch(self, collection: str, id_: str, /) -> AsyncIterator[Document | None]:
        seen: int | None = -1
        mark: tuple[int, int] | None = None
        while True:
            now = self._mark()
            if now != mark:
                mark = now
                row = self.row(collection, id_)
                version = row.version if row else None
                if version != seen:
                    seen = version
                    yield _document(collection, id_, row)
                    continue
            await asyncio.sleep(_WATCH_SECONDS)

    async def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def table(self, collection: str) -> Table:
        """The collection's table, made when it is first named."""
        if collection not in self._tables:
            with _translated():
                self._make(collection)
        return self._tables[collection]

    def row(self, collection: str, id_: str) -> Row | None:
        """One document as it is now."""
        table = self.table(collection)
        found = (
            self._open()
            .execute(f"SELECT version, data FROM {table.name} WHERE id = ?", (id_,))
            .fetchone()
        )
        return found and Row(*found)

    def _flush(self) -> None:
        """Run every waiting transaction and commit them as one."""
        batch, self._waiting = self._waiting, []
        answers: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            with _translated(), self._writing() as connection:
                for fn, future in batch:
                    answers.append((future, *self._run(connection, fn)))
        except StoreError as error:
            self._tables.clear()  # a table made in this commit is gone with it
            answers = [(future, None, error) for _, future in batch]
        self._commits += 1
        self._flushed = asyncio.get_running_loop().time()
        for future, result, failure in answers:
            if future.done():
                continue
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)

    def _run(
        self, connection: sqlite3.Connection, fn: Callable[[Transaction], Awaitable[T]]
    ) -> tuple[T | None, Exception | None]:
        """One transaction's result, or why nothing of it was written."""
        transaction = _Transaction(self)
        try:
            result = _step(fn(transaction))
            statements = list(transaction.statements())
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for this transaction
            return None, error
        for statement, values in statements:
            connection.execute(statement, values)
        return result, None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """SQLite's write lock, waited for in the kernel: its own busy handler sleeps in steps of up to 100 ms."""
        connection = self._open()
        if connection.in_transaction:
            yield connection
            return
        with self._turn():
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if self._lock_file is None or not fcntl:
            yield
            return
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _mark(self) -> tuple[int, int]:
        """Changes whenever any process has committed."""
        (version,) = self._open().execute("PRAGMA data_version").fetchone()
        return version, self._commits

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            with _translated():
                self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if str(self._path) != ":memory:":
            with contextlib.suppress(OSError):  # SQLite's own error says it better
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path, isolation_level=None, timeout=20, cached_statements=512
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        connection.execute("PRAGMA wal_autocheckpoint = 8000")
        connection.execute("PRAGMA cache_size = -32000")
        if str(self._path) != ":memory:":
            self._lock_file = Path(f"{self._path}.lock").open("a")  # noqa: SIM115 - held as long as the connection
        return connection

    def _make(self, collection: str) -> None:
        indexes = [index for index in self._indexes if index.collection == collection]
        fields = tuple(dict.fromkeys(name for index in indexes for name, _ in index.fields))
        table = Table(collection, fields)
        connection = self._open()
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        missing = [field for field in fields if f"f_{field}" not in found]
        if not found or missing:
            with self._writing():
                self._create(connection, table, missing)
        for index in indexes:
            columns = ", ".join(f"{table.expression(field)} {way}" for field, way in index.fields)
            name = "_".join([collection, *(f"{field}_{way}" for field, way in index.fields)])
            # A document that lacks a field is never asked for by it, and need not be in the index.
            present = " AND ".join(
                f"{table.expression(field)} IS NOT NULL" for field, _ in index.fields[:-1]
            )
            columns += f", id {index.fields[-1][1]}"
            connection.execute(
                f'CREATE INDEX IF NOT EXISTS "{name}" ON {table.name} ({columns}) WHERE {present}'
            )
        self._tables[collection] = table

    @staticmethod
    def _create(connection: sqlite3.Connection, table: Table, missing: Sequence[str]) -> None:
        """Make the table, or give an older one the columns that its indexes have come to need."""
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {table.name} "
            "(id TEXT PRIMARY KEY, version INTEGER NOT NULL, data TEXT NOT NULL)"
        )
        there = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        for field in missing:
            if f"f_{field}" in there:
                continue
            connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {table.expression(field)}")
            value = f"coalesce(json_extract(data, '$.{field}.\"{TIME}\"'), json_extract(data, '$.{field}'))"
            connection.execute(f"UPDATE {table.name} SET {table.expression(field)} = {value}")


def _step(awaitable: Awaitable[T]) -> T:
    """Run a coroutine that never waits to its end, here and now."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # a StopIteration carries the coroutine's own result
    raise RuntimeError("a transaction may await nothing but its own reads")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"The local store failed: {error}. Is the disk full, or the data folder gone?"
        ) from error
