"""A store that encrypts the protected fields of what passes through it.

It stands at the store's edge: use cases see values, and the store behind it sees documents whose
protected fields are one encrypted text. Documents from before encryption was turned on are read as
they are, and are encrypted when they are next written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Any, NoReturn, TypeVar, cast

from msgspec.structs import replace

from taskreel.adapters.encryption.data_keys import DataKeys, MissingDataKeyError
from taskreel.adapters.encryption.protected_fields import PROTECTED_FIELDS
from taskreel.adapters.encryption.sealed_fields import find_key_id, seal, split_document, unseal
from taskreel.domain.errors import StoreError
from taskreel.ports import (
    Changes,
    Collection,
    Increment,
    Query,
    Row,
    Store,
    Transaction,
    select_fields,
    undecoded_collection,
)
from taskreel.ports.store import SEALED

T = TypeVar("T")
V = TypeVar("V")


class EncryptedStore:
    """`Store` over another one; `protected` are the field names by collection."""

    def __init__(
        self,
        inner: Store,
        keys: DataKeys,
        protected: Mapping[str, frozenset[str]] = PROTECTED_FIELDS,
    ) -> None:
        self.inner = inner
        self.keys = keys
        self._protected = protected

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        return await self._call_with_keys(lambda: self.inner.get(self.bind(collection, id_), id_))

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        if collection.name not in self._protected:
            return await self.inner.get_all(collection, ids)
        documents = undecoded_collection(collection.name)
        found = await self.inner.get_all(documents, ids)

        async def read(id_: str, data: Mapping[str, Any]) -> V:
            return self.bind(collection, id_).read(id_, data)

        return [
            None if data is None else await self._call_with_keys(partial(read, id_, data))
            for id_, data in zip(ids, found, strict=True)
        ]

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        await self.keys.open_current()
        return await self._call_with_keys(
            lambda: self.inner.transaction(lambda tx: fn(_SealingTransaction(tx, self)))
        )

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        protected, fields = self.find_protected(query.collection.name), query.fields
        if fields and not protected.isdisjoint(name.partition(".")[0] for name in fields):
            # A part of a sealed text cannot be read alone.
            rows = await self.query(replace(query, fields=None))
            return [replace(row, data=select_fields(row.data, fields)) for row in rows]
        return [await self._open_row(row) for row in await self.inner.query(query)]

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        return await self.inner.aggregate(query, total=total)

    async def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        while True:
            # The port says iterator; every store's is a generator, which is closed at once.
            watched = cast("Any", self.inner.watch(self.bind(collection, id_), id_))
            async with aclosing(watched) as values:
                try:
                    async for value in values:
                        yield value
                except MissingDataKeyError as missing:
                    await self.keys.load(missing.key_id)
                else:
                    return

    async def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        watched = self.inner.watch_changes(collection, field, value, since=since)
        async with aclosing(cast("Any", watched)) as all_changes:
            async for changes in all_changes:
                documents = [await self._open_row(row) for row in changes.documents]
                yield Changes(documents, changes.position)

    async def durable(self) -> None:
        await self.inner.durable()

    async def close(self) -> None:
        """Disconnect from the store and from the key services."""
        await self.inner.close()
        await self.keys.close()

    def find_protected(self, collection: str) -> frozenset[str]:
        """The protected fields of a collection."""
        return self._protected.get(collection, frozenset())

    def bind(self, collection: Collection[V], id_: str) -> Collection[V]:
        """The collection with the codec of one document, on whose id the encryption depends."""
        name = collection.name
        if name not in self._protected:
            return collection
        return replace(
            collection,
            encode=lambda value: self.seal_document(name, id_, collection.encode(value)),
            decode=lambda data: collection.decode(self._open_document(name, id_, data)),
        )

    def seal_document(
        self, collection: str, id_: str, data: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Encrypt the protected fields of a document."""
        rest, content = split_document(data, self.find_protected(collection))
        if not content:
            return rest
        key_id, data_key = self.keys.find_current()
        return {**rest, SEALED: seal(key_id, data_key, (collection, id_), content)}

    def _open_document(
        self, collection: str, id_: str, data: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Decrypt a document. Raises MissingDataKeyError, and ValueError for a changed one."""
        if SEALED not in data:
            return data
        rest, _ = split_document(data, ())
        sealed = data[SEALED]
        key = self.keys.find(find_key_id(sealed))
        return {**rest, **unseal(key, (collection, id_), sealed)}

    async def _open_row(self, row: Row[V]) -> Row[V]:
        """A row with its document decrypted; a changed one says so when its value is read."""
        collection = row.collection
        if collection.name not in self._protected or SEALED not in row.data:
            return row

        async def open_it() -> Mapping[str, Any]:
            return self._open_document(collection.name, row.id, row.data)

        try:
            return replace(row, data=await self._call_with_keys(open_it))
        except ValueError as error:
            found = error

            def refuse(_data: Mapping[str, Any]) -> NoReturn:
                raise found

            return replace(row, collection=replace(collection, decode=refuse))

    async def _call_with_keys(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, again whenever it needs a data key that has to be loaded first."""
        while True:
            try:
                return await call()
            except MissingDataKeyError as missing:
                await self.keys.load(missing.key_id)


class _SealingTransaction:
    """`Transaction` that encrypts what it writes and decrypts what it reads."""

    def __init__(self, tx: Transaction, store: EncryptedStore) -> None:
        self._tx = tx
        self._store = store
        #: The values that it has read or written: a part of a sealed text is changed by these.
        self._seen: dict[tuple[str, str], tuple[Collection[Any], Any]] = {}
        #: What it has changed of them alone since: a write of the whole document has it, too.
        self._changed: dict[tuple[str, str], dict[str, Any]] = {}

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        value = await self._tx.get(self._store.bind(collection, id_), id_)
        if value is not None:
            self._seen[collection.name, id_] = (collection, value)
        return value

    def create(
        self, collection: Collection[V], id_: str, value: V, /, *, is_new: bool = False
    ) -> None:
        self._note_whole(collection, id_, value)
        self._tx.create(self._store.bind(collection, id_), id_, value, is_new=is_new)

    def set(self, collection: Collection[V], id_: str, value: V, /) -> None:
        self._note_whole(collection, id_, value)
        self._tx.set(self._store.bind(collection, id_), id_, value)

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        name = collection.name
        protected = self._store.find_protected(name)
        earlier = self._changed.get((name, id_), {})
        if protected.isdisjoint(changes):
            if protected:
                self._changed[name, id_] = {**earlier, **changes}
            self._tx.update(self._store.bind(collection, id_), id_, changes)
            return
        seen = self._seen.get((name, id_))
        every = {**earlier, **changes}
        if seen is None or any(isinstance(value, Increment) for value in every.values()):
            raise StoreError(
                f"{name}/{id_}: {', '.join(sorted(protected & changes.keys()))} cannot be changed "
                "alone: these fields are encrypted as one. Read the document in the same "
                "transaction."
            )
        # The whole document: one from before encryption has these fields in clear as well.
        whole = {**seen[0].encode(seen[1]), **every}
        documents = undecoded_collection(name)
        self.set(documents, id_, whole)

    def _note_whole(self, collection: Collection[V], id_: str, value: V) -> None:
        self._seen[collection.name, id_] = (collection, value)
        self._changed.pop((collection.name, id_), None)

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        self._seen.pop((collection.name, id_), None)
        self._changed.pop((collection.name, id_), None)
        self._tx.delete(collection, id_)
