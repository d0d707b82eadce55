"""Raw sockets against a server whose bounds are small: count, size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from taskreel_local.stack.bounded_http import HttpBounds, bounded_protocol, choose_bounds

BOUNDS = HttpBounds(
    connections=8,
    header_bytes=4096,
    header_seconds=0.4,
    body_seconds=0.4,
    write_seconds=0.4,
)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#: More than the buffers of both ends take.
LARGE = 64 << 20


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        if message["type"] == "http.disconnect":
            return
    if scope["path"] == "/wait":
        await asyncio.sleep(1)
    body = bytes(LARGE) if scope["path"] == "/large" else b"fine"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Served:
    """A server with BOUNDS, on a port of this machine."""

    port: int
    server: uvicorn.Server

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, *parts: bytes, seconds: float = 3) -> bytes:
        """Send the parts and read until the server closes or has answered."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(seconds):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                return await reader.read(4096)
        except ConnectionError:
            return b"reset"
        finally:
            writer.close()


@asynccontextmanager
async def serving(bounds: HttpBounds) -> AsyncIterator[Served]:
    config = uvicorn.Config(
        answer,
        http=bounded_protocol(bounds),
        port=0,
        lifespan="off",
        log_config=None,
        timeout_keep_alive=2,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Served(port, server)
    finally:
        await server.shutdown()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(BOUNDS) as found:
        yield found


async def test_ordinary_requests_are_answered_one_after_another(served: Served) -> None:
    reader, writer = await served.connect()
    for _ in range(3):
        writer.write(GET)
        assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(BOUNDS.header_seconds * 1.2)  # idle between requests is allowed
    writer.close()


async def test_http_1_0_has_a_persistent_connection_when_it_asks_for_it(served: Served) -> None:
    reader, writer = await served.connect()
    for _ in range(2):
        writer.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert b"keep-alive" in await reader.readuntil(b"fine")
    writer.close()


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_long_headers_are_refused(served: Served, end: bytes) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"v" * 100) for n in range(100))
    found = await served.ask(b"GET / HTTP/1.1\r\n" + lines + end)
    assert found.startswith(b"HTTP/1.1 431")


async def test_headers_without_an_end_take_no_memory(served: Served) -> None:
    found = await served.ask(b"GET / HTTP/1.1\r\nX: ", *[b"v" * 1024] * 1000)
    assert found.startswith(b"HTTP/1.1 431") or found == b"reset"


async def test_slow_headers_are_cut_off(served: Served) -> None:
    found = await served.ask(b"GET / HTTP/1.1\r\nHost: ")
    assert found.startswith(b"HTTP/1.1 408")


async def test_a_slow_body_is_cut_off_however_it_drips(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
    async with asyncio.timeout(3):
        found = asyncio.ensure_future(reader.read(100))
        for _ in range(20):
            if found.done():
                break
            writer.write(b".")
            await asyncio.sleep(0.1)
        assert (await found).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_a_connection_without_a_request_is_closed(served: Served) -> None:
    assert await served.ask() == b""


async def test_a_request_that_takes_long_to_answer_is_not_cut_off(served: Served) -> None:
    found = await served.ask(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 200")


async def test_a_caller_that_does_not_read_is_cut_off(served: Served) -> None:
    _, writer = await served.connect()
    writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.2)
    assert len(served.server.server_state.connections) == 1
    await asyncio.sleep(1)
    assert not served.server.server_state.connections
    writer.close()


async def test_idle_connections_block_no_other_client() -> None:
    patient = HttpBounds(connections=8, header_seconds=60)
    async with serving(patient) as served:
        idle = [await served.connect() for _ in range(30)]
        assert (await served.ask(GET)).startswith(b"HTTP/1.1 200")
        assert len(served.server.server_state.connections) <= patient.connections
        for _, writer in idle:
            writer.close()


async def test_more_requests_at_once_than_connections_are_allowed_are_told_so(
    served: Served,
) -> None:
    path = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
    waiting = [asyncio.ensure_future(served.ask(path)) for _ in range(8)]
    await asyncio.sleep(0.3)
    refused = await asyncio.gather(*(served.ask(path) for _ in range(4)))
    assert {each[9:12] for each in refused} == {b"503"}
    assert {each[9:12] for each in await asyncio.gather(*waiting)} == {b"200"}


async def test_a_request_on_its_way_when_the_server_stops_is_answered(served: Served) -> None:
    reader, writer = await served.connect()
    silent, silent_writer = await served.connect()
    await asyncio.sleep(0.1)
    assert len(served.server.server_state.connections) == 2
    stopping = asyncio.ensure_future(served.server.shutdown())
    await asyncio.sleep(0)
    writer.write(GET)
    async with asyncio.timeout(3):
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        assert await silent.read() == b""
        await stopping
    for each in (writer, silent_writer):
        each.close()


def test_the_connections_leave_descriptors_for_everything_else() -> None:
    assert choose_bounds(1024).connections == 1024 - 256
    assert choose_bounds(1_000_000).connections == HttpBounds().connections
