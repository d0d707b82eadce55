"""Protocols that the use cases call and adapters implement, with the values that cross them.

Store (documents), TaskQueue, Blobs (files in a bucket), Provider and ProviderCatalogue (generation
services), MediaWorkers, ProbeFile, Fetch and WorkDirs (files on this machine), Clock.
Every method has a caller in the product or in queue management, retention or statistics.
"""

from __future__ import annotations

from collections import abc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from taskreel.domain.errors import UnreadableDocumentError
from taskreel.domain.provider_choice import Offer
from taskreel.domain.webhook import SigningKey, WebhookAnswer

T = TypeVar("T")
V = TypeVar("V")

# ── Store ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Collection(Generic[V]):
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

    def read(self, id_: str, data: Mapping[str, Any]) -> V:
        """Decode a stored document. Raises UnreadableDocumentError."""
        try:
            return self.decode(data)
        except ValueError as error:
            raise UnreadableDocumentError(
                f"The stored document {self.name}/{id_} cannot be read by this revision of the "
                "service. It is reported to the operators, who can repair it; nothing of it is "
                "lost.",
                code=f"{self.name.removesuffix('s')}_unreadable",
            ) from error


@dataclass(frozen=True, slots=True)
class Row(Generic[V]):
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


@dataclass(frozen=True, slots=True)
class Changes(Generic[V]):
    """Documents in the order of their commits.

    Every commit up to the number `position` has been reported.
    """

    documents: Sequence[Row[V]]
    position: int


#: A document's `updatedAt` is set before its commit, by another machine's clock: it is at most so
#: much older than the commit.
COMMIT_DELAY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Increment:
    """As a field's value in `update`: add to the stored number (0 if absent) without reading it."""

    by: int | float


Operator = Literal["==", "in", "<", "<=", ">", ">=", "array-contains"]
Direction = Literal["asc", "desc"]
#: Firestore's limit on the values of an `in`.
MOST_IN = 30


#: A field, an operator, and its value.
Condition = tuple[str, Operator, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Generic[V]):
    """Documents of one collection. Ties are ordered by id, in the last order's direction.

    `after` continues behind a row: the values of its `order` fields, then its id.
    An `in` takes at most MOST_IN values. Fields have the names that are stored.
    """

    collection: Collection[V]
    where: tuple[Condition, ...] = ()
    order: tuple[tuple[str, Direction], ...] = ()
    limit: int | None = None
    after: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        if any(operator == "in" and len(value) > MOST_IN for _, operator, value in self.where):
            raise ValueError(f"an `in` takes at most {MOST_IN} values")

    def behind(self, row: Row[Any]) -> Query[V]:
        """The same query, continued behind a row that it has found."""
        return replace(self, after=(*(row.data[name] for name, _ in self.order), row.id))


@dataclass(frozen=True, slots=True)
class Index:
    """A composite index for one shape of query: equality fields first, then the ordered one."""

    collection: str
    fields: tuple[tuple[str, Direction], ...]
    #: True where every query compares the ordered field with a value, so that documents without it
    #: need no entry.
    is_bounded: bool = False


class Transaction(Protocol):
    """Reads, then buffered writes, committed together or not at all.

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

        With `is_new` its id was drawn at random just now, so that a store need not look for it; one
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


# ── TaskQueue ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A message that points at a job."""

    queue: str
    #: For logs; the queue delivers `body`.
    job_id: str
    #: Two tasks of one queue with the same id are one task.
    id: str
    #: The JSON that is posted to the task processor.
    body: bytes
    at: datetime | None = None
    deadline: timedelta = timedelta(minutes=10)
    #: That of the request that made it. A queue may send tasks of several requests at once, so the
    #: context in which it does so is not theirs.
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """The state of a queue; `depth` counts tasks that wait or run.

    `oldest_at` is the time at which the first waiting task is due, in the past while tasks wait
    for their turn; None while none waits.
    """

    queue: str
    paused: bool
    depth: int
    oldest_at: datetime | None


class TaskQueue(Protocol):
    """Queues that call the task processor back. Raises QueueError when they cannot be reached."""

    async def enqueue(self, task: Task, /) -> None:
        """Put one task on its queue; a repetition has no effect."""

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        """Put several tasks on their queues, in as few calls as possible."""

    async def pause(self, queue: str, /) -> None:
        """Stop dispatching; tasks may still be enqueued."""

    async def resume(self, queue: str, /) -> None:
        """Continue dispatching."""

    async def purge(self, queue: str, /) -> None:
        """Delete all tasks that were created before now."""

    async def stats(self, queue: str, /) -> QueueStats:
        """Read the state of a queue."""

    async def close(self) -> None:
        """Close all connections."""


