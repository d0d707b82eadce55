"""A store whose process dies after transactions were applied and before they are committed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.local.sqlite_tables import Key, StoredDocument


class MortalStore(SqliteStore):
    """`SqliteStore` whose commits stand still from some transaction on, until its process dies.

    While they stand still the process goes on with everything that does not wait for a commit: what
    it lets out then, it has let out too early.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._applied_until_stall: int | None = None
        #: Set once commits stand still, and it matters: something is not committed.
        self.stalled = asyncio.Event()

    def stall_after(self, transactions: int) -> None:
        """Let that many more transactions be committed, and none that comes after them."""
        self._applied_until_stall = transactions

    def die(self) -> int:
        """Lose what is not committed, and start anew with the file; the number of documents lost.

        A caller that waits for a commit waits for ever, as in a process that is dead.
        """
        lost = len(self._dirty) if self.stalled.is_set() else 0
        if self.stalled.is_set():
            self._dirty.clear()
            self._waiting.clear()
            self._cache.clear()
        self._applied_until_stall = None
        self.stalled.clear()
        return lost

    def commit(self) -> None:
        if not self.stalled.is_set():
            super().commit()

    def _apply(self, written: Mapping[Key, StoredDocument]) -> None:
        if self._applied_until_stall is not None and not self.stalled.is_set():
            self._applied_until_stall -= 1
            if self._applied_until_stall < 0:
                super().commit()  # what came before is not lost
                self.stalled.set()
        super()._apply(written)
