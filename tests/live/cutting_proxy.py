"""A TCP proxy that cuts its connections at random, in the middle of whatever passes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

#: So many jobs are stored at most that the client has not read.
MOST_BEHIND = 30


class CuttingProxy:
    """Passes bytes to the port `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.cuts = 0
        #: The connections that were ever made.
        self.opened = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._random = random.Random(5)

    async def serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers |= {writer, up_writer}
            self.opened += 1
            passing = [
                asyncio.create_task(self._pass(reader, up_writer)),
                asyncio.create_task(self._pass(up_reader, writer)),
            ]
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
            for one in (writer, up_writer):
                self._writers.discard(one)
                one.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()

    @property
    def is_used(self) -> bool:
        """True while a connection is open."""
        return bool(self._writers)

    def cut_all(self) -> None:
        """Reset every connection."""
        for writer in list(self._writers):
            writer.transport.abort()
        self.cuts += 1

    def cut_one(self) -> None:
        """Reset one connection, without a farewell."""
        open_ones = sorted(self._writers, key=id)
        if open_ones:
            self._random.choice(open_ones).transport.abort()
            self.cuts += 1


@asynccontextmanager
async def running_proxy(target: int) -> AsyncIterator[CuttingProxy]:
    proxy = CuttingProxy(target)
    server = await asyncio.start_server(proxy.serve_connection, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for writer in list(proxy._writers):
            writer.transport.abort()


async def wait_for_reader(stored: int, count_read: Callable[[], int]) -> None:
    """Wait until the client has read something, or for a moment; longer while it is far behind.

    On a busy machine a client that is cut before it has read anything, again and again, falls so
    far behind that it rightly gets a snapshot. Most cuts still come in the middle of what it reads.
    """
    seen, until = count_read(), time.monotonic() + 0.2
    async with asyncio.timeout(60):
        while stored - count_read() > MOST_BEHIND or (  # noqa: ASYNC110 - as seen from outside
            count_read() == seen and time.monotonic() < until
        ):
            await asyncio.sleep(0.005)
