"""A TCP proxy in front of a service, with outages of three kinds; and a store that restarts."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from enum import StrEnum
from typing import Any, TypeVar

from taskreel_local.emulators.google_emulators import free_port

T = TypeVar("T")


class OutageKind(StrEnum):
    """The symptom of an outage for the service's clients."""

    #: Connections are closed, and new ones as soon as they are made: calls end as UNAVAILABLE.
    REFUSED = "refuses"
    #: Nothing is answered; what was sent is carried out when the outage ends.
    SILENT = "silent"
    #: Calls are carried out, but their answers are lost.
    ANSWERS_LOST = "answers lost"


class OutageProxy:
    """Forwards connections to `target`, a `host:port`, except during an outage."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.partition(":")
        self._port = int(port)
        self.address = f"127.0.0.1:{free_port()}"
        self._kind: OutageKind | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._timer: threading.Timer | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[OutageProxy]:
        """Forward connections during the block, on a thread of its own."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            server = self._run(self._open())
            try:
                yield self
            finally:
                self.end_outage()
                self._run(self._close(server))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def retarget(self, target: str) -> None:
        """Forward new connections to another `host:port`: the service has started there."""
        self._host, _, port = target.partition(":")
        self._port = int(port)

    @property
    def has_outage(self) -> bool:
        """True while an outage lasts."""
        return self._kind is not None

    def cut(self) -> None:
        """Refuse everything until `end_outage`."""
        self.end_outage()
        self._loop.call_soon_threadsafe(self._change, OutageKind.REFUSED)

    def begin_outage(self, kind: OutageKind, seconds: float) -> None:
        """Begin an outage that ends after that time, unless it is ended before."""
        self._loop.call_soon_threadsafe(self._change, kind)
        self._timer = threading.Timer(seconds, self.end_outage)
        self._timer.start()

    def end_outage(self) -> None:
        """End the outage, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            if self._timer is not threading.current_thread():
                # It must not reach the loop after the loop's end.
                self._timer.join()
        self._loop.call_soon_threadsafe(self._change, None)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> asyncio.Server:
        self._flowing.set()
        host, _, port = self.address.partition(":")
        return await asyncio.start_server(self._forward, host, int(port))

    async def _close(self, server: asyncio.Server) -> None:
        server.close()
        await server.wait_closed()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections)
        # An aborted transport closes its socket in the loop's next round.
        await asyncio.sleep(0)

    def _change(self, kind: OutageKind | None) -> None:
        # After lost answers the connections would be out of step.
        if OutageKind.REFUSED in {kind, self._kind} or self._kind is OutageKind.ANSWERS_LOST:
            for writer in self._writers:
                writer.transport.abort()
        self._kind = kind
        if kind is OutageKind.SILENT:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._kind is OutageKind.REFUSED:
            writer.transport.abort()
            return
        connection = asyncio.current_task()
        assert connection is not None
        self._connections.add(connection)
        # Only `_close` cancels a connection: it waits for the end, and nothing else does.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._connect(reader, writer)
        writer.transport.abort()
        self._connections.discard(connection)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        both = {writer, server_writer}
        self._writers |= both
        try:
            await asyncio.gather(
                self._copy(reader, server_writer, are_answers=False),
                self._copy(server_reader, writer, are_answers=True),
            )
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, are_answers: bool
    ) -> None:
        while data := await reader.read(1 << 16):
            await self._flowing.wait()
            if are_answers and self._kind is OutageKind.ANSWERS_LOST:
                continue
            writer.write(data)
            await writer.drain()
        # One side has ended its connection: so does the other.
        writer.transport.abort()
