"""Persistence of queues, tasks and tombstones: none (in memory), or one SQLite file."""

# ruff: noqa: D102 - the contract of the methods is stated once, at `Journal`
from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError, Code
from taskreel_cloud_tasks.messages import Queue
from taskreel_cloud_tasks.stored_task import StoredTask
from taskreel_cloud_tasks.task_rows import task_from_row, task_to_row

_log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (name TEXT PRIMARY KEY, saved TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS task (
    number INTEGER PRIMARY KEY, queue TEXT NOT NULL, saved TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS tombstone (name TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, saved TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_LAZY_S = 0.02
"""Delay before the removal of a finished task is written.

A crash within it repeats a delivery, which at-least-once delivery allows.
"""


@dataclass(slots=True)
class JournalContents:
    """The contents of a journal when it was opened."""

    queues: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: list[tuple[str, StoredTask]] = field(default_factory=list)
    tombstones: dict[str, int] = field(default_factory=dict)
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name, in the order of their last change."""


def queue_to_journal(queue: Queue) -> dict[str, Any]:
    """Return the JSON that the journal stores; `queue_from_journal` reads it."""
    saved = message_codec.to_json(queue)
    saved["times"] = [queue.task_ttl, queue.tombstone_ttl]
    return saved


def queue_from_journal(saved: dict[str, Any]) -> Queue:
    """Build a queue from its journal entry."""
    task_ttl, tombstone_ttl = saved.get("times") or (None, None)
    settings = {name: value for name, value in saved.items() if name != "times"}
    return replace(
        message_codec.from_json(Queue, settings), task_ttl=task_ttl, tombstone_ttl=tombstone_ttl
    )


class Journal(Protocol):
    """Stages changes and writes them in one commit."""

    is_persistent: bool
    """False if everything is gone with the process."""

    def load(self, now: int) -> JournalContents:
        """Return the contents; reservations of names that ended by `now` are removed."""

    def put_queue(self, name: str, saved: dict[str, Any] | None) -> None:
        """Stage a queue; None removes it (its tasks are removed one by one)."""

    def put_task(self, queue: str, stored: StoredTask) -> None:
        """Stage a task. Its state is read when the batch is written."""

    def drop_task(self, queue: str, stored: StoredTask, until: int | None) -> None:
        """Stage the removal of a task and, with `until`, the tombstone of its name.

        The write may be delayed a little.
        """

    def put_tombstone(self, name: str, until: int | None) -> None:
        """Stage the reserved name of a deleted queue; None releases a name."""

    def note(self, name: str, value: str | None = None) -> str | None:
        """Write a small text at once if `value` is given; return the current one."""

    def put_document(self, name: str, saved: dict[str, Any] | None) -> None:
        """Stage a small document, such as an IAM policy; None removes it."""

    def clear(self) -> None:
        """Remove queues, tasks, tombstones and documents."""

    def flush(self) -> None:
        """Write everything that is staged and wake the waiters."""

    async def wait_until_written(self) -> None:
        """Wait until everything staged so far is written. Raises ApiError if it cannot be."""

    def close(self) -> None:
        """Write the rest and close the file."""


class MemoryJournal:
    """Stores nothing but notes."""

    is_persistent = False

    def __init__(self) -> None:
        self._notes: dict[str, str] = {}

    def load(self, now: int) -> JournalContents:  # noqa: ARG002
        return JournalContents()

    def put_queue(self, name: str, saved: dict[str, Any] | None) -> None: ...
    def put_task(self, queue: str, stored: StoredTask) -> None: ...
    def drop_task(self, queue: str, stored: StoredTask, until: int | None) -> None: ...
    def put_tombstone(self, name: str, until: int | None) -> None: ...
    def put_document(self, name: str, saved: dict[str, Any] | None) -> None: ...

    def note(self, name: str, value: str | None = None) -> str | None:
        if value is not None:
            self._notes[name] = value
        return self._notes.get(name)

    def clear(self) -> None: ...
    def flush(self) -> None: ...
    async def wait_until_written(self) -> None: ...
    def close(self) -> None: ...


class SqliteJournal:
    """One file in WAL mode. Commits are not fsynced: a killed process loses nothing.

    It runs on the event loop's thread: a commit of a hundred tasks takes less time than to hand
    them to another thread.
    """

    is_persistent = True

    def __init__(self, path: Path) -> None:
        self._db = _open_or_rebuild(path)
        self._queues: dict[str, dict[str, Any] | None] = {}
        self._tasks: dict[int, tuple[str, StoredTask | None]] = {}
        self._tombstones: dict[str, int | None] = {}
        self._documents: dict[str, dict[str, Any] | None] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._timer: asyncio.Handle | None = None
        self._lazy = False
        self._known: set[int] = set()

    def load(self, now: int) -> JournalContents:
        saved = JournalContents()
        self._db.execute("DELETE FROM tombstone WHERE until <= ?", (now,))
        for name, text in self._db.execute("SELECT name, saved FROM queue"):
            saved.queues[name] = json.loads(text)
        unreadable: list[tuple[int]] = []
        rows = self._db.execute("SELECT number, queue, saved FROM task ORDER BY number")
        names: dict[str, str] = {}  # one text a queue, not one a task
        for number, queue, text in rows:
            try:
                stored = task_from_row(number, json.loads(text))
            except (ValueError, TypeError, KeyError, AttributeError):
                _log.warning("a task of queue %s cannot be read and is dropped", queue)
                unreadable.append((number,))
            else:
                saved.tasks.append((names.setdefault(queue, queue), stored))
        self._db.executemany("DELETE FROM task WHERE number = ?", unreadable)
        self._known = {stored.number for _, stored in saved.tasks}
        saved.tombstones = dict(
            self._db.execute("SELECT name, until FROM tombstone ORDER BY until")
        )
        for name, text in self._db.execute("SELECT name, saved FROM document ORDER BY number"):
            saved.documents[name] = json.loads(text)
        return saved

    def put_queue(self, name: str, saved: dict[str, Any] | None) -> None:
        self._queues[name] = saved
        self._flush_soon()

    def put_task(self, queue: str, stored: StoredTask) -> None:
        self._tasks[stored.number] = (queue, stored)
        self._flush_soon()

    def drop_task(self, queue: str, stored: StoredTask, until: int | None) -> None:
        self._tasks[stored.number] = (queue, None)
        if until is not None:
            self._tombstones[f"{queue}/tasks/{stored.id}"] = until
        self._flush_lazily()

    def put_tombstone(self, name: str, until: int | None) -> None:
        self._tombstones[name] = until
        self._flush_lazily() if until is None else self._flush_soon()

    def put_document(self, name: str, saved: dict[str, Any] | None) -> None:
        self._documents.pop(name, None)
        self._documents[name] = saved
        self._flush_soon()

    def note(self, name: str, value: str | None = None) -> str | None:
        if value is not None:
            self._db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, value))
        row = self._db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def clear(self) -> None:
        self._forget_staged()
        self._known.clear()
        self._db.executescript(
            "BEGIN; DELETE FROM queue; DELETE FROM task; DELETE FROM tombstone;"
            "DELETE FROM document; COMMIT;"
        )

    def flush(self) -> None:
        self._cancel_timer()
        staged = self._queues or self._tasks or self._tombstones or self._documents
        refusal = self._try_commit() if staged else None
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if refusal is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(refusal)

    async def wait_until_written(self) -> None:
        if self._timer is None:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def close(self) -> None:
        self.flush()
        self._db.close()

    def _flush_soon(self) -> None:
        """Flush at the end of this turn of the loop: all changes of one turn are one commit."""
        if self._timer is None or self._lazy:
            self._cancel_timer()
            self._timer = asyncio.get_running_loop().call_soon(self.flush)

    def _flush_lazily(self) -> None:
        if self._timer is None:
            self._lazy = True
            self._timer = asyncio.get_running_loop().call_later(_LAZY_S, self.flush)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._lazy = None, False

    def _try_commit(self) -> ApiError | None:
        """Write the batch. If that fails it stays staged, and the error goes to the waiters."""
        try:
            self._commit_batch()
        except sqlite3.Error as error:
            _log.exception("cannot write the journal; the batch stays staged and is tried again")
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            return ApiError(Code.UNAVAILABLE, f"The change is not on disk: {error}.")
        return None

    def _commit_batch(self) -> None:
        """Write everything staged in one transaction, then forget it."""
        rows: list[tuple[int, str, str]] = []
        removed: list[int] = []
        for number, (queue, stored) in self._tasks.items():
            if stored is not None:
                rows.append((number, queue, json.dumps(task_to_row(stored))))
            elif number in self._known:
                # A task created and removed within one batch was never written: not listed here.
                removed.append(number)

        self._db.execute("BEGIN IMMEDIATE")
        self._write_queues()
        self._db.executemany("INSERT OR REPLACE INTO task VALUES (?, ?, ?)", rows)
        self._db.executemany("DELETE FROM task WHERE number = ?", [(each,) for each in removed])
        self._write_tombstones()
        self._write_documents()
        self._db.execute("COMMIT")

        # Only after COMMIT: a failed batch stays staged for the next try.
        self._known.update(row[0] for row in rows)
        self._known.difference_update(removed)
        self._forget_staged()

    def _write_queues(self) -> None:
        for name, saved in self._queues.items():
            self._db.execute("DELETE FROM queue WHERE name = ?", (name,))
            if saved is not None:
                self._db.execute("INSERT INTO queue VALUES (?, ?)", (name, json.dumps(saved)))

    def _write_tombstones(self) -> None:
        for name, until in self._tombstones.items():
            if until is None:
                self._db.execute("DELETE FROM tombstone WHERE name = ?", (name,))
            else:
                self._db.execute("INSERT OR REPLACE INTO tombstone VALUES (?, ?)", (name, until))

    def _write_documents(self) -> None:
        for name, saved in self._documents.items():
            self._db.execute("DELETE FROM document WHERE name = ?", (name,))
            if saved is not None:
                self._db.execute(
                    "INSERT INTO document (name, saved) VALUES (?, ?)", (name, json.dumps(saved))
                )

    def _forget_staged(self) -> None:
        self._documents.clear()
        self._queues.clear()
        self._tasks.clear()
        self._tombstones.clear()


def _open_or_rebuild(path: Path) -> sqlite3.Connection:
    """Open the file; a damaged one is set aside, with a line in the log, and an empty one made."""
    try:
        return _open_database(path)
    except _DamagedError as error:
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
        _log.error("%s is damaged (%s): it is now %s, and an empty one is used", path, error, aside)
        return _open_database(path)


class _DamagedError(Exception):
    """The file is no SQLite database, or one with damaged pages."""


def _open_database(path: Path) -> sqlite3.Connection:
    """Open the file for this process alone: two services would dispatch every task twice.

    Only its owner may read it: tasks carry keys. Raises OSError with the reason, or _DamagedError.
    """
    db: sqlite3.Connection | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.1)
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.executescript(_SCHEMA)
        (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except (sqlite3.Error, OSError) as error:
        if db is not None:
            db.close()
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise _DamagedError(str(error)) from None
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise OSError(
                f"cannot open {path}: {error}; is another Cloud Tasks emulator using it?"
            ) from None
        raise OSError(f"cannot open {path}: {error}") from None
    if found != "ok":
        db.close()
        raise _DamagedError(found)
    return db
