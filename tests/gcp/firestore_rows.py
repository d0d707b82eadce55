"""Rows in Firestore, as the tests of its store write and read them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
from grpc.aio import UnaryUnaryClientInterceptor

from contract.rows import ROWS, put_row
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.ports import Increment, Transaction

from .calls import method_name

NewStore = Callable[..., FirestoreStore]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


async def put(store: FirestoreStore, id_: str, **data: Any) -> None:
    await put_row(store, id_, data)


async def read(store: FirestoreStore, id_: str) -> dict[str, Any] | None:
    document = await store.get(ROWS, id_)
    return None if document is None else dict(document)


async def add(store: FirestoreStore, id_: str, by: int = 1) -> int:
    """Read a number, write it increased, return it."""

    async def write(tx: Transaction) -> int:
        document = await tx.get(ROWS, id_)
        assert document is not None
        number = int(document["n"]) + by
        tx.update(ROWS, id_, {"n": number})
        return number

    return await store.transaction(write)


async def increase(store: FirestoreStore, id_: str, by: int = 1) -> None:
    """Add to a number without reading it."""

    async def write(tx: Transaction) -> None:
        tx.update(ROWS, id_, {"n": Increment(by)})

    await store.transaction(write)


async def create(store: FirestoreStore, id_: str, **data: Any) -> None:
    async def write(tx: Transaction) -> None:
        tx.create(ROWS, id_, data)

    await store.transaction(write)


def of_any_row(collection: str, _data: Any) -> bool:
    return collection == "rows"


class ChangeBefore(UnaryUnaryClientInterceptor):
    """Awaits `change` before the first commits are sent: others are faster."""

    def __init__(self, change: Callable[[], Any], *, times: int = 1) -> None:
        self._change = change
        self._times = times
        self.commits: list[list[str]] = []
        self.began = asyncio.Event()

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if method_name(details) == "Commit":
            names = [write.update.name or write.delete for write in request.writes]
            self.began.set()
            self.commits.append(sorted(name.rpartition("/")[2] for name in names))
            if self._times:
                self._times -= 1
                await self._change()
        return await continuation(details, request)
