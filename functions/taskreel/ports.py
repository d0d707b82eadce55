"""What the use cases need from the world: five narrow protocols and the values that cross them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from taskreel.domain.provider_choice import Offer

T = TypeVar("T")

# ── Store ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document: JSON types and aware datetimes, and the version it was read at."""

    collection: str
    id: str
    data: dict[str, Any]
    version: str


@dataclass(frozen=True, slots=True)
class Increment:
    """As a field's value in `update`: add to what is there (0 when absent), unread."""

    by: int | float


Operator = Literal["==", "in", "<", "<=", ">", ">=", "array-contains"]
Direction = Literal["asc", "desc"]
#: Firestore takes no more values for an `in`.
MOST_IN = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Documents of one collection. Ties are ordered by id, in the last order's direction.

    `after` resumes behind a row: the values of its `order` fields, then its id. An `in` takes at most MOST_IN values.
    """

    collection: str
    where: tuple[tuple[str, Operator, Any], ...] = ()
    order: tuple[tuple[str, Direction], ...] = ()
    limit: int | None = None
    after: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        if any(operator == "in" and len(value) > MOST_IN for _, operator, value in self.where):
            raise ValueError(f"an `in` takes at most {MOST_IN} values")


@dataclass(frozen=True, slots=True)
class Index:
    """The composite index that a query shape needs: equality fields first, then the ordered one."""

    collection: str
    fields: tuple[tuple[str, Direction], ...]


class Transaction(Protocol):
    """Reads, then buffered writes, committed together or not at all.

    A document that was read here is written only if it is still as read. Of one that was not read,
    `create` requires that it is absent and `update` that it exists; `set` and `delete` require nothing.
    """

    async def get(self, collection: str, id_: str, /) -> Document | None:
        """The document now, or None."""

    def create(self, collection: str, id_: str, data: Mapping[str, Any], /) -> None:
        """Write a document that must not exist."""

    def set(self, collection: str, id_: str, data: Mapping[str, Any], /) -> None:
        """Write the whole document, replacing what was there."""

    def update(self, collection: str, id_: str, changes: Mapping[str, Any], /) -> None:
        """Change some top-level fields of a document that must exist; a value may be an Increment."""

    def delete(self, collection: str, id_: str, /) -> None:
        """Remove the document; absent is fine."""


class Store(Protocol):
    """Documents with optimistic transactions, in Firestore's shape reduced to what is used.

    Every method raises StoreError when the store cannot be reached.
    """

    async def get(self, collection: str, id_: str, /) -> Document | None:
        """One document, or None. One read."""

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]], /) -> T:
        """Run `fn` and commit its writes; what `fn` returns.

        `fn` may run several times: it awaits nothing but its transaction and has no other effect. When a document
        that it read changes, it runs again; a failed `create` raises StoreConflictError, a missing
        document to update StoreAbsentError; its own exceptions pass, with nothing written.
        """

    async def query(self, query: Query, /) -> list[Document]:
        """The matching documents in order. One read a row."""

    async def aggregate(
        self, query: Query, /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        """`{"count": n, field: sum, …}` over the query, without reading the documents."""

    def watch(self, collection: str, id_: str, /) -> AsyncIterator[Document | None]:
        """The document now, then again after each change (changes close together come as one)."""

    async def close(self) -> None:
        """Finish what was begun and let go of the store."""


# ── TaskQueue ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One message that points at a job. The same job and delivery twice is one task."""

    lane: str
    job_id: str
    delivery: int
    at: datetime | None = None
    deadline: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStats:
    """A lane now; `depth` counts tasks waiting or running."""

    lane: str
    paused: bool
    depth: int
    oldest_at: datetime | None


class TaskQueue(Protocol):
    """Queues that call the task processor back. Raises QueueError when they cannot be reached."""

    async def enqueue(self, task: Task, /) -> None:
        """Put one task on its lane; repeating it is harmless."""

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        """Put many, in as few calls as the queue allows."""

    async def pause(self, lane: str, /) -> None:
        """Stop dispatching; tasks may still be added."""

    async def resume(self, lane: str, /) -> None:
        """Dispatch again."""

    async def purge(self, lane: str, /) -> None:
        """Delete all tasks created before now."""

    async def stats(self, lane: str, /) -> LaneStats:
        """How much waits on the lane."""

    async def close(self) -> None:
        """Let go of connections."""


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
        """Store a file whole or not at all, replacing what was there."""

    def read(self, path: str, /) -> AsyncIterator[bytes]:
        """The content in chunks; NotFoundError when there is none."""

    async def info(self, path: str, /) -> BlobInfo | None:
        """Size and type, or None."""

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        """A URL that anyone can GET until it expires."""

    async def delete(self, prefix: str, /) -> int:
        """Remove every object under `prefix`; how many there were."""

    async def close(self) -> None:
        """Let go of connections."""


# ── Files on this machine ────────────────────────────────────────────────────────────────────────


