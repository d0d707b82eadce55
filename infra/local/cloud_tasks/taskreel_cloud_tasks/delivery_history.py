"""The last deliveries and events, stored for tests and dashboards."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

MOST_BYTES = 32 << 20
"""Bytes of requests and responses that are stored for tests and the page."""


_OVERHEAD = 1000
"""Bytes of a record's objects, roughly."""


class EventKind(StrEnum):
    """Kinds of task events. EXHAUSTED and EXPIRED exist only here: Google reports neither.

    POSTPONED is an attempt that this machine could not make, for want of descriptors or ports.
    """

    CREATED = "created"
    DISPATCHED = "dispatched"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    POSTPONED = "postponed"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    DELETED = "deleted"
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Event:
    """An event of one task; `at` is in microseconds since 1970."""

    kind: EventKind
    at: int
    queue: str
    task: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """The request of one attempt, complete except for Host and Content-Length."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    follow_redirects: bool = True


@dataclass(frozen=True, slots=True)
class HandlerResponse:
    """A handler's response. Header names are lower case; the body may be truncated."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A finished attempt: the request, and its response or the error."""

    queue: str
    task: str
    attempt: int
    started: int
    finished: int
    request: OutgoingRequest
    response: HandlerResponse | None
    error: str = ""


class History:
    """The last `size` deliveries and events, and the listeners for events.

    Deliveries are also bounded in bytes: a thousand tasks of a megabyte would be a gigabyte.
    """

    def __init__(self, size: int, most_bytes: int = MOST_BYTES) -> None:
        self._size = size
        self._most_bytes = most_bytes
        self._bytes = 0
        self.deliveries: deque[Delivery] = deque()
        self._count = 0
        self.events: deque[Event] = deque(maxlen=size)
        self._listeners: list[Callable[[Event], None]] = []

    def add_listener(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every event from now on; the returned function removes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def numbered_deliveries(self) -> Iterator[tuple[int, Delivery]]:
        """Return the deliveries with their numbers, which no later delivery gets again."""
        return zip(count(self._count - len(self.deliveries)), self.deliveries, strict=False)

    def record_delivery(self, done: Delivery) -> None:
        """Record an attempt; the oldest ones go while there are too many, or too many bytes."""
        self.deliveries.append(done)
        self._count += 1
        self._bytes += _size_of(done)
        while len(self.deliveries) > self._size or (
            self._bytes > self._most_bytes and len(self.deliveries) > 1
        ):
            self._bytes -= _size_of(self.deliveries.popleft())

    def record_event(
        self, kind: EventKind, at: int, queue: str, task: str, detail: str = ""
    ) -> None:
        """Record an event and call the listeners."""
        event = Event(kind, at, queue, task, detail)
        self.events.append(event)
        for listener in self._listeners:
            listener(event)

    def clear(self) -> None:
        """Remove all records; listeners stay."""
        self.deliveries.clear()
        self._bytes = 0
        self.events.clear()


def _size_of(done: Delivery) -> int:
    request, response = done.request, done.response
    size = len(request.body) + len(request.url) + _OVERHEAD
    size += sum(len(key) + len(value) for key, value in request.headers)
    if response is not None:
        size += len(response.body)
        size += sum(len(key) + len(value) for key, value in response.headers.items())
    return size