# ── Blobs ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """An object's size and type."""

    path: str
    bytes: int
    content_type: str


class Blobs(Protocol):
    """Files in a bucket."""

    async def put(self, path: str, source: Path | bytes, /, *, content_type: str) -> None:
        """Store a file whole or not at all, replacing an earlier one of that path."""

    def read(self, path: str, /) -> AsyncIterator[bytes]:
        """Yield the content in chunks. Raises NotFoundError when there is no such file."""

    async def info(self, path: str, /) -> BlobInfo | None:
        """Read size and type; None if there is no such file."""

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        """Create a URL that anyone can GET until it expires."""

    async def open_upload(
        self,
        path: str,
        /,
        *,
        content_type: str,
        size: int,
        expires_in: timedelta,
        origin: str | None = None,
    ) -> str:
        """Create a URL to which anyone can PUT exactly `size` bytes, once, until it expires.

        `origin` is that of the web page that will send them, if one will.
        """

    def list_paths(self, prefix: str, /) -> AsyncIterator[str]:
        """Yield the path of every file that starts with `prefix`, in no order."""

    async def delete(self, prefix: str, /) -> int:
        """Delete every file whose path starts with `prefix`; return their number."""

    async def close(self) -> None:
        """Close all connections."""


# ── Files on this machine ────────────────────────────────────────────────────────────────────────


class Fetch(Protocol):
    """Downloads URLs that users name. Raises RunErrors."""

    async def __call__(
        self,
        url: str,
        target: Path,
        /,
        *,
        max_bytes: int,
        seconds: float,
        admit: Callable[[int], None] | None = None,
    ) -> str:
        """Download `url` to `target`; return its content type.

        `admit` is called with a number of bytes before they are written: the length that the
        server announces, else each piece as it comes. An error that it raises ends the download.
        """


