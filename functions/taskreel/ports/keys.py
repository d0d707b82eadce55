"""The port of a key service: it encrypts the keys with which this system encrypts its documents."""

from __future__ import annotations

from typing import Protocol


class KeyService(Protocol):
    """One key that never leaves its service. It wraps data keys: envelope encryption."""

    @property
    def name(self) -> str:
        """The key's name, stored beside what it has wrapped."""

    async def wrap(self, data_key: bytes, /) -> bytes:
        """Encrypt a data key. Raises StoreError if the service cannot be reached or refuses."""

    async def unwrap(self, wrapped: bytes, /) -> bytes:
        """Decrypt a data key. Raises StoreError, also for one that another key has wrapped."""

    async def close(self) -> None:
        """Disconnect."""
