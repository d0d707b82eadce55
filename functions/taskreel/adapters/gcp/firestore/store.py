"""The store on Firestore: optimistic transactions, written in groups by conditional commits."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from taskreel.adapters.gcp.error_advice import Service
from taskreel.adapters.gcp.firestore.buffer import Key, read_value
from taskreel.adapters.gcp.firestore.query_target import QueryTarget
from taskreel.domain.errors import StoreContendedError
from taskreel.ports import Changes, Collection, Query, Row, Transaction, select_fields

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from taskreel.adapters.gcp.firestore.database import Database
    from taskreel.adapters.gcp.firestore.listen_stream import DocumentWatcher
    from taskreel.adapters.gcp.firestore.transaction_groups import TransactionGroups

T = TypeVar("T")
V = TypeVar("V")

_FIRST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 1.0


class FirestoreStore:
    """`Store` over one Firestore database.

    It connects on first use, in the running event loop, and belongs to that loop. `emulator` is the
    host:port of Google's emulator, `endpoint` a host to use instead of Firestore's own.
    `conflict_seconds` limits how long a transaction is repeated because others change what it read.
    `is_leased` tells by collection and content if no other writer is expected of a document that
    this process has just written; then its next write needs no read. If others do, that is a
    conflict like any other. With `type_shards` the indexes of job types are sharded, into so many
    parts (sharded_indexes.py).
    """

    def __init__(  # noqa: PLR0913 - all but two by name
        self,
        project: str,
        database: str = "(default)",
        *,
        emulator: str | None = None,
        endpoint: str | None = None,
        conflict_seconds: float = 20.0,
        is_leased: Callable[[str, Mapping[str, Any]], bool] = lambda _collection, _data: False,
        type_shards: int = 0,
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
        self._is_leased = is_leased
        self._type_shards = type_shards
        self._groups: TransactionGroups | None = None

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        key = (collection.name, id_)
        found = await self._connect().get_documents([key])
        return read_value(collection, found.get(key))

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        # One call, whose documents are of one moment: each is as it was read until the last one is
        # (`read_time` of BatchGetDocumentsResponse).
        keys = [(collection.name, id_) for id_ in ids]
        found = await self._connect().get_documents(keys)
        return [read_value(collection, found.get(key)) for key in keys]

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        from taskreel.adapters.gcp.firestore.group_member import Ended

        deadline = time.monotonic() + self._conflict_seconds
        contended: Key
        prefetch: AbstractSet[Key] = frozenset()
        for attempt in itertools.count():
            outcome = await self._open_groups().run(fn, prefetch)
            if isinstance(outcome, Ended):
                return outcome.value

            contended, prefetch = outcome.key, outcome.keys
            longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
            wait = random.uniform(0, longest)  # noqa: S311 - jitter
            if time.monotonic() + wait > deadline:
                break
            await asyncio.sleep(wait)
        raise StoreContendedError(
            f"Firestore: other writers changed {'/'.join(contended)} again and again for "
            f"{self._conflict_seconds:g} s, so nothing was written. Try again later."
        )

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        if _matches_nothing(query):
            return []
        if self._type_shards:
            from taskreel.adapters.gcp.firestore import sharded_indexes

            if sharded_indexes.is_sharded(query):
                return await sharded_indexes.read_rows(query, self._type_shards, self._query)
        return await self._query(query)

    async def _query(self, query: Query[V]) -> list[Row[V]]:
        found = await self._connect().run_query(query)
        return [
            Row(
                query.collection,
                one.id,
                one.data if query.fields is None else select_fields(one.data, query.fields),
                one.commit_number,
            )
            for one in found
        ]

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        if _matches_nothing(query):
            return {"count": 0, **dict.fromkeys(total, 0)}
        if self._type_shards:
            from taskreel.adapters.gcp.firestore import sharded_indexes

            if sharded_indexes.is_sharded(query):
                database = self._connect()
                return await sharded_indexes.add_aggregates(
                    query, self._type_shards, lambda part: database.aggregate(part, total)
                )
        return await self._connect().aggregate(query, total)

    async def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        async with aclosing(self._open_watcher().watch((collection.name, id_))) as documents:
            async for document in documents:
                yield read_value(collection, document)

    def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        target = QueryTarget(collection, field, value, since)
        if self._type_shards:
            from taskreel.adapters.gcp.firestore.sharded_indexes import condition_of, is_sharded

            if is_sharded(target.query):
                shards = condition_of(self._type_shards)
                target = QueryTarget(collection, field, value, since, (shards,))
        return self._open_watcher().watch_changes(target)

    async def durable(self) -> None:
        """Nothing: a transaction returns when it is committed."""

    def _open_watcher(self) -> DocumentWatcher:
        if self._watcher is None:
            from taskreel.adapters.gcp.firestore.listen_stream import DocumentWatcher

            self._watcher = DocumentWatcher(self._connect())
        return self._watcher

    async def close(self) -> None:
        if self._watcher is not None:
            await self._watcher.close()
            self._watcher = None
        if self._groups is not None:
            await self._groups.close()
            self._groups = None
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

    def _open_groups(self) -> TransactionGroups:
        if self._groups is None:
            from taskreel.adapters.gcp.firestore.transaction_groups import TransactionGroups

            self._groups = TransactionGroups(self._connect(), self._is_leased)
        return self._groups


def _matches_nothing(query: Query[Any]) -> bool:
    """True for an `in` with no values, which Firestore refuses."""
    return any(operator == "in" and not value for _, operator, value in query.where)
