from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from firestore_indexes import DeclaredIndexes, QueryShape
from functions.fake_providers import ProviderSetup, StartProviders, running_with_fakes
from functions.webhook_receiver import Hooked, Receiver
from simulation.world import LIMITS, World, running
from streamed_answers import StreamedAnswers
from taskreel import service_building
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.ports import Query, Row

#: Asked only by the process that alone owns a SQLite file, at its start: app/worker/recovery.py.
RECOVERY = QueryShape("jobs", frozenset({"status", "wakeShard"}), (("wakeAt", "asc"),))


@pytest.fixture(autouse=True)
def every_query_is_served_by_the_declared_indexes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Firestore would refuse it otherwise; SQLite answers anything."""
    declared, query, aggregate = DeclaredIndexes.load(), SqliteStore.query, SqliteStore.aggregate

    async def checked(store: SqliteStore, asked: Query[Any], /) -> list[Row[Any]]:
        shape = QueryShape.of(asked)
        assert shape == RECOVERY or declared.can_serve(shape), (
            f"infra/firestore.indexes.json has no index for {asked}"
        )
        return await query(store, asked)

    async def summed(
        store: SqliteStore, asked: Query[Any], /, *, total: Sequence[str] = ()
    ) -> dict[str, int | float]:
        assert declared.can_serve(QueryShape.of(asked, total)), (
            f"infra/firestore.indexes.json has no index for {asked}"
        )
        return await aggregate(store, asked, total=total)

    monkeypatch.setattr(SqliteStore, "query", checked)
    monkeypatch.setattr(SqliteStore, "aggregate", summed)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with running(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
async def limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A world with the limits of a deployment, which have no project."""
    async with running(tmp_path, monkeypatch, limits=LIMITS) as made:
        yield made


@pytest.fixture
async def start_providers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartProviders]:
    """Start worlds with fakes of the named providers; they are closed after the test."""
    async with AsyncExitStack() as stack:

        async def make(*names: str, **settings: Any) -> ProviderSetup:
            return await stack.enter_async_context(
                running_with_fakes(tmp_path, monkeypatch, *names, **settings)
            )

        yield make


@pytest.fixture
async def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hooked]:
    receiver = Receiver()
    transport = StreamedAnswers(receiver)
    monkeypatch.setattr(
        service_building, "WebhookSender", partial(WebhookSender, transport=transport)
    )
    async with running(tmp_path, monkeypatch) as world:
        yield Hooked(world, receiver, world.as_user("ada"))


@pytest.fixture
def ada(world: World) -> httpx.AsyncClient:
    """A user's client."""
    return world.as_user("ada")


@pytest.fixture
def admin(world: World) -> httpx.AsyncClient:
    return world.as_user("root", role="admin")
