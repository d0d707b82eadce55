"""One fixture a port: each test runs over every adapter of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from taskreel.adapters.encryption.data_keys import DataKeys
from taskreel.adapters.encryption.encrypted_store import EncryptedStore
from taskreel.adapters.gcp.cloud_storage import CloudStorage
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.adapters.local.files import FileBlobs
from taskreel.adapters.local.key_file import KEY_BYTES, LocalKey
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.ports import Blobs, Index, Store, Timer
from taskreel_local.emulators.google_emulators import LocalStorage, free_port

INDEXES = (
    Index("rows", (("owner", "asc"), ("at", "desc"))),
    Index("rows", (("shard", "asc"), ("at", "asc"))),
)
#: Fields that the suite neither queries nor changes without a read: they are encrypted as one.
PROTECTED = {"rows": frozenset({"value", "other", "text"})}


@dataclass
class StoreMaker:
    """Opens stores over the same documents; a second one acts as a second process.

    A SQLite file has one owner, so there every caller gets the same store.
    """

    path: Path
    emulator: str | None
    project: str = field(default_factory=lambda: f"test-{uuid4().hex}")
    #: With it, what is stored is encrypted.
    key: LocalKey | None = None
    opened: list[Store] = field(default_factory=list)

    def open(self) -> Store:
        """Open one more store."""
        if self.emulator is not None:
            self._add(FirestoreStore(self.project, emulator=self.emulator))
        elif not self.opened:
            self._add(SqliteStore(self.path, INDEXES))
        return self.opened[-1]

    def _add(self, store: Store) -> None:
        if self.key is not None:
            store = EncryptedStore(store, DataKeys(store, [self.key]), PROTECTED)
        self.opened.append(store)

    def unreachable(self) -> Store:
        """A store that cannot be reached: its file is a folder, or its port is closed."""
        folder = self.path.with_suffix(".folder")
        folder.mkdir()
        self._add(
            SqliteStore(folder)
            if self.emulator is None
            else FirestoreStore(self.project, emulator=f"127.0.0.1:{free_port()}")
        )
        return self.opened[-1]


@pytest.fixture(
    params=[
        "sqlite",
        "sqlite encrypted",
        pytest.param("firestore", marks=pytest.mark.emulator),
        pytest.param("firestore encrypted", marks=pytest.mark.emulator),
    ]
)
async def store_maker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreMaker]:
    kind, _, encrypted = request.param.partition(" ")
    emulator = request.getfixturevalue("firestore_address") if kind == "firestore" else None
    key = LocalKey(b"k" * KEY_BYTES) if encrypted else None
    maker = StoreMaker(tmp_path / "store.db", emulator, key=key)
    yield maker
    await asyncio.gather(*(store.close() for store in maker.opened))


@pytest.fixture
def store(store_maker: StoreMaker) -> Store:
    return store_maker.open()


@pytest.fixture
def open_store(store_maker: StoreMaker) -> Callable[[], Store]:
    return store_maker.open


@pytest.fixture
def unreachable_store(store_maker: StoreMaker) -> Store:
    return store_maker.unreachable()


class MachineClock:
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)


@pytest.fixture(params=["files", pytest.param("gcs", marks=pytest.mark.emulator)])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    if request.param == "files":
        yield FileBlobs(
            tmp_path / "bucket",
            base_url="http://127.0.0.1:1",
            secret=b"secret",
            clock=MachineClock(),
        )
        return
    local: LocalStorage = request.getfixturevalue("local_storage")
    bucket = f"test-{uuid4().hex}"
    local.server.buckets.create_bucket(bucket, {})
    cloud = CloudStorage(bucket, emulator=local.url, signing_key=local.signing_key)
    yield cloud
    await cloud.close()
