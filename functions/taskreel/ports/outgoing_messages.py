"""The ports of messages: tasks, which call the task processor back, and webhooks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from msgspec import field
from pydantic_core import to_json

from taskreel.domain.record import Record

if TYPE_CHECKING:
    from taskreel.domain.client_webhook import SigningKey, WebhookAnswer


class Task(Record, kw_only=True):
    """A message that points at a job: it carries ids only, since the payload is in the store."""

    queue: str
    job_id: str
    #: The number of the job's delivery.
    delivery: int
    #: Two tasks of one queue with the same name are one task.
    name: str
    at: datetime | None = None
    deadline: timedelta = timedelta(minutes=10)
    #: That of the request that made it. A queue may send tasks of several requests at once, so the
    #: context in which it does so is not theirs.
    trace_id: str | None = None
    #: `traceparent` of the span that was recorded then; None where nothing was.
    trace_parent: str | None = None

    @property
    def id(self) -> str:
        """The name as a queue outside of this process has it.

        It is a hash, because Cloud Tasks becomes slow when the ids of a queue are in sequence.
        """
        return hashlib.blake2b(self.name.encode(), digest_size=16).hexdigest()

    @property
    def body(self) -> bytes:
        """The JSON that such a queue posts to the task processor."""
        return to_json({"jobId": self.job_id, "delivery": self.delivery})


class QueueStats(Record, kw_only=True):
    """The state of a queue; `depth` counts tasks that wait or run.

    `oldest_at` is the time at which the first waiting task is due, in the past while tasks wait
    for their turn; None while none waits. `locations` has the state in each location of queues in
    several, None for one that does not answer: the sums are without it.
    """

    queue: str
    paused: bool
    depth: int
    oldest_at: datetime | None
    locations: Mapping[str, QueueStats | None] = field(default_factory=dict)


class TaskQueue(Protocol):
    """Queues that call the task processor back. Raises QueueError when they cannot be reached."""

    def list_locations(self) -> Sequence[str]:
        """The locations of the queues, the preferred one first; none for queues in a process."""

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


class WebhookMessage(Record, kw_only=True):
    """A body for an address that a user named, signed for the time `at` with every key."""

    url: str
    #: The same in every try: the receiver knows a repetition by it.
    id: str
    body: str
    at: datetime
    keys: Sequence[SigningKey]
    #: They go beside those of Standard Webhooks.
    headers: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Without the keys: they are secrets, and an error or a log line may show a message."""
        return f"WebhookMessage(url={self.url!r}, id={self.id!r})"


class SendWebhook(Protocol):
    """Sends signed messages to addresses that users name."""

    def check_url(self, url: str, path: str, /) -> None:
        """Raise InvalidError, with the field's path, for an address that cannot get webhooks."""

    def public_key(self, key: SigningKey, /) -> str | None:
        """The public half of a key, for the receiver; None for a shared secret."""

    async def send(self, message: WebhookMessage, /) -> WebhookAnswer:
        """Send the message once. Raises nothing."""

    async def close(self) -> None:
        """Close all connections."""
