from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel_local.emulators.google_emulators import LocalStorage

from .deployed import Deployed, deployed


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
) -> AsyncIterator[Deployed]:
    """The system on Google's adapters; a file of tests says by `interceptors` what stands in its channels."""
    async with deployed(
        tmp_path, monkeypatch, firestore_address, local_storage, interceptors
    ) as running:
        yield running


@pytest.fixture
async def new_store(firestore_address: str) -> AsyncIterator[Callable[..., FirestoreStore]]:
    """Makes stores over the same, fresh project."""
    project = f"test-{uuid4().hex}"
    opened: list[FirestoreStore] = []

    def make(interceptors: Sequence[Any] = (), *, conflict_seconds: float = 20) -> FirestoreStore:
        store = FirestoreStore(
            project,
            emulator=firestore_address,
            interceptors=interceptors,
            conflict_seconds=conflict_seconds,
        )
        opened.append(store)
        return store

    yield make
    for store in opened:
        await store.close()
