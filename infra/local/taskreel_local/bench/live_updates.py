"""`scripts/bench live`: from a job's change to the event at a socket.io client, on both stores.

An event's offset has the time of its commit, and both processes have the same clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import jwt
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from taskreel_local.bench.table import format_table
from taskreel_local.emulators.google_emulators import EmulatorMissingError, firestore_emulator
from taskreel_local.stack.descriptor_limit import raise_descriptor_limit
from taskreel_local.stack.repository_paths import ROOT

CLIENTS = 200
CHANGES, CHANGES_PER_SECOND = 1000, 50
IDLE_CLIENTS = 2000
_SECRET = "a secret of the benchmark, of thirty-two bytes or more"  # noqa: S105 - only here


class Client:
    """The part of a socket.io client that the measurements need."""

    def __init__(self, port: int, user: str) -> None:
        self._url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        claims = {"sub": user, "exp": int(time.time()) + 3600}
        self._auth = {"token": jwt.encode(claims, _SECRET, algorithm="HS256")}
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self.delays: list[float] = []

    async def connect(self) -> None:
        """Connect, and go on where the last connection ended."""
        self._socket = await connect(self._url, compression=None, max_queue=64)
        await self._socket.recv()
        await self._socket.send("40" + json.dumps(self._auth))
        answer = json.loads(str(await self._socket.recv())[2:])
        self._auth["pid"] = answer["pid"]
        self._reading = asyncio.create_task(self._read(self._socket))

    async def _read(self, opened: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in opened:
                text = str(message)
                if text == "2":
                    await opened.send("3")
                elif text.startswith("42"):
                    received = time.time_ns()
                    self._auth["offset"] = json.loads(text[2:])[-1]
                    committed = int(self._auth["offset"].partition("@")[2].partition(".")[0])
                    self.delays.append((received - committed) / 1e6)

    def cut(self) -> None:
        """Break the connection, without a farewell."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            await self._socket.close()
        if self._reading is not None:
            await self._reading


async def _connect_all(clients: list[Client]) -> float:
    """Connect all at once, a hundred at a time; the seconds it took."""
    begun = time.perf_counter()
    room = asyncio.Semaphore(100)

    async def connect_one(client: Client) -> None:
        async with room:
            await client.connect()

    await asyncio.gather(*(connect_one(client) for client in clients))
    return time.perf_counter() - begun


async def _measure(
    port: int, server: psutil.Process, change: Callable[[int], Awaitable[None]]
) -> list[list[str]]:
    clients = [Client(port, f"user{number}") for number in range(CLIENTS)]
    await _connect_all(clients)
    begun = time.perf_counter()
    await change(CHANGES)
    rate = CHANGES / (time.perf_counter() - begun)
    await asyncio.sleep(0.5)
    delays = sorted(delay for client in clients for delay in client.delays)
    cuts = statistics.quantiles(delays, n=100)
    rows = [
        ["changes that the store has taken a second", f"{rate:.0f}"],
        ["events received of changes", f"{len(delays)} of {CHANGES}"],
        ["change → event, p50", f"{statistics.median(delays):.1f} ms"],
        ["change → event, p99", f"{cuts[98]:.1f} ms"],
    ]
    for client in clients:
        client.cut()
    seconds = await _connect_all(clients)
    rows.append([f"{CLIENTS} clients cut: all are back after", f"{seconds:.2f} s"])
    await asyncio.gather(*(client.close() for client in clients))
    await asyncio.sleep(0.5)
    before = server.memory_info().rss
    idle = [Client(port, f"idle{number}") for number in range(IDLE_CLIENTS)]
    await _connect_all(idle)
    after = server.memory_info().rss
    rows.append([f"the server's memory with {IDLE_CLIENTS} idle clients", f"{after / 1e6:.0f} MB"])
    rows.append(["of it each client", f"{(after - before) / IDLE_CLIENTS / 1e3:.0f} kB"])
    await asyncio.gather(*(client.close() for client in idle))
    return rows


async def _run() -> None:
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as folder:
        columns = {"SQLite": await _measure_on(f"sqlite:///{Path(folder) / 'store.db'}", folder)}
        try:
            with firestore_emulator() as address:
                url = f"firestore://taskreel-live?emulator={address}"
                columns["Firestore's emulator"] = await _measure_on(url, folder)
        except EmulatorMissingError as missing:
            print(f"Firestore: left out, {missing}")
    first, *others = columns.values()
    rows = [
        [name, value, *(rows[place][1] for rows in others)]
        for place, (name, value) in enumerate(first)
    ]
    head = [f"{CLIENTS} clients, {CHANGES_PER_SECOND} changes a second", *columns]
    print(format_table(head, rows))


async def _measure_on(store_url: str, folder: str) -> list[list[str]]:
    """The rows of a server over this store."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "STORE_URL": store_url,
        "BLOBS_URL": f"file:///{Path(folder) / 'files'}",
        "FILES_SECRET": _SECRET,
        "JWT_SECRET": _SECRET,
        "INTERNAL_API_KEY": _SECRET,
        "LOG_LEVEL": "ERROR",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "functions"), str(ROOT / "infra" / "local")]),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "taskreel_local.bench.live_server", str(port)),
        env={**os.environ, **settings},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None  # noqa: S101 - it is a pipe, see above
    assert process.stdout is not None  # noqa: S101 - as above
    stdin, stdout = process.stdin, process.stdout

    async def change(count: int) -> None:
        stdin.write(f"changes {count} {CHANGES_PER_SECOND} {CLIENTS}\n".encode())
        await stdout.readline()

    try:
        await _wait_for_port(port)
        return await _measure(port, psutil.Process(process.pid), change)
    finally:
        process.kill()
        await process.wait()


async def _wait_for_port(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)


def main() -> None:
    """Measure, and print a table."""
    asyncio.run(_run())


if __name__ == "__main__":
    main()
