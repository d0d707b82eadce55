"""Signed URLs that are signed once and given out for half of their life."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from taskreel.ports import BlobInfo, Blobs, Clock

_MAX_URLS = 10_000


class CachedSignedUrls:
    """`Blobs` whose URLs are reused until half of their life has passed.

    On Cloud Run each signature is a call of IAM. So a URL is valid for at least half of the time
    that was asked for. Two that ask for the same URL at once wait for one signature.
    """

    def __init__(self, blobs: Blobs, clock: Clock) -> None:
        self._blobs = blobs
        self._clock = clock
        #: Path and lifetime → the time until which the URL is given out, and the signing of it.
        self._urls: OrderedDict[tuple[str, timedelta], tuple[datetime, asyncio.Future[str]]] = (
            OrderedDict()
        )

    async def put(
        self,
        path: str,
        source: Path | bytes,
        /,
        *,
        content_type: str,
        age_from: datetime | None = None,
    ) -> None:
        await self._blobs.put(path, source, content_type=content_type, age_from=age_from)

    def read(self, path: str, /) -> AsyncIterator[bytes]:
        return self._blobs.read(path)

    async def info(self, path: str, /) -> BlobInfo | None:
        return await self._blobs.info(path)

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        key, now = (path, expires_in), self._clock.now()
        until, signing = self._urls.get(key, (now, None))
        if signing is None or until <= now or _has_failed(signing):
            signing = asyncio.ensure_future(self._blobs.signed_url(path, expires_in=expires_in))
            self._urls[key] = now + expires_in / 2, signing
            if len(self._urls) > _MAX_URLS:
                self._urls.popitem(last=False)
        # A caller that is cancelled leaves the signature to the others.
        return await asyncio.shield(signing)

    async def open_upload(
        self,
        path: str,
        /,
        *,
        content_type: str,
        size: int,
        expires_in: timedelta,
        origin: str | None = None,
    ) -> str:
        return await self._blobs.open_upload(
            path, content_type=content_type, size=size, expires_in=expires_in, origin=origin
        )

    async def renew(self, paths: Sequence[str], at: datetime, /) -> None:
        await self._blobs.renew(paths, at)

    def list_paths(self, prefix: str, /) -> AsyncIterator[str]:
        return self._blobs.list_paths(prefix)

    async def delete(self, prefix: str, /) -> int:
        return await self._blobs.delete(prefix)

    async def close(self) -> None:
        await self._blobs.close()


def _has_failed(signing: asyncio.Future[str]) -> bool:
    return signing.done() and (signing.cancelled() or signing.exception() is not None)
