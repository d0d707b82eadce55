"""The reads and the buffered writes of one run of a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from taskreel.domain.errors import StoreAbsentError, StoreConflictError
from taskreel.ports import Collection, Increment

V = TypeVar("V")
Key = tuple[str, str]
WriteKind = Literal["set", "update", "delete"]
#: The precondition of a write: the document's version, or its existence (True) or absence (False).
#: None: the write has no precondition.
Condition = str | bool | None


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document: JSON types and aware datetimes. Each write gives it another version."""

    collection: str
    id: str
    data: dict[str, Any]
    version: str

    @property
    def commit_number(self) -> int:
        """The version as a number: nanoseconds since 1970. A later commit has a greater one."""
        return int(self.version.replace(".", ""))


@dataclass(frozen=True, slots=True)
class Write:
    """The part of a commit that changes one document."""

    key: Key
    kind: WriteKind
    data: Mapping[str, Any]
    condition: Condition

    @property
    def has_increments(self) -> bool:
        """True if writing it twice differs from writing it once."""
        return any(isinstance(value, Increment) for value in self.data.values())

    @property
    def is_carried_out_once(self) -> bool:
        """True for a condition of absence or of a version: the commit itself ends both."""
        return self.condition is False or isinstance(self.condition, str)

    def merge(self, kind: WriteKind, data: Mapping[str, Any]) -> Write:
        """Combine this write with a later one of the same document into one.

        The condition stays the one of the first write: it is about the document before both.
        """
        if kind != "update":
            return replace(self, kind=kind, data=dict(data))
        if self.kind == "delete":
            raise StoreAbsentError(f"{'/'.join(self.key)} is deleted earlier in this transaction")
        merged = {
            name: _merge_value(self.data, name, value, is_whole=self.kind == "set")
            for name, value in data.items()
        }
        return replace(self, data={**self.data, **merged})


def _merge_value(before: Mapping[str, Any], name: str, value: Any, *, is_whole: bool) -> Any:
    """A field's value after an earlier write; `is_whole` if that one wrote every field."""
    if not isinstance(value, Increment) or (name not in before and not is_whole):
        return value
    earlier = before.get(name) or 0
    if isinstance(earlier, Increment):
        return Increment(earlier.by + value.by)
    return earlier + value.by


class BufferedTransaction:
    """`Transaction` whose reads are sent at once and whose writes wait for the commit.

    A document that was read is written under the condition that it is still as it was read. That
    is what makes the transaction optimistic: a fence or a balance that was checked here is still
    true when the writes are carried out, or none of them is.
    """

    def __init__(self, read: Callable[[Key], Awaitable[Document | None]]) -> None:
        self._read = read
        self._documents: dict[Key, Document | None] = {}
        self._writes: dict[Key, Write] = {}

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        key = (collection.name, id_)
        if key not in self._documents:
            self._documents[key] = await self._read(key)
        return read_value(collection, self._documents[key])

    def create(
        self,
        collection: Collection[V],
        id_: str,
        value: V,
        /,
        *,
        is_new: bool = False,  # noqa: ARG002 - the condition of the commit is no read
    ) -> None:
        key = (collection.name, id_)
        earlier = self._writes.get(key)
        was_read = self._documents.get(key) is not None
        was_written = earlier is not None and earlier.kind != "delete"
        if was_read or was_written:
            raise StoreConflictError(f"{collection.name}/{id_} exists")
        self._add_write(key, "set", collection.encode(value), condition=False)

    def set(self, collection: Collection[V], id_: str, value: V, /) -> None:
        key = (collection.name, id_)
        self._add_write(key, "set", collection.encode(value), condition=self._condition_of(key))

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        key = (collection.name, id_)
        condition = self._condition_of(key)
        if condition is False and key not in self._writes:
            raise StoreAbsentError(f"{collection.name}/{id_} does not exist")
        # An unread document only has to exist, so an increment needs no read.
        self._add_write(key, "update", changes, condition=True if condition is None else condition)

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        key = (collection.name, id_)
        self._add_write(key, "delete", {}, condition=self._condition_of(key))

    @property
    def writes(self) -> list[Write]:
        """The writes to commit, without the deletion of a document that must be absent anyway."""
        return [
            write
            for write in self._writes.values()
            if (write.kind, write.condition) != ("delete", False)
        ]

    @property
    def reads(self) -> AbstractSet[Key]:
        """The documents that the transaction's function may depend on."""
        return self._documents.keys()

    def _condition_of(self, key: Key) -> Condition:
        if key not in self._documents:
            return None
        version = version_of(self._documents[key])
        return version if version is not None else False

    def _add_write(
        self, key: Key, kind: WriteKind, data: Mapping[str, Any], *, condition: Condition
    ) -> None:
        earlier = self._writes.get(key)
        if earlier is None:
            self._writes[key] = Write(key, kind, dict(data), condition)
        else:
            self._writes[key] = earlier.merge(kind, data)


def read_value(collection: Collection[V], document: Document | None) -> V | None:
    """The value in a document; None if there is no document."""
    return None if document is None else collection.read(document.id, document.data)


def version_of(document: Document | None) -> str | None:
    """A document's version, or None if there is no document."""
    return None if document is None else document.version
