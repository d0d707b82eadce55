"""The bucket on Cloud Storage. Importing this loads no Google library: the first use does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskreel.ports import BlobInfo

if TYPE_CHECKING:
    from taskreel.adapters.gcp.bucket import Bucket


class CloudStorage:
    """`Blobs` in one bucket; its methods hand over to the library's blocking client on threads.

    `signing_key` is a service account's key file as a mapping, for signed URLs at home. Without it they are signed by
    IAM as the service account that this process runs as. `emulator` is the URL of a stand-in.
    """

    def __init__(
        self,
        bucket: str,
        *,
        project: str | None = None,
        emulator: str | None = None,
        signing_key: Mapping[str, Any] | None = None,
    ) -> None:
        self._name = bucket
        self._project = project
        self._emulator = emulator
        self._signing_key = signing_key
        self._bucket: Bucket | None = None
        self._opening = asyncio.Lock()

    async def put(self, path: str, source: Path | bytes, /, *, content_type: str) -> None:
        bucket = await self._open()
        await asyncio.to_thread(bucket.put, path, source, content_type)

    async def read(self, path: str, /) -> AsyncIterator[bytes]:
        bucket = await self._open()
        chunks = await asyncio.to_thread(bucket.chunks, path)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk

    async def info(self, path: str, /) -> BlobInfo | None:
        return await asyncio.to_thread((await self._open()).info, path)

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        return await asyncio.to_thread((await self._open()).signed_url, path, expires_in)

    async def delete(self, prefix: str, /) -> int:
        return await asyncio.to_thread((await self._open()).delete, prefix)

    async def close(self) -> None:
        """Let the connections go."""
        if self._bucket is not None:
            await asyncio.to_thread(self._bucket.close)
            self._bucket = None

    async def _open(self) -> Bucket:
        """One client a process; looking for credentials may ask the metadata server, so that too is on a thread."""
        async with self._opening:
            if self._bucket is None:
                self._bucket = await asyncio.to_thread(self._connect)
            return self._bucket

    def _connect(self) -> Bucket:
        from taskreel.adapters.gcp.bucket import Bucket

        return Bucket(self._name, self._project, self._emulator, self._signing_key)
