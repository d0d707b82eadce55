"""The port of the store: documents with optimistic transactions, and the queries over them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, Literal, Protocol, TypeVar

from msgspec.structs import replace

from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.record import Record

T = TypeVar("T")
V = TypeVar("V")

#: The field with the encrypted ones of a document (adapters/encryption). No value has it.
SEALED = "sealed"


class Collection(Record, Generic[V]):
    """The documents of one kind, and the codec between them and the values that use cases see.

    A document is a mapping of JSON types and aware datetimes, with the names that are stored.
    `decode` raises ValueError for a document that it cannot read.
    """

    name: str
    encode: Callable[[V], Mapping[str, Any]]
    decode: Callable[[Mapping[str, Any]], V]
    #: True where no code changes a value in place, nor what it contains: a store may then give the
    #: same object to several readers.
    shareable: bool = False
    #: True where every value can be encoded: a store that holds values in memory may then encode
    #: the last of several versions alone.
    encodes_any: bool = False
    #: Adds to numbers of a value, by their stored names, as `Transaction.update` does to those of a
    #: document. Raises ValueError for a result that is not valid.
    increase: Callable[[V, Mapping[str, int | float]], V] | None = None
    #: A collection, and the id there without which a value was never stored, since its own id is
    #: made of that one; None for a value that follows no other. Where the other is new, a store
    #: need not search for this one.
    follows: tuple[str, Callable[[V], str | None]] | None = None

    def read(self, id_: str, data: Mapping[str, Any]) -> V:
        """Decode a stored document. Raises UnreadableDocumentError."""
        try:
            return self.decode(data)
        except ValueError as error:
            reason = (
                "is encrypted, and cannot be decrypted by this service: ENCRYPTION_KEY is not set "
                "here, or the document was changed"
                if SEALED in data
                else "cannot be read by this revision of the service"
            )
            raise UnreadableDocumentError(
                f"The stored document {self.name}/{id_} {reason}. It is reported to the operators, "
                "who can repair it; nothing of it is lost.",
                code=f"{self.name.removesuffix('s')}_unreadable",
            ) from error


def undecoded_collection(name: str) -> Collection[Mapping[str, Any]]:
    """The collection of that name with the documents themselves, as they are stored, as values."""
    return Collection(name, dict, dict)


class Row(Record, Generic[V]):
    """A document that a query found; `data` is what is stored.

    It is decoded when its value is asked for, so that one odd document stops no list.
    """

    collection: Collection[V]
    id: str
    data: Mapping[str, Any]
    #: Of the commit that wrote it, a later one has a greater number: a time, in nanoseconds since
    #: 1970.
    commit_number: int

    @property
    def value(self) -> V:
        """The value. Raises UnreadableDocumentError."""
        return self.collection.read(self.id, self.data)


class Changes(Record, Generic[V]):
    """Documents in the order of their commits.

    Every commit up to the number `position` has been reported.
    """

    documents: Sequence[Row[V]]
    position: int


#: A document's `updatedAt` is set before its commit, by another machine's clock: it is at most so
#: much older than the commit.
COMMIT_DELAY = timedelta(seconds=60)


class Increment(Record):
    """As a field's value in `update`: add to the stored number (0 if absent) without reading it."""

    by: int | float


Operator = Literal["==", "in", "<", "<=", ">", ">=", "array-contains"]
Direction = Literal["asc", "desc"]
#: Firestore's limit on the values of an `in`.
MOST_IN = 30


#: A field, an operator, and its value.
Condition = tuple[str, Operator, Any]


class Query(Record, Generic[V], kw_only=True):
    """Documents of one collection. Ties are ordered by id, in the last order's direction.

    `after` continues behind a row: the values of its `order` fields, then its id.
    An `in` takes at most MOST_IN values. Fields have the names that are stored; a dot leads into a
    map.

    With `fields` a row has these alone: each under its name as it is written here, dots included,
    and None for one that its document does not have. The collection's codec must be able to read
    that: one for mappings, as the whole value is not there. A row behind which pages go on needs
    the fields of `order`, too.

    With `committed_from` a store may leave out documents of commits with a smaller number, where
    that saves work; the caller leaves them out in any case.
    """

    collection: Collection[V]
    where: tuple[Condition, ...] = ()
    order: tuple[tuple[str, Direction], ...] = ()
    limit: int | None = None
    after: tuple[Any, ...] | None = None
    fields: tuple[str, ...] | None = None
    committed_from: int | None = None

    def __post_init__(self) -> None:
        if any(operator == "in" and len(value) > MOST_IN for _, operator, value in self.where):
            raise ValueError(f"an `in` takes at most {MOST_IN} values")

    def behind(self, row: Row[Any]) -> Query[V]:
        """The same query, continued behind a row that it has found."""
        return replace(self, after=(*(row.data[name] for name, _ in self.order), row.id))


