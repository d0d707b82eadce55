"""What one run of a transaction has read and is going to write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from taskreel.domain.errors import StoreAbsentError, StoreConflictError
from taskreel.ports import Document, Increment

Key = tuple[str, str]
#: What must hold of a document when it is written: its version, or whether it exists. None: nothing.
Condition = str | bool | None


@dataclass(frozen=True, slots=True)
class Write:
    """One document's part of a commit."""

    key: Key
    kind: Literal["set", "update", "delete"]
    data: Mapping[str, Any]
    condition: Condition

    @property
    def increments(self) -> bool:
        """Whether writing it twice differs from writing it once."""
        return any(isinstance(value, Increment) for value in self.data.values())

    def then(self, kind: Literal["set", "update", "delete"], data: Mapping[str, Any]) -> Write:
        """This write followed by another of the same document, as one."""
        if kind != "update":
            return replace(self, kind=kind, data=dict(data))
        if self.kind == "delete":
            raise StoreAbsentError(f"{'/'.join(self.key)} is deleted earlier in this transaction")
        merged = {
            name: _added(self.data, name, value, whole=self.kind == "set")
            for name, value in data.items()
        }
        return replace(self, data={**self.data, **merged})


def _added(before: Mapping[str, Any], name: str, value: Any, *, whole: bool) -> Any:
    """A field's value after an earlier write in the same transaction; `whole` when that one wrote all fields."""
    if not isinstance(value, Increment) or (name not in before and not whole):
        return value
    earlier = before.get(name) or 0
    return (
        Increment(earlier.by + value.by) if isinstance(earlier, Increment) else earlier + value.by
    )


class BufferedTransaction:
    """`Transaction`: reads go out at once, writes wait here for the commit."""

    def __init__(self, read: Callable[[Key], Awaitable[Document | None]]) -> None:
        self._read = read
        self._documents: dict[Key, Document | None] = {}
        self._writes: dict[Key, Write] = {}

    async def get(self, collection: str, id_: str, /) -> Document | None:
        key = (collection, id_)
        if key not in self._documents:
            self._documents[key] = await self._read(key)
        return self._documents[key]

    def create(self, collection: str, id_: str, data: Mapping[str, Any], /) -> None:
        key = (collection, id_)
        earlier = self._writes.get(key)
        if self._documents.get(key) is not None or (
            earlier is not None and earlier.kind != "delete"
        ):
            raise StoreConflictError(f"{collection}/{id_} exists")
        self._put(key, "set", data, condition=False)

    def set(self, collection: str, id_: str, data: Mapping[str, Any], /) -> None:
        key = (collection, id_)
        self._put(key, "set", data, condition=self._condition(key))

    def update(self, collection: str, id_: str, changes: Mapping[str, Any], /) -> None:
        key = (collection, id_)
        condition = self._condition(key)
        if condition is False and key not in self._writes:
            raise StoreAbsentError(f"{collection}/{id_} does not exist")
        self._put(key, "update", changes, condition=True if condition is None else condition)

    def delete(self, collection: str, id_: str, /) -> None:
        key = (collection, id_)
        self._put(key, "delete", {}, condition=self._condition(key))

    @property
    def writes(self) -> list[Write]:
        """What to commit. Deleting what must not exist anyway is nothing to do."""
        return [
            write
            for write in self._writes.values()
            if (write.kind, write.condition) != ("delete", False)
        ]

    def has_read(self, key: Key) -> bool:
        """Whether the function has based anything on this document."""
        return key in self._documents

    def _condition(self, key: Key) -> Condition:
        if key not in self._documents:
            return None
        read = version_of(self._documents[key])
        return read if read is not None else False

    def _put(
        self,
        key: Key,
        kind: Literal["set", "update", "delete"],
        data: Mapping[str, Any],
        *,
        condition: Condition,
    ) -> None:
        earlier = self._writes.get(key)
        self._writes[key] = (
            Write(key, kind, dict(data), condition) if earlier is None else earlier.then(kind, data)
        )


def version_of(document: Document | None) -> str | None:
    """A document's version, or None for no document."""
    return None if document is None else document.version
