"""The SQLite file of the store: its lock, its tables and indexes, and the statements on it.

Committed documents are retained in memory, as many as a store needs again and again.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from taskreel.adapters.local.sqlite_checkpoint import COMMIT_MOVES_PAGES, Checkpoints
from taskreel.adapters.local.sqlite_migration import migrate_file
from taskreel.adapters.local.sqlite_tables import Key, StoredDocument, Table, read_field
from taskreel.domain.errors import StoreError
from taskreel.ports import Index

try:
    import fcntl
except ImportError:  # Windows: nothing prevents a second process from opening it
    fcntl = None  # type: ignore[assignment]

#: How long an owner that is about to end is waited for.
_LOCK_SECONDS = 2.0
_LOCK_PAUSE_SECONDS = 0.05
#: The least recently used documents are removed first: so many stay at most, with so many
#: bytes of JSON. More of them cost the garbage collector more than another read of the file
#: costs.
_MOST_DOCUMENTS = 500
_MOST_BYTES = 16_000_000


class SqliteFile:
    """One file that this process alone has open as a store; or `:memory:`.

    It is opened and locked on first use. Every method raises StoreError for errors of SQLite and of
    the file system.
    """

    def __init__(self, path: Path | str, indexes: Sequence[Index], *, durable: bool) -> None:
        self._path = path
        self._indexes = tuple(indexes)
        self._durable = durable
        self._tables: dict[str, Table] = {}
        self._connection: sqlite3.Connection | None = None
        self._checkpoints: Checkpoints | None = None
        self._lock: IO[str] | None = None

    def open(self) -> sqlite3.Connection:
        """Connect and lock the file, unless that is done."""
        if self._connection is None:
            with self._translate_errors():
                self._connection = self._connect()
        return self._connection

    def close(self) -> None:
        """Disconnect, and let another process have the file."""
        if self._checkpoints is not None:
            self._checkpoints.close()
            self._checkpoints = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        self._tables.clear()

    def open_table(self, collection: str) -> Table:
        """The collection's table, created when it is first used."""
        if collection not in self._tables:
            with self._translate_errors():
                self._tables[collection] = self._create_table(collection)
        return self._tables[collection]

    def read_document(self, collection: str, id_: str) -> StoredDocument | None:
        """Read one document; None if there is none."""
        table = self.open_table(collection)
        try:
            row = self.open().execute(table.select, (id_,)).fetchone()
        except (sqlite3.Error, OSError) as error:
            raise self._describe_error(error) from error
        return None if row is None else table.restore(id_, *row)

    def fetch_all(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """The rows of a SELECT statement."""
        with self._translate_errors():
            return self.open().execute(sql, values).fetchall()

    def write_documents(self, written: Mapping[Key, StoredDocument]) -> None:
        """Write the documents in one commit."""
        with self._translate_errors(), self._transaction() as connection:
            cursor = connection.cursor()  # the connection itself makes one for each statement
            for (collection, _), document in written.items():
                statement = self.open_table(collection).build_write(document)
                if statement is not None:
                    cursor.execute(*statement)
        for document in written.values():
            document.stored = None if document.is_deleted else document.columns
        if self._checkpoints is not None:
            self._checkpoints.note_commit()

    def _connect(self) -> sqlite3.Connection:
        if str(self._path) != ":memory:":
            with contextlib.suppress(OSError):  # SQLite's own error names the problem better
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            self._lock_file()
        connection = sqlite3.connect(
            self._path, isolation_level=None, timeout=20, cached_statements=512
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {COMMIT_MOVES_PAGES}")
        connection.execute("PRAGMA cache_size = -32000")
        try:
            migrate_file(connection)
        except BaseException:
            connection.close()
            raise
        if str(self._path) != ":memory:":
            self._checkpoints = Checkpoints(self._path)
        return connection

    def _lock_file(self) -> None:
        """Become the file's owner. Raises StoreError while another process is."""
        if not fcntl:
            return
        # A file of its own: closing any descriptor of a database would drop SQLite's locks on it.
        lock = Path(f"{self._path}.lock").open("a")  # noqa: SIM115 - open as long as the connection
        give_up_at = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < give_up_at:
                    time.sleep(_LOCK_PAUSE_SECONDS)
                    continue
                lock.close()
                raise StoreError(
                    f"Another process has the SQLite store {self._path} open, and a store has one "
                    "owner. Stop that process, or set STORE_URL to another file. For several "
                    "processes on one store use Firestore or its emulator."
                ) from None
            self._lock = lock
            return

    def _create_table(self, collection: str) -> Table:
        """Create the collection's table, columns and indexes where they do not exist."""
        indexes = [index for index in self._indexes if index.collection == collection]
        needed = dict.fromkeys(name for index in indexes for name, _ in index.fields)
        # A column that only indexes of an earlier release needed has values that nothing else has.
        existing = _list_fields(self.open(), collection)
        fields = tuple(dict.fromkeys([*needed, *existing]))
        table = Table(collection, fields, [[name for name, _ in index.fields] for index in indexes])
        with self._transaction() as connection:
            _create_columns(connection, collection, table)
            for index in indexes:
                _create_index(connection, table, index)
        return table

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what is executed within, or nothing of it."""
        connection = self.open()
        if connection.in_transaction:  # a table is created by its first write
            yield connection
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise StoreError for the errors of SQLite and of the file system."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._describe_error(error) from error

    def _describe_error(self, error: Exception) -> StoreError:
        return StoreError(
            f"The SQLite store in {self._path} failed: {error}. Check that the disk has space "
            "and that the folder exists and can be written; STORE_URL names the file."
        )


class DocumentCache:
    """Documents by their keys, the most recently used last, within bounds."""

    def __init__(self) -> None:
        self._documents: OrderedDict[Key, StoredDocument] = OrderedDict()
        self._bytes = 0

    def find(self, key: Key) -> StoredDocument | None:
        """The document, which is used now; None if it is not here."""
        document = self._documents.get(key)
        if document is not None:
            self._documents.move_to_end(key)
        return document

    def add(self, key: Key, document: StoredDocument) -> None:
        """Add a document that is not here, and whose text does not change any more."""
        self._documents[key] = document
        self._bytes += len(document.text)
        while len(self._documents) > _MOST_DOCUMENTS or self._bytes > _MOST_BYTES:
            _, oldest = self._documents.popitem(last=False)
            self._bytes -= len(oldest.text)

    def remove(self, key: Key) -> None:
        """Remove the document, if it is here."""
        document = self._documents.pop(key, None)
        if document is not None:
            self._bytes -= len(document.text)

    def clear(self) -> None:
        """Remove all documents."""
        self._documents.clear()
        self._bytes = 0


def _list_fields(connection: sqlite3.Connection, collection: str) -> list[str]:
    """The fields for which the table has columns."""
    columns = connection.execute("SELECT name FROM pragma_table_info(?)", (collection,))
    return [name.removeprefix("f_") for (name,) in columns if name.startswith("f_")]


def _create_columns(connection: sqlite3.Connection, collection: str, table: Table) -> None:
    """Create the table, or add the columns that its indexes need to an older one."""
    columns = ["id TEXT PRIMARY KEY", "version INTEGER NOT NULL", "data TEXT NOT NULL"]
    columns += map(table.expression, table.fields)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table.name} ({', '.join(columns)})")
    existing = _list_fields(connection, collection)
    for field in table.fields:
        if field in existing:
            continue
        column = table.expression(field)
        connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {column}")
        connection.execute(f"UPDATE {table.name} SET {column} = {read_field(field)}")


def _create_index(connection: sqlite3.Connection, table: Table, index: Index) -> None:
    """Create an index, or replace the one that an earlier release has defined in another way.

    It has no id: rows with equal fields are few, and SQLite sorts these when they are read. It
    leaves out documents that lack one of the fields before the last, or the only one: no query asks
    for them by that field. Of an index that is always read up to a bound (`Index.is_bounded`), it
    leaves out those that lack the last field as well.
    """
    columns = ", ".join(f"{table.expression(field)} {way}" for field, way in index.fields)
    name = "_".join([index.collection, *(f"{field}_{way}" for field, way in index.fields)])
    required = index.fields if index.is_bounded else index.fields[:-1] or index.fields
    is_present = " AND ".join(f"{table.expression(field)} IS NOT NULL" for field, _ in required)
    sql = f'CREATE INDEX "{name}" ON {table.name} ({columns}) WHERE {is_present}'
    found = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    if found == (sql,):
        return
    connection.execute(f'DROP INDEX IF EXISTS "{name}"')
    connection.execute(sql)
