"""A watched query: the documents with one value of a field, newest changes first seen as a whole.

The server sends changed documents one by one, and then a read time: everything that was committed
until then has been sent. Only at such a moment are the documents reported, in the order of their
commits, so that a reader which has one of them has all earlier ones too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from taskreel.adapters.gcp.firestore.buffer import Document
from taskreel.domain.errors import StoreError
from taskreel.ports import COMMIT_DELAY, Changes, Collection, Condition, Query, Row

#: Nanoseconds.
_READ_TIME_ERROR = 10**9
_FEW = 64


class QueryTarget:
    """One query of a Listen stream, and what it has sent since it was last read."""

    def __init__(
        self,
        collection: Collection[Any],
        field: str,
        value: str,
        since: datetime,
        further: tuple[Condition, ...] = (),
    ) -> None:
        self.collection = collection
        self.field = field
        self.value = value
        self._since = since
        self._further = further
        #: Everything that was committed up to here has been reported.
        self._position = 0
        #: Of each document that the query may send again: the commit that was reported last, and
        #: its `updatedAt`.
        self._reported: dict[str, tuple[int, datetime]] = {}
        #: The size of `_reported` after it was last cleared of what is no longer sent.
        self._remembered = _FEW
        self._arrived: dict[str, Document] = {}
        self._ready: list[Document] = []
        self._is_current = False
        self._has_news = False
        self._error: StoreError | None = None
        self._woken = asyncio.Event()

    @property
    def query(self) -> Query[Any]:
        """The query as a stream that begins now has to ask it: without what is long reported."""
        return Query(
            collection=self.collection,
            where=(
                (self.field, "==", self.value),
                *self._further,
                ("updatedAt", ">=", self._since),
            ),
            order=(("updatedAt", "asc"),),
        )

    def begin_stream(self) -> None:
        """Expect all matching documents again, from a new stream or after a RESET."""
        self._is_current = False
        self._arrived = {}

    def add(self, document: Document) -> None:
        """Take a changed document; it is reported at the next read time."""
        self._arrived[document.id] = document

    def set_current(self) -> None:
        """Note that the server has sent all there is."""
        self._is_current = True

    def report(self, read_time: int) -> None:
        """Report what has arrived: it is complete up to this time, in nanoseconds since 1970."""
        if not self._is_current:
            return
        # Firestore sends all matching documents again after a RESET and on a new stream.
        news = [one for one in self._arrived.values() if self._is_new(one)]
        self._arrived = {}
        is_first = self._position == 0
        if is_first:
            # The emulator's read times are a little late, so that a commit just before one can be
            # sent after it. Beginning earlier reports a document once more, and misses none.
            self._position = read_time - _READ_TIME_ERROR
        if news or is_first:
            self._ready += sorted(news, key=lambda one: (one.commit_number, one.id))
            self._note_reported(news)
            self._has_news = True
            self._woken.set()

    def _is_new(self, document: Document) -> bool:
        known = self._reported.get(document.id)
        return known is None or known[0] < document.commit_number

    def _note_reported(self, news: list[Document]) -> None:
        for document in news:
            self._position = max(self._position, document.commit_number)
            updated_at: datetime = document.data["updatedAt"]  # the query selects by it
            self._reported[document.id] = document.commit_number, updated_at
            self._since = max(self._since, updated_at - COMMIT_DELAY)
        if len(self._reported) >= 2 * self._remembered:
            self._reported = {
                id_: known for id_, known in self._reported.items() if known[1] >= self._since
            }
            self._remembered = max(_FEW, len(self._reported))

    def fail(self, error: StoreError) -> None:
        """End the watch with `error`."""
        self._error = error
        self._woken.set()

    async def follow(self) -> AsyncIterator[Changes[Any]]:
        """Yield what is reported; raises the error of a failed target."""
        while True:
            if self._error is not None:
                raise self._error
            if self._has_news:
                self._has_news = False
                documents, self._ready = self._ready, []
                changes = [
                    Row(self.collection, one.id, one.data, one.commit_number) for one in documents
                ]
                yield Changes(changes, self._position)
                continue
            self._woken.clear()
            await self._woken.wait()