class SendWebhook(Protocol):
    """Sends signed messages to addresses that users name."""

    def check_url(self, url: str, path: str, /) -> None:
        """Raise InvalidError, with the field's path, for an address that cannot get webhooks."""

    def public_key(self, key: SigningKey, /) -> str | None:
        """The public half of a key, for the receiver; None for a shared secret."""

    async def send(
        self,
        url: str,
        body: str,
        /,
        *,
        message_id: str,
        at: datetime,
        keys: Sequence[SigningKey],
        headers: Mapping[str, str] | None = None,
    ) -> WebhookAnswer:
        """Send the body once, signed for the time `at` with every key. Raises nothing.

        `headers` go beside those of Standard Webhooks.
        """

    async def close(self) -> None:
        """Close all connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """Type, size and checksum of a media file; pixels and seconds where they apply."""

    content_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


class ProbeFile(Protocol):
    """Reads the facts of a media file from its content."""

    async def __call__(self, file: Path, /) -> FileFacts:
        """Probe `file`. Raises PermanentError when it is not a readable media file."""


class MediaWorkers(Protocol):
    """A pool of worker processes for CPU-heavy media work, with limits on time and memory."""

    async def run(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        timeout_seconds: float,
        on_progress: Callable[[float], None] | None = None,
        **kwargs: Any,
    ) -> T:
        """Return `function(*args, **kwargs)`; function, arguments and result must pickle.

        Raises what the function raises; TemporaryError when the worker hangs, dies or is closed;
        PermanentError when the work needs more memory than a worker has.
        """

    def close(self) -> None:
        """Kill all workers; running work ends with TemporaryError."""


class WorkDirs(Protocol):
    """Temporary folders for runs to write into."""

    def acquire(self, job_id: str, /) -> Path:
        """Return an empty folder for a run of the job, until it is released."""

    def reserve(self, folder: Path, size: int, /, *, required: bool = False) -> bool:
        """Reserve room for `size` more bytes in a folder, until the folder is released.

        Return False, and reserve nothing, when this instance has no such room now, or has promised
        it to jobs that were refused before. With `required`
        the bytes are counted all the same: work that has been paid for is stored.
        """

    async def release(self, folder: Path, /) -> None:
        """End the use of a folder; files in it are deleted."""

    def close(self) -> None:
        """Delete the folders that wait for reuse."""


# ── Provider ─────────────────────────────────────────────────────────────────────────────────────


class Capability(StrEnum):
    """A kind of work that a provider can do."""

    IMAGE = "image"
    VIDEO = "video"
    UPSCALE = "upscale"
    TEXT = "text"
    SPEECH = "speech"
    MUSIC = "music"
    #: Work on files, done in this process's workers and not by a service.
    COMPOSE = "compose"
    ASSEMBLE = "assemble"
    PROCESS = "process"
    ANALYSE = "analyse"
    PERSONALIZE = "personalize"
    #: Sends a message of the caller's own.
    WEBHOOK = "webhook"
    #: Made of other jobs; calls no provider itself.
    PIPELINE = "pipeline"


@dataclass(frozen=True, slots=True)
class Input:
    """A file that the work starts from, downloaded to `path`; a provider may fetch `url` itself.

    `label` names the file in messages to its owner.
    """

    path: Path
    url: str
    content_type: str
    label: str


def _ignore_progress(_fraction: float) -> None:
    """Discard a progress report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One unit of work: its parameters (camelCase, validated), input files and output folder."""

    capability: Capability
    model: str
    params: Mapping[str, Any]
    inputs: tuple[Input, ...] = ()
    #: Returns `folder`, which is made on first use.
    open_folder: Callable[[], Path]
    name: str
    #: The job's owner, whose keys sign a message.
    user_id: str = ""
    #: Number of the attempt, from 1; read by the provider that simulates failures.
    attempt: int = 1
    #: Number of rate limits met so far.
    waits: int = 0
    report: Callable[[float], None] = field(default=_ignore_progress)

    @property
    def folder(self) -> Path:
        """A folder to write into, shared by the run's units and removed when the run ends.

        File names that begin with `name` belong to this unit.
        """
        return self.open_folder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """A file that a provider made: on disk, or at a URL that expires and needs no key.

    One with a `suffix` goes with the others and was not asked for by number: its artifact's name
    ends with that (`-poster.jpg`), where the others are numbered and have their type's suffix.
    Its type, size and duration are read from its content, not taken from the provider.
    """

    path: Path | None = None
    url: str | None = None
    suffix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Finished work. `data` is structured output, `cost_usd` the provider's own price."""

    outputs: tuple[Output, ...] = ()
    data: Mapping[str, Any] | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Accepted work: poll with `operation` (JSON) after the wait."""

    operation: Mapping[str, Any]
    poll_after: timedelta
    progress: float | None = None


class Provider(Protocol):
    """A generation service. `start`, `poll` and `cancel` raise RunErrors only."""

    name: str

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Start the work; Pending when the provider continues it on its own."""

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """Read the state of an operation."""

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stop an operation if possible; does nothing when it has ended."""

    async def close(self) -> None:
        """Close all connections."""


@dataclass(frozen=True, slots=True)
class WorkRequest:
    """A unit of work for which a provider is sought."""

    capability: Capability
    #: The name or alias that the caller gave; "" for any.
    model: str
    params: Mapping[str, Any]
    #: Number of input files.
    inputs: int
    now: datetime


class ProviderCatalogue(Protocol):
    """The models of the paid providers, with their limits and prices."""

    def resolve_name(self, word: str, /) -> str:
        """The provider's name for a name or an alias; an unknown word is returned in lower case."""

    def has_models_for(self, provider: str, capability: Capability, /) -> bool:
        """Tell if the provider has any model of the capability."""

    def can_sell(self, provider: str, capability: Capability, /) -> bool:
        """Tell if its key, or the setting that is in its place, unlocks any of these models."""

    def list_offers(
        self, provider: str, request: WorkRequest, /, *, every: bool = False
    ) -> list[Offer]:
        """The provider's offers for a request: of the model asked for, else of its default model.

        With `every` of all its models. Raises InvalidError for an unknown or retired model.
        """

    def estimate_usd(self, provider: str, request: WorkRequest, /) -> float | None:
        """Estimated price of a request in US dollars; None when it is not known."""

    def explain_ignored_options(
        self, provider: str, request: WorkRequest, given: abc.Collection[str], /
    ) -> Mapping[str, str]:
        """The options of `given` that the provider ignores or changes, with reasons."""

    def explain_reserved_options(self, provider: str, request: WorkRequest, /) -> Mapping[str, str]:
        """The `providerOptions` of the request that the provider must not get, with reasons.

        They would change what was priced. Raises InvalidError for an unknown or retired model.
        """

    def list_models(self, provider: str, on: datetime, /) -> Sequence[Mapping[str, Any]]:
        """Every model as callers see it, retired ones too; `name` also identifies its breaker."""


#: Returns the operation's id of a webhook, from its headers, body and the time of its arrival.
#: Raises UnauthenticatedError when the signature or the time is wrong.
VerifyWebhook = Callable[[Mapping[str, str], bytes, datetime], str]


# ── Clock ────────────────────────────────────────────────────────────────────────────────────────


class Timer(Protocol):
    """A call that is still to come."""

    def cancel(self) -> None:
        """Cancel the call; harmless after it was made."""


class Clock(Protocol):
    """The time, which tests control."""

    def now(self) -> datetime:
        """The present time, aware, in UTC."""

    async def sleep(self, seconds: float, /) -> None:
        """Wait that many seconds."""

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        """Call `callback` once, after that many seconds."""
