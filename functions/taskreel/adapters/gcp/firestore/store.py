"""The store on Firestore: optimistic transactions, each written by one conditional commit."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from taskreel.adapters.gcp.error_advice import Service
from taskreel.adapters.gcp.firestore.buffer import (
    BufferedTransaction,
    Document,
    Key,
    Write,
    read_value,
    version_of,
)
from taskreel.adapters.gcp.firestore.query_target import QueryTarget
from taskreel.domain.errors import StoreAbsentError, StoreConflictError
from taskreel.ports import Changes, Collection, Increment, Query, Row, Transaction

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from taskreel.adapters.gcp.firestore.database import Database
    from taskreel.adapters.gcp.firestore.watch import DocumentWatcher

T = TypeVar("T")
V = TypeVar("V")

_FIRST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 1.0


class FirestoreStore:
    """`Store` over one Firestore database.

    It connects on first use, in the running event loop, and belongs to that loop. `emulator` is the
    host:port of Google's emulator, `endpoint` a host to use instead of Firestore's own.
    `conflict_seconds` limits how long a transaction is repeated because others change what it read.
    """

    def __init__(
        self,
        project: str,
        database: str = "(default)",
        *,
        emulator: str | None = None,
        endpoint: str | None = None,
        conflict_seconds: float = 20.0,
        interceptors: Sequence[ClientInterceptor] = (),
    ) -> None:
        self._project = project
        self._database_id = database
        self._service = Service(
            name="Firestore",
            api="firestore.googleapis.com",
            role="roles/datastore.user",
            provision="scripts/provision",
            emulator=emulator,
            endpoint=endpoint,
        )
        self._conflict_seconds = conflict_seconds
        self._interceptors = interceptors
        self._database: Database | None = None
        self._watcher: DocumentWatcher | None = None
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        return read_value(collection, await self._read_document((collection.name, id_)))

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        deadline = time.monotonic() + self._conflict_seconds
        contended: Key | None = None
        for attempt in itertools.count():
            async with self._lock_contended(contended):
                transaction = BufferedTransaction(self._read_document)
                result = await fn(transaction)
                contended = await self._commit_writes(transaction)
            if contended is None:
                return result

            longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
            wait = random.uniform(0, longest)  # noqa: S311 - jitter
            if time.monotonic() + wait > deadline:
                break
            await asyncio.sleep(wait)
        raise StoreConflictError(
            f"Firestore: other writers changed {'/'.join(contended or ())} again and again for "
            f"{self._conflict_seconds:g} s, so nothing was written. Try again later."
        )

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        if _matches_nothing(query):
            return []
        found = await self._connect().run_query(query)
        return [Row(query.collection, document.id, document.data) for document in found]

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        if _matches_nothing(query):
            return {"count": 0, **dict.fromkeys(total, 0)}
        return await self._connect().aggregate(query, total)

    async def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        async with aclosing(self._open_watcher().watch((collection.name, id_))) as documents:
            async for document in documents:
                yield read_value(collection, document)

    def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        target = QueryTarget(collection, field, value, since)
        return self._open_watcher().watch_changes(target)

    async def durable(self) -> None:
        """Nothing: a transaction returns when it is committed."""

    def _open_watcher(self) -> DocumentWatcher:
        if self._watcher is None:
            from taskreel.adapters.gcp.firestore.watch import DocumentWatcher

            self._watcher = DocumentWatcher(self._connect())
        return self._watcher

    async def close(self) -> None:
        if self._watcher is not None:
            await self._watcher.close()
            self._watcher = None
        if self._database is not None:
            await self._database.close()
            self._database = None

    def _connect(self) -> Database:
        if self._database is None:
            from taskreel.adapters.gcp.firestore.database import Database

            self._database = Database(
                self._service, self._project, self._database_id, self._interceptors
            )
        return self._database

    async def _read_document(self, key: Key) -> Document | None:
        return (await self._connect().get_documents([key])).get(key)

    def _lock_contended(self, contended: Key | None) -> AbstractAsyncContextManager[None]:
        """Run the transactions of this process that conflicted over one document one by one.

        They then compete with other processes only. Without the lock, fifty at once read the
        document about ten times each, with it three times.
        """
        if contended is None:
            return nullcontext()
        return self._locks.setdefault(contended, asyncio.Lock())

    async def _commit_writes(self, transaction: BufferedTransaction) -> Key | None:
        """Commit; None if the writes are stored, else a document that others changed first."""
        if not transaction.writes:
            return None
        from taskreel.adapters.gcp.firestore.database import CommitRefusedError

        try:
            await self._connect().commit(transaction.writes)
        except CommitRefusedError as refusal:
            return await self._explain_refusal(transaction, maybe_ours=refusal.maybe_ours)
        return None

    async def _explain_refusal(
        self, transaction: BufferedTransaction, *, maybe_ours: bool
    ) -> Key | None:
        """Find the cause of a refused commit by reading the documents that have a precondition.

        Firestore's status does not name the document, and not reliably the cause. Returns None if
        our own commit was carried out after all, the key of a changed document if the transaction
        should run again, and raises if a precondition fails that no second run would change.
        """
        conditional = [write for write in transaction.writes if write.condition is not None]
        now = await self._connect().get_documents([write.key for write in conditional])

        # The response to an earlier try was lost. If every conditional document is as this commit
        # would leave it, that try was carried out; repeating it would charge or count twice.
        is_written = all(_is_written(write, now.get(write.key)) for write in conditional)
        if maybe_ours and conditional and is_written:
            return None

        changed = [write for write in conditional if not _is_true(write, now.get(write.key))]
        reread = [write.key for write in changed if transaction.has_read(write.key)]
        if not reread:
            # Nothing that the function has read is different, so a second run would fail as well.
            for write in changed:
                _raise_failed_condition(write, now.get(write.key))
        return (reread or [write.key for write in transaction.writes])[0]


def _matches_nothing(query: Query[Any]) -> bool:
    """True for an `in` with no values, which Firestore refuses."""
    return any(operator == "in" and not value for _, operator, value in query.where)


def _is_true(write: Write, now: Document | None) -> bool:
    """True if the write's precondition is met by the document as it is now."""
    if isinstance(write.condition, str):
        return version_of(now) == write.condition
    return write.condition is None or write.condition == (now is not None)


def _is_written(write: Write, now: Document | None) -> bool:
    """True if the document looks as this write leaves it. Increments are not compared."""
    from taskreel.adapters.gcp.firestore.codec import round_trip

    if write.kind == "delete" or now is None:
        return write.kind == "delete" and now is None
    fields = {name: value for name, value in write.data.items() if not isinstance(value, Increment)}
    return all(now.data.get(name) == value for name, value in round_trip(fields).items())


def _raise_failed_condition(write: Write, now: Document | None) -> None:
    name = "/".join(write.key)
    if write.condition is True:
        raise StoreAbsentError(f"{name} does not exist")
    if write.condition is False and now is not None:
        raise StoreConflictError(f"{name} exists")
    raise StoreConflictError(f"{name} has changed since it was read")
