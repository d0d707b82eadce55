"""The bucket on Cloud Storage. Importing this loads no Google library: the first call does.

The calls run on threads, because google-cloud-storage has no asynchronous client that serves here.
Its `AsyncGrpcClient` (3.17) is for the append and read streams of zonal buckets: it does not sign
URLs, its requests are private types, and no emulator of Cloud Storage speaks its protocol. A thread
costs about 0.1 of the 1.0 ms of processor time that a call takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskreel.ports import BlobInfo

if TYPE_CHECKING:
    from taskreel.adapters.gcp.blocking_bucket import Bucket


_SIGNERS = 16
_read_machine_time = partial(datetime.now, UTC)


class CloudStorage:
    """`Blobs` in one bucket.

    `signing_key` is the content of a service account's key file, to sign URLs on a machine outside
    Google Cloud. Without it IAM signs them as the service account that this process runs as.
    `emulator` is the URL of an emulator. The lifecycle of the bucket counts the age of a file from
    its custom time, which is set when it is stored and when it is renewed.
    """

    def __init__(
        self,
        bucket: str,
        *,
        project: str | None = None,
        emulator: str | None = None,
        signing_key: Mapping[str, Any] | None = None,
        now: Callable[[], datetime] = _read_machine_time,
    ) -> None:
        self._name = bucket
        self._project = project
        self._emulator = emulator
        self._signing_key = signing_key
        self._now = now
        self._bucket: Bucket | None = None
        self._opening = asyncio.Lock()
        #: Each signature waits for a call of IAM: the event loop's own threads are too few.
        self._signers: ThreadPoolExecutor | None = None

    async def put(
        self,
        path: str,
        source: Path | bytes,
        /,
        *,
        content_type: str,
        age_from: datetime | None = None,
    ) -> None:
        bucket = await self._open_bucket()
        at = age_from or self._now()
        await asyncio.to_thread(bucket.upload, path, source, content_type, at)

    async def read(self, path: str, /) -> AsyncIterator[bytes]:
        bucket = await self._open_bucket()
        chunks = await asyncio.to_thread(bucket.open_chunks, path)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk

    async def info(self, path: str, /) -> BlobInfo | None:
        bucket = await self._open_bucket()
        return await asyncio.to_thread(bucket.read_info, path)

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        bucket = await self._open_bucket()
        if self._signers is None:
            self._signers = ThreadPoolExecutor(_SIGNERS, thread_name_prefix="sign-url")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._signers, bucket.sign_url, path, expires_in)

    async def open_upload(
        self,
        path: str,
        /,
        *,
        content_type: str,
        size: int,
        expires_in: timedelta,  # noqa: ARG002 - Cloud Storage ends a session after a week
        origin: str | None = None,
    ) -> str:
        bucket = await self._open_bucket()
        return await asyncio.to_thread(bucket.open_upload, path, content_type, size, origin)

    async def renew(self, paths: Sequence[str], at: datetime, /) -> None:
        for path in paths:
            bucket = await self._open_bucket()
            await asyncio.to_thread(bucket.renew, path, at)

    async def list_paths(self, prefix: str, /) -> AsyncIterator[str]:
        bucket = await self._open_bucket()
        pages = await asyncio.to_thread(bucket.open_pages, prefix)
        while (names := await asyncio.to_thread(next, pages, None)) is not None:
            for name in names:
                yield name

    async def delete(self, prefix: str, /) -> int:
        bucket = await self._open_bucket()
        return await asyncio.to_thread(bucket.delete_prefix, prefix)

    async def close(self) -> None:
        """Close the connections."""
        if self._signers is not None:
            self._signers.shutdown(wait=False, cancel_futures=True)
            self._signers = None
        if self._bucket is not None:
            await asyncio.to_thread(self._bucket.close)
            self._bucket = None

    async def _open_bucket(self) -> Bucket:
        """Build the process's one client, on a thread: finding credentials may take a request."""
        async with self._opening:
            if self._bucket is None:
                self._bucket = await asyncio.to_thread(self._build_bucket)
            return self._bucket

    def _build_bucket(self) -> Bucket:
        from taskreel.adapters.gcp.blocking_bucket import Bucket

        return Bucket(self._name, self._project, self._emulator, self._signing_key)
