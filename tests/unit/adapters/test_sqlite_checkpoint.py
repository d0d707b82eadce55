"""Checkpoints of the SQLite store: a thread makes them, no commit does, the log stays small."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taskreel.adapters.local import sqlite_checkpoint
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.local.sqlite_checkpoint import move_commits
from taskreel.ports import Collection, Transaction

ROWS: Collection[Mapping[str, Any]] = Collection("rows", dict, dict)
MEGABYTE = 1 << 20
FAR_SECONDS = 3600.0


async def put_megabyte(store: SqliteStore, id_: str) -> None:
    async def write(tx: Transaction) -> None:
        tx.set(ROWS, id_, {"text": id_ * MEGABYTE})

    await store.transaction(write)
    await store.durable()


def list_moved(path: Path) -> set[str]:
    """The rows that the file has without its log."""
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        try:
            return {id_ for (id_,) in connection.execute("SELECT id FROM rows")}
        except sqlite3.OperationalError:  # no such table: its creation is in the log too
            return set()


def log_size(path: Path) -> int:
    """The bytes of the log; 0 without one."""
    log_file = Path(f"{path}-wal")
    return log_file.stat().st_size if log_file.exists() else 0


async def test_commits_leave_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand pages: SQLite's own limits of a log are a thousand, and were eight here."""
    monkeypatch.setattr(sqlite_checkpoint, "_SECONDS", FAR_SECONDS)
    store = SqliteStore(path := tmp_path / "a.db")
    for number in range(40):
        await put_megabyte(store, chr(ord("A") + number))
    assert log_size(path) > 40 * MEGABYTE
    assert list_moved(path) == set()
    await store.close()
    assert len(list_moved(path)) == 40
    assert log_size(path) == 0


async def test_a_log_that_nothing_moves_is_bounded_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_checkpoint, "_SECONDS", FAR_SECONDS)
    monkeypatch.setattr("taskreel.adapters.local.sqlite_file.COMMIT_MOVES_PAGES", 1000)
    store = SqliteStore(path := tmp_path / "a.db")
    for number in range(20):
        await put_megabyte(store, chr(ord("A") + number))
    assert log_size(path) < 6 * MEGABYTE
    await store.close()


async def test_a_thread_moves_what_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of its own, once for each time in which something was committed."""
    moved, threads = threading.Event(), []

    def move(connection: sqlite3.Connection) -> bool:
        threads.append(threading.current_thread())
        try:
            return move_commits(connection)
        finally:
            moved.set()

    monkeypatch.setattr(sqlite_checkpoint, "_SECONDS", 0.0)
    monkeypatch.setattr(sqlite_checkpoint, "move_commits", move)
    store = SqliteStore(path := tmp_path / "a.db")
    for id_ in "ab":
        moved.clear()
        await put_megabyte(store, id_)
        assert await asyncio.to_thread(moved.wait, 30)
        assert id_ in list_moved(path)
    assert len(set(threads)) == 1
    assert threading.main_thread() not in threads
    await store.close()
    assert not threads[0].is_alive()


async def test_after_a_checkpoint_the_log_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_checkpoint, "_SECONDS", FAR_SECONDS)
    store = SqliteStore(path := tmp_path / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for id_ in "abcdefgh":
            await put_megabyte(store, id_)
            assert move_commits(connection)
    assert log_size(path) < 2 * MEGABYTE
    await store.close()


class Pragmas:
    """A connection that answers each checkpoint with the next number of the log's pages."""

    def __init__(self, *pages: int) -> None:
        self._pages = iter(pages)

    def execute(self, sql: str) -> Pragmas:
        assert sql == "PRAGMA wal_checkpoint(PASSIVE)"
        return self

    def fetchone(self) -> tuple[int, int, int]:
        pages = next(self._pages)
        return 0, pages, pages


@pytest.mark.parametrize("pages", [(0, 0), (900, 900), (900, 950, 952, 952), (900, 950, 4)])
def test_a_checkpoint_ends_when_no_commit_has_come_during_its_last_round(
    pages: tuple[int, ...],
) -> None:
    """A log that is smaller than before has begun anew: all of the former was moved."""
    connection = Pragmas(*pages)
    assert move_commits(connection)  # type: ignore[arg-type]
    assert not list(connection._pages)


def test_commits_that_never_pause_leave_a_part_to_the_next_checkpoint() -> None:
    assert not move_commits(Pragmas(*range(100)))  # type: ignore[arg-type]


async def test_a_checkpoint_that_fails_is_logged_and_the_next_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    moved, calls = threading.Event(), []

    def move(connection: sqlite3.Connection) -> bool:
        calls.append(connection)
        try:
            if len(calls) == 1:
                raise sqlite3.OperationalError("disk I/O error")
            return move_commits(connection)
        finally:
            moved.set()

    monkeypatch.setattr(sqlite_checkpoint, "_SECONDS", 0.0)
    monkeypatch.setattr(sqlite_checkpoint, "move_commits", move)
    store = SqliteStore(path := tmp_path / "a.db")
    with caplog.at_level(logging.WARNING):
        for id_ in "ab":
            moved.clear()
            await put_megabyte(store, id_)
            assert await asyncio.to_thread(moved.wait, 30)
    assert list_moved(path) == {"a", "b"}
    assert [record.action for record in caplog.records] == ["checkpoint_failed"]  # type: ignore[attr-defined]
    await store.close()


async def test_a_thread_that_cannot_open_the_file_opens_it_for_the_next_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process has no free descriptor for a moment: the thread must live on."""
    tried, calls = threading.Event(), []

    def connect(path: Path, **options: Any) -> sqlite3.Connection:
        calls.append(path)
        if len(calls) == 1:
            tried.set()
            raise sqlite3.OperationalError("unable to open database file")
        opened: sqlite3.Connection = sqlite3.connect(path, **options)
        return opened

    def move(connection: sqlite3.Connection) -> bool:
        try:
            return move_commits(connection)
        finally:
            tried.set()

    # The store itself has a connection of its own.
    other = SimpleNamespace(connect=connect, Error=sqlite3.Error)
    monkeypatch.setattr(sqlite_checkpoint, "sqlite3", other)
    monkeypatch.setattr(sqlite_checkpoint, "_SECONDS", 0.0)
    monkeypatch.setattr(sqlite_checkpoint, "move_commits", move)
    store = SqliteStore(path := tmp_path / "a.db")
    with caplog.at_level(logging.WARNING):
        for id_ in "ab":
            tried.clear()
            await put_megabyte(store, id_)
            assert await asyncio.to_thread(tried.wait, 30)
    assert list_moved(path) == {"a", "b"}
    assert [record.action for record in caplog.records] == ["checkpoint_failed"]  # type: ignore[attr-defined]
    await store.close()
