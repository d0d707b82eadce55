"""The documents of one group of transactions, as its members so far leave them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from taskreel.adapters.gcp.firestore.buffer import Document, Key, Write, version_of
from taskreel.adapters.gcp.firestore.codec import decode_fields, encode_write
from taskreel.domain.errors import StoreAbsentError, StoreConflictError, StoreError
from taskreel.ports import Increment

#: The most writes, with their increments, and the most bytes in the commit of several members.
#: Firestore takes 500 writes and 10 MiB, its emulator 4 MiB. A single transaction may be larger:
#: Firestore decides.
MAX_COMMIT_WRITES = 500
MAX_COMMIT_BYTES = 3 * 2**20

#: The version of a document that only a write of this group has made. Nothing compares it.
_UNCOMMITTED = "uncommitted"


class UnreadError(BaseException):
    """A member read a document that the group does not have yet: it runs again with it.

    Not an Exception, so that no `except Exception` of a transaction's function catches it.
    """


class PostponedError(Exception):
    """A member's writes cannot join this commit; it belongs to the next one."""


@dataclass(frozen=True, slots=True)
class EncodedWrite:
    """A write and its protobuf message. An error of encoding is the error of its member."""

    write: Write
    message: Any
    #: The writes that Firestore counts: each increment is one.
    count: int
    #: The size of the message.
    bytes: int

    def apply_to(self, base: Document | None) -> Document | None:
        """The document after this write, as reading it back would give it."""
        write = self.write
        if write.kind == "delete":
            return None
        fields = decode_fields(self.message.update.fields)
        if write.kind == "update":
            before: Mapping[str, Any] = {} if base is None else base.data
            increments = {
                name: (before.get(name) or 0) + value.by
                for name, value in write.data.items()
                if isinstance(value, Increment)
            }
            fields = {**before, **fields, **increments}
        return Document(*write.key, fields, version_of(base) or _UNCOMMITTED)


