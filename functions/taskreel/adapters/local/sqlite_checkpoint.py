"""Checkpoints of the SQLite file: what was committed moves from its log into the file itself.

SQLite does that in a commit by itself, once the log has grown: the event loop would wait while tens
of megabytes are written and synchronised, every few seconds under load. Here a thread does it, on a
connection of its own. It takes no lock that a read or a commit waits for, so both go on meanwhile.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

log = logging.getLogger(__name__)

#: From the first commit after a checkpoint to the next checkpoint. A commit that does not wait for
#: the disk (`synchronous=NORMAL`) survives a power failure once it has been moved.
_SECONDS = 2.0
#: The log begins anew when a checkpoint has moved all of it, and commits go on meanwhile: a few
#: pages are left, for another round.
_MOST_ROUNDS = 10
#: Where a thread falls behind, a commit moves all of a log with so many pages of 4 kB.
COMMIT_MOVES_PAGES = 32_000


class Checkpoints:
    """Checkpoints of one file while it is written, by a thread that its first commit starts."""

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._thread: threading.Thread | None = None
        self._has_commits = threading.Event()
        self._is_closed = threading.Event()

    def note_commit(self) -> None:
        """Plan a checkpoint, unless one is planned."""
        if self._has_commits.is_set():
            return
        self._has_commits.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="sqlite", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread; the caller's connection, the last one, moves the rest."""
        self._is_closed.set()
        self._has_commits.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._has_commits.wait()
            if self._is_closed.wait(_SECONDS):
                return
            self._has_commits.clear()
            try:
                # Opened for each: a process without a free descriptor has one the next time.
                with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
                    move_commits(connection)
            except sqlite3.Error as error:
                # The log has everything: the next checkpoint moves it, or a commit does.
                log.warning(
                    "a checkpoint of the store failed; the next one moves the rest",
                    extra={"action": "checkpoint_failed", "error": str(error)},
                )


def move_commits(connection: sqlite3.Connection) -> bool:
    """Move what is committed from the log into the file; False if commits were faster.

    Once all of it is there, the next commit writes at the log's beginning again.
    """
    before = -1
    for _ in range(_MOST_ROUNDS):
        _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if pages <= before:
            return True
        before = pages
    return False
