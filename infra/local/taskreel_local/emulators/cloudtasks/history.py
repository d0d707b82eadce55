"""What happened: deliveries with request and response, and events, kept in rings for tests and dashboards."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What can happen to a task. Google tells nobody of an exhausted one; here it is an event."""

    CREATED = "created"
    DISPATCHED = "dispatched"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXHAUSTED = "exhausted"
    EXPIRED = "expired"
    DELETED = "deleted"
    PURGED = "purged"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one task, at microseconds since 1970."""

    kind: EventKind
    at: int
    queue: str
    task: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """The request of one attempt, complete but for Host and Content-Length."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class HandlerResponse:
    """A handler's answer; header names are lower case, the body may be cut."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt that ended: what was sent and what came back, or why nothing did."""

    queue: str
    task: str
    attempt: int
    started: int
    finished: int
    request: OutgoingRequest
    reply: HandlerResponse | None
    error: str = ""


class History:
    """The last `kept` deliveries and events, and whoever listens for events."""

    def __init__(self, kept: int) -> None:
        self.deliveries: deque[Delivery] = deque(maxlen=kept)
        self.events: deque[Event] = deque(maxlen=kept)
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` with every event from now on; the result stops it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def event(self, kind: EventKind, at: int, queue: str, task: str, detail: str = "") -> None:
        """Note an event and tell the listeners."""
        event = Event(kind, at, queue, task, detail)
        self.events.append(event)
        for listener in self._listeners:
            listener(event)

    def clear(self) -> None:
        """Forget everything, keep the listeners."""
        self.deliveries.clear()
        self.events.clear()