@dataclass(frozen=True, slots=True)
class KnownResult:
    """A document as a commit of this process wrote it."""

    encoded: EncodedWrite
    base: Document | None
    version: str

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields; those of a nested value may not yet be as reading them back gives them."""
        before = self.base.data if self.base else {}
        return {**before, **self.encoded.write.data}

    def decode(self) -> Document | None:
        """The document; the work is done only for one that is used again."""
        after = self.encoded.apply_to(self.base)
        return None if after is None else replace(after, version=self.version)


class Overlay:
    """Documents from Firestore, and over them the writes of the members that have run.

    `recall` returns a document as this process wrote it last, or None. `_reads` are those that
    Firestore returned to this group, or the error of reading one.
    """

    def __init__(self, root: str, recall: Callable[[Key], Document | None]) -> None:
        self._root = root
        self._recall = recall
        #: What `recall` has returned: one state of each document for the whole group.
        self._remembered: dict[Key, Document | None] = {}
        self._reads: dict[Key, Document | StoreError | None] = {}
        self._writes: dict[Key, EncodedWrite] = {}
        self._count = self._bytes = 0

    @property
    def writes(self) -> Sequence[EncodedWrite]:
        """The writes to commit, one a document."""
        return list(self._writes.values())

    async def read(self, key: Key) -> Document | None:
        """The document as the next member sees it. Raises UnreadError when it must be read."""
        pending = self._writes.get(key)
        if pending is None:
            return self._find_base(key)
        needs_base = pending.write.kind == "update" or self.has_base(key)
        return pending.apply_to(self._find_base(key) if needs_base else None)

    def add_reads(self, found: Mapping[Key, Document | StoreError | None]) -> list[Key]:
        """Add what Firestore returned; return the documents of which it disproves a write.

        Such a write was added before the document was known: the update of an absent one.
        """
        self._reads.update(found)
        return [
            key
            for key in found
            if key in self._writes
            and self._writes[key].write.condition is True
            and self._reads[key] is None
        ]

    def add_writes(self, writes: Sequence[Write], *, has_read: Collection[Key]) -> None:
        """Add a member's writes: all, or none when it raises.

        Raises StoreConflictError or StoreAbsentError for a precondition that is false, TypeError or
        ValueError for a value that cannot be stored, PostponedError for writes that do not fit.
        """
        merged = {
            write.key: self._encode(self._merge(write, has_read=write.key in has_read))
            for write in writes
        }
        replaced = [self._writes[key] for key in merged if key in self._writes]
        count = self._count + sum(e.count for e in merged.values()) - sum(e.count for e in replaced)
        size = self._bytes + sum(e.bytes for e in merged.values()) - sum(e.bytes for e in replaced)
        if self._writes and (count > MAX_COMMIT_WRITES or size > MAX_COMMIT_BYTES):
            raise PostponedError
        self._writes.update(merged)
        self._count, self._bytes = count, size

    def list_unproved(self, reads: Iterable[Key], writes: Collection[Key]) -> list[Key]:
        """Those of a member's reads that came from memory and that no condition will prove.

        `writes` are the documents that the member writes under a condition of version or absence,
        which proves their reading, as the same condition of an earlier member does. Any other
        document must have been read after the transaction began.
        """
        return [
            key
            for key in reads
            if key not in self._reads and key not in writes and not self._is_proved(key)
        ]

    def _is_proved(self, key: Key) -> bool:
        pending = self._writes.get(key)
        return pending is not None and pending.write.is_carried_out_once

    def depends_on_commit(self, reads: Iterable[Key]) -> bool:
        """True if what a member read becomes true only with the writes added so far."""
        return any(key in self._writes for key in reads)

    def forget(self, keys: Iterable[Key]) -> None:
        """Use no remembered state of these documents: they must be read."""
        self._remembered.update(dict.fromkeys(keys))

    def without_writes(self) -> Overlay:
        """The same documents, with no write added."""
        copy = Overlay(self._root, self._recall)
        copy._remembered, copy._reads = self._remembered, self._reads
        return copy

    def has_base(self, key: Key) -> bool:
        """True if the document as it is without the writes of the group is known."""
        return key in self._reads or self._find_remembered(key) is not None

    def describe_result(self, encoded: EncodedWrite, version: str) -> KnownResult | None:
        """The document after the commit that gave it this version; None if it is not worth it.

        Only a document that existed and was known before is returned: it belongs to a run that
        reads, writes, and soon writes again.
        """
        key = encoded.write.key
        base = self._find_base(key) if self.has_base(key) else None
        if base is None or encoded.write.kind == "delete":
            return None
        return KnownResult(encoded, base if encoded.write.kind == "update" else None, version)

    def _find_base(self, key: Key) -> Document | None:
        if key in self._reads:
            found = self._reads[key]
            if isinstance(found, StoreError):
                raise type(found)(found.message) from found
            return found
        document = self._find_remembered(key)
        if document is None:
            raise UnreadError
        return document

    def _find_remembered(self, key: Key) -> Document | None:
        if key not in self._remembered:
            self._remembered[key] = self._recall(key)
        return self._remembered[key]

    def _merge(self, write: Write, *, has_read: bool) -> Write:
        """The write of one document that does what the earlier members' and this one do."""
        key = write.key
        earlier = self._writes.get(key)
        if earlier is None:
            if not has_read and key in self._reads:
                _check_condition(write, exists=self._find_base(key) is not None)
            return write
        before = earlier.write
        if not has_read:
            _check_condition(write, exists=before.kind != "delete")
        condition = before.condition
        if has_read and self.has_base(key):
            # The member decided by a state that is built on the stored one, which must still hold.
            base = self._find_base(key)
            condition = False if base is None else base.version
        if write.kind == "delete" and condition is False:
            # Firestore refuses the deletion of what must be absent, and without the deletion
            # nothing would prove that it was.
            raise PostponedError
        return replace(before.merge(write.kind, write.data), condition=condition)

    def _encode(self, write: Write) -> EncodedWrite:
        message = encode_write(self._root, write)
        count = 1 + len(message.update_transforms)
        return EncodedWrite(write, message, count, message.ByteSize())


def _check_condition(write: Write, *, exists: bool) -> None:
    name = "/".join(write.key)
    if write.condition is False and exists:
        raise StoreConflictError(f"{name} exists")
    if write.condition is True and not exists:
        raise StoreAbsentError(f"{name} does not exist")
