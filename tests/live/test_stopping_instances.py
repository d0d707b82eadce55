"""SIGTERM to the entry points, as Cloud Run starts them: open streams end, and the process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from simulation.world import JWT_SECRET, KEY, ROOT, token
from taskreel_local.emulators.google_emulators import free_port

#: Cloud Run kills what has not ended ten seconds after the signal. A busy machine takes longer for
#: everything: the time of the start is allowed besides, some two seconds where it is quiet.
MOST_SECONDS = 7
PROGRAMS = Path(sys.executable).parent

pytestmark = pytest.mark.slow


@asynccontextmanager
async def running_instance(
    folder: Path, words: list[str], **settings: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, float]]:
    """The process, the port on which it answers, and the seconds that it may take to end."""
    starting = time.monotonic()
    port = free_port()
    environment = {
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "STORE_URL": f"sqlite:///{folder}/store.db",
        "BLOBS_URL": f"file:///{folder}/files",
        "FILES_SECRET": "of the embedded stack's files alone",
        "JWT_SECRET": JWT_SECRET,
        "PORT": str(port),
        **settings,
    }
    program, *rest = (word.replace("$PORT", str(port)) for word in words)
    process = await asyncio.create_subprocess_exec(
        str(PROGRAMS / program), *rest, cwd=ROOT / "functions", env=environment
    )
    try:
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
            while True:
                with suppress(httpx.TransportError):
                    await client.get(f"http://127.0.0.1:{port}/", timeout=10)
                    break
                await asyncio.sleep(0.1)
        yield process, port, MOST_SECONDS + time.monotonic() - starting
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def wait_for_end(
    process: asyncio.subprocess.Process, begun: float, most_seconds: float
) -> None:
    """Wait for its end, in time."""
    async with asyncio.timeout(most_seconds + 60):
        assert await process.wait() in {0, -signal.SIGTERM}
    assert time.monotonic() - begun < most_seconds


async def test_event_streams_of_the_api_end_on_sigterm(tmp_path: Path) -> None:
    queues = {
        "TASKS_URL": f"embedded:///{ROOT / 'infra' / 'queues.yaml'}",
        "INTERNAL_API_KEY": KEY,
    }
    words = ["functions-framework", "--asgi", "--source", "main.py", "--target", "jobs_api"]
    async with running_instance(tmp_path, words, **queues) as (process, port, most_seconds):
        url = f"http://127.0.0.1:{port}/api/jobs/events"
        headers = {"Authorization": f"Bearer {token('ada')}"}
        async with httpx.AsyncClient(headers=headers, timeout=30) as client:
            async with client.stream("GET", url) as answer:
                lines = answer.aiter_lines()
                assert await anext(lines) == "event: ready"
                begun = time.monotonic()
                process.send_signal(signal.SIGTERM)
                rest = [line async for line in lines]  # raises if it is cut off
                assert time.monotonic() - begun < most_seconds
            assert not [line for line in rest if line.startswith("event:")]
        await wait_for_end(process, begun, most_seconds)


async def test_sockets_of_the_gateway_end_on_sigterm(tmp_path: Path) -> None:
    """With its deployed command and settings: no queues, no key but that of tokens."""
    declared = yaml.safe_load((ROOT / "infra" / "services.yaml").read_text())
    service: Mapping[str, Any] = declared["services"]["jobs-gateway"]
    words: list[str] = service["entrypoint"].split()
    variables: dict[str, str] = service["env"]
    async with running_instance(tmp_path, words, **variables) as (process, port, most_seconds):
        url = f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        async with connect(url, compression=None) as opened:
            await opened.recv()
            await opened.send("40" + json.dumps({"token": token("ada")}))
            assert "pid" in json.loads(str(await opened.recv())[2:])
            begun = time.monotonic()
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(most_seconds):
                with suppress(ConnectionClosed):
                    while True:
                        await opened.recv()
        await wait_for_end(process, begun, most_seconds)
