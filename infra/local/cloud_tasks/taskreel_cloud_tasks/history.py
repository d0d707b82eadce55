"""The last deliveries and events, stored for tests and dashboards."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


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
    """The last `size` deliveries and events, and the listeners for events."""

    def __init__(self, size: int) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=size)
        self.events: deque[Event] = deque(maxlen=size)
        self._listeners: list[Callable[[Event], None]] = []

    def add_listener(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every event from now on; the returned function removes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

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
        self.events.clear()