def select_fields(data: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """The fields of a document that `Query.fields` names, as its rows have them."""
    return {name: _read_path(data, name) if "." in name else data.get(name) for name in fields}


def _read_path(data: Mapping[str, Any], name: str) -> Any:
    value: Any = data
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


class Index(Record):
    """A composite index for one shape of query: equality fields first, then the ordered one."""

    collection: str
    fields: tuple[tuple[str, Direction], ...]
    #: True where every query compares the ordered field with a value, so that documents without it
    #: need no entry.
    is_bounded: bool = False


class Transaction(Protocol):
    """Reads, then buffered writes, committed as one or not at all.

    A document that was read here is written only if it has not changed since. Of one that was not
    read, `create` requires that it is absent and `update` that it exists; `set` and `delete`
    require nothing.
    """

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        """Read a value; None if there is none. Raises UnreadableDocumentError."""

    def create(
        self, collection: Collection[V], id_: str, value: V, /, *, is_new: bool = False
    ) -> None:
        """Write a document that must not exist.

        With `is_new` its id was drawn at random just now, so a store need not search for it; one
        that finds it all the same when it commits may fail as for any other error.
        """

    def set(self, collection: Collection[V], id_: str, value: V, /) -> None:
        """Write the whole document, replacing what was there."""

    def update(self, collection: Collection[Any], id_: str, changes: Mapping[str, Any], /) -> None:
        """Change fields, as they are stored, of a document that must exist.

        The fields are top-level ones; a value may be an Increment. The document need not be
        readable.
        """

    def delete(self, collection: Collection[Any], id_: str, /) -> None:
        """Delete the document; does nothing if it is absent."""


class Store(Protocol):
    """Documents with optimistic transactions: the part of Firestore that is used here.

    It takes and gives values; an adapter stores the documents that their collection's codec makes.
    Nothing may leave the process before what it depends on is safe: see `durable`.

    Every method tries for about ten seconds; then it raises StoreError.
    A run of a job repeats its writes for longer: `app.jobs.job_store.write_for_run`.
    """

    async def get(self, collection: Collection[V], id_: str, /) -> V | None:
        """Read one value; None if there is none. Costs one read.

        Raises UnreadableDocumentError for a document that its collection cannot decode.
        """

    async def get_all(self, collection: Collection[V], ids: Sequence[str], /) -> list[V | None]:
        """Read several values as they were at one moment, in the order of `ids`. One read each."""

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        """Run `fn`, commit its writes, and return its result.

        `fn` may run several times: it awaits nothing but its transaction and has no other effect.
        It runs again when a document that it read has changed. A failed `create` raises
        StoreConflictError, an `update` of a missing document StoreAbsentError. Exceptions of `fn`
        pass, with nothing written.
        """

    async def query(self, query: Query[V], /) -> list[Row[V]]:
        """Read the matching documents in order. Costs one read a row."""

    async def aggregate(
        self, query: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        """Compute `{"count": n, field: sum, …}` over a query without reading the documents."""

    def watch(self, collection: Collection[V], id_: str, /) -> AsyncIterator[V | None]:
        """Yield the value now and after each change; changes close together come as one.

        Raises UnreadableDocumentError when its document cannot be decoded.
        """

    async def durable(self) -> None:
        """Return when all that this process has written is stored safely.

        Awaited before anything leaves the process that depends on a write: a response, a purchase,
        a task for an outside queue, a webhook. A store whose transactions return only then does
        nothing here.
        """

    def watch_changes(
        self, collection: Collection[V], field: str, value: str, /, *, since: datetime
    ) -> AsyncIterator[Changes[V]]:
        """Yield the documents with that value whose `updatedAt` is `since` or later, then changes.

        The first Changes come at once, even without documents. Several writes of one document may
        come as one. Costs one read a document.
        """

    async def close(self) -> None:
        """Finish the calls under way and disconnect."""
