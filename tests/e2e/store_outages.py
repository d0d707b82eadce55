"""A TCP proxy in front of the store, with outages of three kinds."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from enum import StrEnum

from taskreel_local.emulators.google_emulators import free_port


class OutageKind(StrEnum):
    """The symptom of an outage for the store's clients."""

    #: Connections are closed, and new ones as soon as they are made: calls end as UNAVAILABLE.
    REFUSED = "store refuses"
    #: Nothing is answered; what was sent is carried out when the outage ends.
    SILENT = "store silent"
    #: Calls are carried out, but their answers are lost.
    ANSWERS_LOST = "store answers lost"


class OutageProxy:
    """Forwards connections to `target`, a `host:port`, except during an outage."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.partition(":")
        self._port = int(port)
        self.address = f"127.0.0.1:{free_port()}"
        self._kind: OutageKind | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._timer: threading.Timer | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[OutageProxy]:
        """Forward connections during the block, on a thread of its own."""
        started: Future[None] = Future()
        thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        thread.start()
        started.result(10)
        try:
            yield self
        finally:
            self.end_outage()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)

    @property
    def has_outage(self) -> bool:
        """True while an outage lasts."""
        return self._kind is not None

    def begin_outage(self, kind: OutageKind, seconds: float) -> None:
        """Begin an outage that ends after that time, unless it is ended before."""
        self._loop.call_soon_threadsafe(self._change, kind)
        self._timer = threading.Timer(seconds, self.end_outage)
        self._timer.start()

    def end_outage(self) -> None:
        """End the outage, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop.call_soon_threadsafe(self._change, None)

    def _run(self, started: Future[None]) -> None:
        asyncio.set_event_loop(self._loop)
        host, _, port = self.address.partition(":")
        self._flowing.set()
        self._loop.run_until_complete(asyncio.start_server(self._forward, host, int(port)))
        started.set_result(None)
        self._loop.run_forever()

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
        with contextlib.suppress(OSError):
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
