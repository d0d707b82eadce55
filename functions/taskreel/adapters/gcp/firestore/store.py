"""The store on Firestore: optimistic transactions in one conditional commit each."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from taskreel.adapters.gcp.error_advice import Service
from taskreel.adapters.gcp.firestore.buffer import BufferedTransaction, Key, Write, version_of
from taskreel.domain.errors import StoreAbsentError, StoreConflictError
from taskreel.ports import Document, Increment, Query, Transaction

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from taskreel.adapters.gcp.firestore.rpc import FirestoreRpc
    from taskreel.adapters.gcp.firestore.watch import Listener

T = TypeVar("T")

_FIRST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 1.0


class FirestoreStore:
    """`Store` over one Firestore database; `emulator` is the host:port of Google's emulator.

    It connects on first use, in the loop that uses it, and belongs to that loop. `conflict_seconds` bounds how long a
    transaction competes for documents that others keep changing.
    """

    def __init__(
        self,
        project: str,
        database: str = "(default)",
        *,
        emulator: str | None = None,
        conflict_seconds: float = 20.0,
        interceptors: Sequence[ClientInterceptor] = (),
    ) -> None:
        self._project = project
        self._database = database
        self._service = Service(
            name="Firestore",
            api="firestore.googleapis.com",
            role="roles/datastore.user",
            provision="scripts/provision",
            emulator=emulator,
        )
        self._conflict_seconds = conflict_seconds
        self._interceptors = interceptors
        self._connected: FirestoreRpc | None = None
        self._listening: Listener | None = None
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def get(self, collection: str, id_: str, /) -> Document | None:
        return await self._read((collection, id_))

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        until = time.monotonic() + self._conflict_seconds
        contended: Key | None = None
        for attempt in itertools.count():
            async with self._turn(contended):
                transaction = BufferedTransaction(self._read)
                result = await fn(transaction)
                contended = await self._commit(transaction)
            if contended is None:
                return result
            longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
            wait = random.uniform(0, longest)  # noqa: S311 - jitter
            if time.monotonic() + wait > until:
                break
            await asyncio.sleep(wait)
        raise StoreConflictError(
            f"Others kept changing {'/'.join(contended or ())} for {self._conflict_seconds:g} s. Try again later."
        )

    async def query(self, query: Query, /) -> list[Document]:
        if _matches_nothing(query):
            return []
        return await self._rpc().query(query)

    async def aggregate(
        self, query: Query, /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        if _matches_nothing(query):
            return {"count": 0, **dict.fromkeys(total, 0)}
        return await self._rpc().aggregate(query, total)

    def watch(self, collection: str, id_: str, /) -> AsyncIterator[Document | None]:
        return self._listener().watch((collection, id_))

    async def close(self) -> None:
        if self._listening is not None:
            await self._listening.close()
            self._listening = None
        if self._connected is not None:
            await self._connected.close()
            self._connected = None

    async def _read(self, key: Key) -> Document | None:
        return (await self._rpc().get([key])).get(key)

    def _turn(self, contended: Key | None) -> AbstractAsyncContextManager[None]:
        """Let those in this process who lost a race for one document run one after the other.

        They then race with other processes only: of fifty at once each reads three times, not ten.
        """
        if contended is None:
            return nullcontext()
        return self._turns.setdefault(contended, asyncio.Lock())

    async def _commit(self, transaction: BufferedTransaction) -> Key | None:
        """None once the writes stand, else a document for which others were faster."""
        if not transaction.writes:
            return None
        from taskreel.adapters.gcp.firestore.rpc import CommitRefusedError

        try:
            await self._rpc().commit(transaction.writes)
        except CommitRefusedError as refusal:
            return await self._after_refusal(transaction, perhaps_ours=refusal.perhaps_ours)
        return None

    async def _after_refusal(
        self, transaction: BufferedTransaction, *, perhaps_ours: bool
    ) -> Key | None:
        """Tell the causes of a refusal apart: the answer names none reliably, the documents do."""
        conditional = [write for write in transaction.writes if write.condition is not None]
        now = await self._rpc().get([write.key for write in conditional])
        if (
            perhaps_ours
            and conditional
            and all(_stands(write, now.get(write.key)) for write in conditional)
        ):
            return None
        changed = [write for write in conditional if not _holds(write, now.get(write.key))]
        reread = [write.key for write in changed if transaction.has_read(write.key)]
        if not reread:
            for write in changed:
                _refuse(write, now.get(write.key))
        return (reread or [write.key for write in transaction.writes])[0]

    def _rpc(self) -> FirestoreRpc:
        if self._connected is None:
            from taskreel.adapters.gcp.firestore.rpc import FirestoreRpc

            self._connected = FirestoreRpc(
                self._service, self._project, self._database, self._interceptors
            )
        return self._connected

    def _listener(self) -> Listener:
        if self._listening is None:
            from taskreel.adapters.gcp.firestore.watch import Listener

            self._listening = Listener(self._rpc())
        return self._listening


def _matches_nothing(query: Query) -> bool:
    """`in` nothing: Firestore refuses to be asked."""
    return any(operator == "in" and not value for _, operator, value in query.where)


def _holds(write: Write, now: Document | None) -> bool:
    """Whether a write's condition holds of the document as it is now."""
    if isinstance(write.condition, str):
        return version_of(now) == write.condition
    return write.condition is None or write.condition == (now is not None)


def _stands(write: Write, now: Document | None) -> bool:
    """Whether the document looks as this write leaves it: our own commit, whose answer was lost."""
    from taskreel.adapters.gcp.firestore.codec import as_stored

    if write.kind == "delete" or now is None:
        return write.kind == "delete" and now is None
    plain = as_stored(
        {name: value for name, value in write.data.items() if not isinstance(value, Increment)}
    )
    return all(now.data.get(name) == value for name, value in plain.items())


def _refuse(write: Write, now: Document | None) -> None:
    name = "/".join(write.key)
    if write.condition is True:
        raise StoreAbsentError(f"{name} does not exist")
    if write.condition is False and now is not None:
        raise StoreConflictError(f"{name} exists")
    raise StoreConflictError(f"{name} has changed since it was read")
