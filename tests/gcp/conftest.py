from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel_local.emulators.google_emulators import LocalStorage

from .deployment import Deployment, run_deployment


@pytest.fixture
def bucket(local_storage: LocalStorage) -> str:
    name = f"test-{uuid4().hex}"
    local_storage.server.buckets.create_bucket(name, {})
    return name


@pytest.fixture
async def cloud(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    firestore_address: str,
    local_storage: LocalStorage,
    interceptors: list[Any],
) -> AsyncIterator[Deployment]:
    """The system over Google's adapters, with a test file's `interceptors` in its channels."""
    async with run_deployment(
        tmp_path, monkeypatch, firestore_address, local_storage, interceptors
    ) as running:
        yield running


@pytest.fixture
async def new_store(firestore_address: str) -> AsyncIterator[Callable[..., FirestoreStore]]:
    """Open stores over one new project."""
    project = f"test-{uuid4().hex}"
    opened: list[FirestoreStore] = []

    def open_store(
        interceptors: Sequence[Any] = (),
        *,
        conflict_seconds: float = 20,
        is_leased: Callable[[str, Any], bool] = lambda _collection, _data: False,
        type_shards: int = 0,
    ) -> FirestoreStore:
        store = FirestoreStore(
            project,
            emulator=firestore_address,
            interceptors=interceptors,
            conflict_seconds=conflict_seconds,
            is_leased=is_leased,
            type_shards=type_shards,
        )
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        await store.close()
