from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel_local.emulators import EmulatorMissingError, LocalStorage, firestore_emulator, storage_emulator


@pytest.fixture(scope="session")
def firestore_address() -> Iterator[str]:
    try:
        with firestore_emulator() as address:
            yield address
    except EmulatorMissingError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def local_storage() -> Iterator[LocalStorage]:
    with storage_emulator() as local:
        yield local


@pytest.fixture
def bucket(local_storage: LocalStorage) -> str:
    name = f"test-{uuid4().hex}"
    local_storage.server.buckets.create_bucket(name, {})
    return name


@pytest.fixture
async def new_store(firestore_address: str) -> AsyncIterator[Callable[..., FirestoreStore]]:
    """Makes stores over the same, fresh project."""
    project = f"test-{uuid4().hex}"
    opened: list[FirestoreStore] = []

    def make(interceptors: Sequence[Any] = (), *, conflict_seconds: float = 20) -> FirestoreStore:
        store = FirestoreStore(
            project, emulator=firestore_address, interceptors=interceptors, conflict_seconds=conflict_seconds
        )
        opened.append(store)
        return store

    yield make
    for store in opened:
        await store.close()
