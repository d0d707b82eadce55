"""The data keys: stored in their wrapped form, unwrapped in this process's memory alone."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from taskreel.domain.data_key import DataKey
from taskreel.domain.errors import EncryptionKeyError
from taskreel.ports import Query, Store, Transaction
from taskreel.ports.keys import KeyService
from taskreel.store_collections import DATA_KEYS

log = logging.getLogger(__name__)

_KEY_BYTES = 32
#: A key that another instance has made is used for writes after so long; for reads at once.
REFRESH_SECONDS = 300.0


class MissingDataKeyError(Exception):
    """A document needs a data key that is not in memory: load it, and read again.

    It is no ValueError, which would be taken for an unreadable document.
    """

    def __init__(self, key_id: str) -> None:
        super().__init__(key_id)
        self.key_id = key_id


async def list_data_keys(store: Store) -> list[DataKey]:
    """All data keys, the newest first: a few, so that no index on a time is needed."""
    rows = await store.query(Query(collection=DATA_KEYS))
    return sorted((row.value for row in rows), key=lambda key: key.created_at, reverse=True)


class DataKeys:
    """The data keys of one store. The first of the services wraps new ones."""

    def __init__(
        self,
        store: Store,
        services: Sequence[KeyService],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._services = services
        self._now = now
        self._unwrapped: dict[str, bytes] = {}
        self._current: str | None = None
        self._refresh_at = 0.0
        self._lock = asyncio.Lock()

    def find(self, key_id: str) -> bytes:
        """A data key in memory. Raises MissingDataKeyError."""
        try:
            return self._unwrapped[key_id]
        except KeyError:
            raise MissingDataKeyError(key_id) from None

    def find_current(self) -> tuple[str, bytes]:
        """The id of the key for new writes, and the key, once `open_current` has returned."""
        if self._current is None:
            raise RuntimeError("a document is encrypted before open_current()")
        return self._current, self._unwrapped[self._current]

    async def open_current(self) -> None:
        """Have the key for new writes in memory; the first caller of all makes it."""
        if self._is_fresh():
            return
        async with self._lock:
            if self._is_fresh():
                return
            # Before another is made: with wrong settings nothing is written.
            newest = await self._load_newest()
            # A key service that was put before the others wraps from now on.
            if newest is None or newest.wrapped_by != self._services[0].name:
                newest = await self._make_key()
            self._use_for_writes(newest)

    async def check(self) -> None:
        """Raise StoreError if the newest data key cannot be decrypted; none is made."""
        await self._load_newest()

    async def load(self, key_id: str) -> None:
        """Bring a data key into memory. Raises EncryptionKeyError."""
        stored = await self._store.get(DATA_KEYS, key_id)
        if stored is None:
            raise EncryptionKeyError(
                f"Documents are encrypted by the data key {key_id}, which is not in the collection "
                f"{DATA_KEYS.name} of this store. Restore that collection from the backup that has "
                "these documents."
            )
        await self._unwrap_key(stored)

    async def rotate(self) -> str:
        """Make a new data key for new writes; return its id."""
        async with self._lock:
            await self._load_newest()
            made = await self._make_key()
            self._use_for_writes(made)
            return made.key_id

    async def close(self) -> None:
        """Forget all keys, and disconnect from their services."""
        self._unwrapped.clear()
        self._current = None
        for service in self._services:
            await service.close()

    def _is_fresh(self) -> bool:
        return self._current is not None and time.monotonic() < self._refresh_at

    def _use_for_writes(self, key: DataKey) -> None:
        self._current = key.key_id
        self._refresh_at = time.monotonic() + REFRESH_SECONDS

    async def _load_newest(self) -> DataKey | None:
        """Bring the newest data key into memory; None if there is none. Raises StoreError."""
        found = await list_data_keys(self._store)
        if not found:
            return None
        await self._unwrap_key(found[0])
        return found[0]

    async def _make_key(self) -> DataKey:
        data_key, service = secrets.token_bytes(_KEY_BYTES), self._services[0]
        wrapped = await service.wrap(data_key)
        made = DataKey(
            key_id=secrets.token_hex(8),
            wrapped_by=service.name,
            wrapped=base64.b64encode(wrapped).decode(),
            created_at=self._now(),
        )

        async def write(tx: Transaction) -> None:
            tx.create(DATA_KEYS, made.key_id, made)

        await self._store.transaction(write)
        # Before any document: without its key one could never be read again.
        await self._store.durable()
        self._unwrapped[made.key_id] = data_key
        log.info(
            "a data key was made", extra={"action": "data_key_made", "wrappedBy": service.name}
        )
        return made

    async def _unwrap_key(self, stored: DataKey) -> None:
        if stored.key_id in self._unwrapped:
            return
        names = [service.name for service in self._services]
        if stored.wrapped_by not in names:
            raise EncryptionKeyError(
                f"The data key {stored.key_id} was encrypted by {stored.wrapped_by}, and "
                f"ENCRYPTION_KEY names {', '.join(names)}. Set ENCRYPTION_KEY to the key that has "
                "encrypted this store; to change it, name the new one first and the old one behind "
                "a comma."
            )
        service = self._services[names.index(stored.wrapped_by)]
        self._unwrapped[stored.key_id] = await service.unwrap(base64.b64decode(stored.wrapped))
