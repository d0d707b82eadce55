"""A store whose unfinished calls are counted: virtual time must not pass while one is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from taskreel.ports import Changes, Collection, Query, Row, Store, Transaction

T = TypeVar("T")
V = TypeVar("V")


class StoreInFlight:
    """`Store` that counts the calls that have not returned; all is done by `inner`."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.calls = 0
        self._returned = asyncio.Event()

    async def wait(self) -> None:
        """Return after the next call has returned."""
        self._returned.clear()
        if self.calls:
            await self._returned.wait()

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        return await self._count(lambda: self.inner.get(collection, id_))

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        return await self._count(lambda: self.inner.get_all(collection, ids))

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        return await self._count(lambda: self.inner.transaction(fn))

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        return await self._count(lambda: self.inner.query(query))

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        return await self._count(lambda: self.inner.aggregate(query, total=total))

    def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        return self.inner.watch(collection, id_)

    def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        return self.inner.watch_changes(collection, field, value, since=since)

    async def durable(self) -> None:
        await self._count(self.inner.durable)

    async def close(self) -> None:
        await self.inner.close()

    async def _count(self, call: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        try:
            return await call()
        finally:
            self.calls -= 1
            self._returned.set()
