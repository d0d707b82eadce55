"""An HTTP/1.1 protocol with bounds on connections, headers, bodies and waiting times.

Uvicorn alone bounds none of them: a few thousand idle connections shut everybody out, and headers
without an end fill the memory. On Cloud Run, callers' connections end at Google's front end, and an
instance gets at most `concurrency` requests at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

#: Descriptors that are not connections of callers: store, queues, providers, workers, files.
_OTHER_DESCRIPTORS = 256
#: A stopping server waits so long for the first request of a connection.
_ARRIVING_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpBounds:
    """The bounds of one server process; times in seconds."""

    connections: int = 10_000
    header_bytes: int = 64 << 10
    #: From the connection, or from the first byte of a later request, to the end of its headers.
    header_seconds: float = 10
    #: From the end of the headers to the end of the body.
    body_seconds: float = 30
    #: Longest time in which a caller reads nothing of a response.
    write_seconds: float = 60


def choose_bounds(descriptors: int) -> HttpBounds:
    """The bounds of a process that may open so many files."""
    connections = max(16, min(HttpBounds().connections, descriptors - _OTHER_DESCRIPTORS))
    return HttpBounds(connections=connections)


class BoundedHttpProtocol(HttpToolsProtocol):
    """`HttpToolsProtocol` within `bounds`; a subclass may set others.

    It also reuses HTTP/1.0 connections when the client asks for it, which uvicorn does not: `ab`
    and some proxies need it.
    """

    bounds = HttpBounds()

    _reading_headers = True
    _reading_body = False
    _header_bytes = 0
    #: The bytes of the data that is being parsed.
    _received = 0
    #: Requests whose headers have arrived.
    _requests = 0
    _stopping = False
    _refused = False
    #: Ends the connection when headers, body or the reading of a response take too long.
    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _active_at = 0.0

    # ── Connections ──────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection; over the limit, close idle ones for it or refuse it."""
        super().connection_made(transport)
        self._active_at = time.monotonic()
        if len(self.connections) > self.bounds.connections and not self._close_idle_connections():
            self._refuse(b"503 Service Unavailable", "too many connections are open")
            return
        self._start_timer(self.bounds.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_timer()
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Close the connection when its request is answered, as the server stops.

        One that was accepted a moment ago may have a request on its way, which is answered too.
        """
        if self._requests or self._refused:
            super().shutdown()
            return
        self._stopping = True
        self._stop_timer()
        self._start_timer(_ARRIVING_SECONDS)

    def _close_idle_connections(self) -> bool:
        """Close those that have waited longest without a request; False if there are none.

        Several at once, so that a flood of connections does not search for each one.
        """
        idle = [
            other
            for other in self.connections
            if isinstance(other, BoundedHttpProtocol) and other is not self and other.is_idle
        ]
        idle.sort(key=lambda other: other._active_at)  # noqa: SLF001 - of the same class
        for other in idle[: 1 + self.bounds.connections // 16]:
            other.transport.close()
            # It counts no more, although the event loop reports its end only later.
            self.connections.discard(other)
        return bool(idle)

    @property
    def is_idle(self) -> bool:
        """True while no request is being answered.

        One may be arriving; but it is closed only after as many others have come since.
        """
        return not self._answering

    # ── Requests ─────────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        """Parse the data, unless the headers have become too long."""
        if self._refused:
            return
        self._active_at = time.monotonic()
        self._received = len(data)
        if self._reading_headers:
            self._header_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._reading_headers and self._header_bytes > self.bounds.header_bytes:
            self._refuse_headers()
        elif self._timer is None:
            if self._reading_body:
                self._start_timer(self.bounds.body_seconds)
            elif self._reading_headers:
                self._start_timer(self.bounds.header_seconds)

    def on_message_begin(self) -> None:
        """Bound the headers of a request from here on; those that have come need no timer."""
        super().on_message_begin()
        self._reading_headers = True

    def on_headers_complete(self) -> None:
        """Refuse long headers, else start the request, with keep-alive also for HTTP/1.0."""
        self._stop_timer()
        # Headers within the bytes that have come since they began cannot be longer.
        if self._header_bytes + self._received > self.bounds.header_bytes:
            length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if length > self.bounds.header_bytes:
                self._refuse_headers()
                raise ValueError("the headers are too long")  # ends the parsing of this connection
        self._reading_headers, self._reading_body = False, True
        self._header_bytes = 0
        self._requests += 1
        super().on_headers_complete()
        if self._stopping:
            self.cycle.keep_alive = False
            return
        if self.scope["http_version"] == "1.0" and self.parser.should_keep_alive():
            cycle = self.cycle
            cycle.keep_alive = True
            cycle.default_headers = [*cycle.default_headers, (b"connection", b"keep-alive")]

    def on_message_complete(self) -> None:
        """End the bound on the body."""
        self._reading_body = False
        self._stop_timer()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that cannot be parsed, unless it has been refused already."""
        if not self._refused:
            super().send_400_response(msg)

    # ── Responses ────────────────────────────────────────────────────────────────────────────────

    def pause_writing(self) -> None:
        """Wait for a caller that reads slowly, but not for ever."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(
                self.bounds.write_seconds, self.transport.abort
            )

    def resume_writing(self) -> None:
        """Go on writing."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    # ── Refusals ─────────────────────────────────────────────────────────────────────────────────

    @property
    def _answering(self) -> bool:
        # uvicorn declares `cycle` as always set; before the first request it is None.
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _start_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._end_slow_request)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_slow_request(self) -> None:
        self._timer = None
        started = self._answering and self.cycle.response_started
        if self._header_bytes == 0 and self._reading_headers:
            self.transport.close()  # a connection on which no request was begun
        elif started and self._reading_body:
            self.transport.abort()
        else:
            self._refuse(b"408 Request Timeout", "the request did not arrive in time")

    def _refuse_headers(self) -> None:
        bound = self.bounds.header_bytes >> 10
        self._refuse(b"431 Request Header Fields Too Large", f"the headers are over {bound} KiB")

    def _refuse(self, status: bytes, reason: str) -> None:
        """Answer with `status` and close the connection."""
        self._refused = True
        self._stop_timer()
        # It counts no more, although the event loop reports its end only later.
        self.connections.discard(self)
        if self.transport.is_closing():
            return
        log.warning("connection refused: %s", reason, extra={"action": "connection_refused"})
        body = f"{reason}\n".encode()
        head = b"HTTP/1.1 %s\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n" % (
            status,
            len(body),
        )
        self.transport.write(head + b"connection: close\r\n\r\n" + body)
        self.transport.close()


def bounded_protocol(bounds: HttpBounds) -> type[Any]:
    """The protocol class with these bounds."""
    return type("BoundedHttpProtocol", (BoundedHttpProtocol,), {"bounds": bounds})
