"""The API on a real port, over HTTPS, for the released clients of other services.

A client runs as a process of its own, as its users run it: with nothing changed but the base URL
and the token. It prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import uvicorn

from installed_programs import share_npm_packages
from simulation.world import World, running, token
from taskreel_local.stack.server_main import PathRouter

HERE = Path(__file__).parent
PACKAGES = ["@fal-ai/client@1", "replicate@1", "@hookflo/tern@4"]
#: No client's script takes that long, beside other work either.
MOST_SECONDS = 180


@dataclass
class OtherApis:
    """The world, its address, and the clients that are started."""

    world: World
    url: str
    ca_file: Path

    async def run_python(self, script: str, **variables: str) -> dict[str, Any]:
        """Run a script of these tests; return the object that it prints."""
        return await self.run_client([sys.executable, str(HERE / script)], variables)

    async def run_client(
        self, command: Sequence[str], variables: Mapping[str, str], folder: Path = HERE
    ) -> dict[str, Any]:
        """Run a client while time passes; return the object that it prints at its end."""
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/"),
                "API_URL": self.url,
                "API_TOKEN": token("ada"),
                "SSL_CERT_FILE": str(self.ca_file),
                "NODE_EXTRA_CA_CERTS": str(self.ca_file),
                **variables,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        ended = asyncio.create_task(process.communicate())
        try:
            async with asyncio.timeout(MOST_SECONDS):
                while not ended.done():
                    await self.world.advance(0.5)
                    # The client's own time: it polls, and answers travel.
                    await asyncio.wait([ended], timeout=0.05)
        finally:
            if process.returncode is None:
                process.kill()
            printed, errors = await ended
        assert process.returncode == 0, errors.decode()[-3000:]
        answer: dict[str, Any] = json.loads(printed)
        return answer


@asynccontextmanager
async def serve_apis(
    folder: Path, patch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[OtherApis]:
    """Serve a world on a port of its own, with these settings."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    authority = trustme.CA()
    ca_file, key_file = folder / "ca.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(key_file))
    async with running(folder, patch, api_base_url=url, **settings) as world:
        config = uvicorn.Config(
            PathRouter(),  # the dev stack's: files of the bucket too
            ssl_certfile=str(key_file),
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield OtherApis(world, url, ca_file)
        server.should_exit = True
        await serving
    listener.close()


@pytest.fixture
async def apis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OtherApis]:
    async with serve_apis(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture(scope="session")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the released clients of JavaScript, unmodified."""
    programs = [HERE / "released_clients.mjs", HERE / "webhook_clients.mjs"]
    with share_npm_packages(tmp_path_factory, "other-apis", *PACKAGES, programs=programs) as folder:
        yield folder


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world without a port, for what needs no released client."""
    async with running(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def ada(world: World) -> httpx.AsyncClient:
    return world.as_user("ada")
