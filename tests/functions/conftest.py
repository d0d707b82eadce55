from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.market import Market, Stalls, market
from simulation.world import World, running


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
async def stalls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stalls]:
    """Makes a market of the providers named, that is closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(*names: str, **settings: Any) -> Market:
            return await stack.enter_async_context(market(tmp_path, monkeypatch, *names, **settings))

        yield make


@pytest.fixture
def ada(world: World) -> httpx.AsyncClient:
    """A user's client."""
    return world.as_user("ada")


@pytest.fixture
def admin(world: World) -> httpx.AsyncClient:
    return world.as_user("root", role="admin")
