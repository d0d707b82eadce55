from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from simulation.world import World, running


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def ada(world: World) -> httpx.AsyncClient:
    """A user's client."""
    return world.as_user("ada")


@pytest.fixture
def admin(world: World) -> httpx.AsyncClient:
    return world.as_user("root", role="admin")