class Fetch(Protocol):
    """Downloads URLs that users name. Raises RunErrors."""

    async def __call__(self, url: str, target: Path, /, *, max_bytes: int, seconds: float) -> str:
        """Download `url` to `target`; return its content type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """Type, size and checksum of a media file; pixels and seconds are None where they do not apply."""

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
        """Return what `function(*args, **kwargs)` returns; function, arguments and result must pickle.

        Raises what the function raises; TemporaryError when the worker hangs, dies or is closed;
        PermanentError when the work needs more memory than a worker has.
        """

    def close(self) -> None:
        """Kill all workers; running work ends with TemporaryError."""


class WorkDirs(Protocol):
    """Temporary folders for runs to write into."""

    def acquire(self) -> Path:
        """Return an empty folder that nobody else uses until it is released."""

    async def release(self, folder: Path, /) -> None:
        """End the use of a folder; files in it are deleted."""

    def close(self) -> None:
        """Delete the folders that wait for reuse."""


# ── Provider ─────────────────────────────────────────────────────────────────────────────────────


class Capability(StrEnum):
    """What a provider can be asked for."""

    IMAGE = "image"
    VIDEO = "video"
    UPSCALE = "upscale"
    TEXT = "text"
    SPEECH = "speech"
    MUSIC = "music"
    #: Work on files, which is done here and not by a service.
    COMPOSE = "compose"
    ASSEMBLE = "assemble"
    PROCESS = "process"
    ANALYSE = "analyse"
    PERSONALIZE = "personalize"
    #: Made of other jobs; no provider is asked.
    PIPELINE = "pipeline"


@dataclass(frozen=True, slots=True)
class Input:
    """A file that the work starts from: fetched to `path`, and where a remote provider may fetch it itself.

    `label` is what its owner knows it by.
    """

    path: Path
    url: str
    content_type: str
    label: str


def _silent(_fraction: float) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One unit of work: what to make (`params`, camelCase, as validated), from what, and where to put it."""

    capability: Capability
    model: str
    params: Mapping[str, Any]
    inputs: tuple[Input, ...] = ()
    #: A folder to write into, shared by the run's units and removed when it ends; `name` is this unit's own there.
    folder: Path
    name: str
    #: Counted from 1; a provider that misbehaves on request looks at it.
    attempt: int = 1
    #: Waits for a rate limit so far.
    waits: int = 0
    report: Callable[[float], None] = field(default=_silent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One file that a provider made: on disk, or at a URL to copy before it expires (without any key).

    What it is (type, size, duration) is read from its content, not taken from the provider.
    """

    path: Path | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The work is finished. `data` is structured output; `cost_usd` what the provider says it took."""

    outputs: tuple[Output, ...] = ()
    data: Mapping[str, Any] | None = None
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """The provider has accepted: ask again with `operation` (JSON) after the wait."""

    operation: Mapping[str, Any]
    poll_after: timedelta
    progress: float | None = None


class Provider(Protocol):
    """A generation service. `start`, `poll` and `cancel` raise RunErrors only."""

    name: str

    async def start(self, request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        """Begin the work; Pending when it goes on elsewhere."""

    async def poll(self, operation: Mapping[str, Any], request: Generation, /) -> Done | Pending:
        """How the operation is now."""

    async def cancel(self, operation: Mapping[str, Any], /) -> None:
        """Stop it if it can be stopped; harmless when it has ended."""

    async def close(self) -> None:
        """Let go of connections and workers."""


@dataclass(frozen=True, slots=True)
class WorkRequest:
    """One unit's work, as a provider is looked for that can do it."""

    capability: Capability
    #: As the caller called it; "" is any.
    model: str
    params: Mapping[str, Any]
    #: How many files it starts from.
    inputs: int
    now: datetime


class ProviderCatalogue(Protocol):
    """What the real providers can be asked for: the model table, as the use cases see it."""

    def provider_name(self, word: str, /) -> str:
        """The provider that a caller's word means."""

    def makes(self, provider: str, capability: Capability, /) -> bool:
        """Whether it has any model for that."""

    def offers(self, provider: str, asked: WorkRequest, /, *, every: bool = False) -> list[Offer]:
        """How it would serve the work: by the model asked for, else its default, else with `every` by all it has.

        Raises InvalidError for a model that it does not have, or no longer has.
        """

    def estimate(self, provider: str, asked: WorkRequest, /) -> float | None:
        """About what it costs in US dollars there."""

    def ignored(
        self, provider: str, asked: WorkRequest, given: Collection[str], /
    ) -> Mapping[str, str]:
        """Which of the options `given` it does not take as they are, and why."""

    def models(self, provider: str, on: datetime, /) -> Sequence[Mapping[str, Any]]:
        """Every model, as callers may see it; `name` is what its breaker is called by."""


#: Raises UnauthenticatedError for a webhook that does not hold; the operation's id of one that does.
VerifyWebhook = Callable[[Mapping[str, str], bytes, datetime], str]


# ── Clock ────────────────────────────────────────────────────────────────────────────────────────


class Clock(Protocol):
    """The time, so that tests can own it."""

    def now(self) -> datetime:
        """Aware UTC."""

    async def sleep(self, seconds: float, /) -> None:
        """Wait that long."""
