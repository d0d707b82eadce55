"""Signed URLs are signed once, many at a time, and given out for half of their life."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from taskreel.adapters.signed_url_cache import CachedSignedUrls
from taskreel.domain.errors import StoreError
from taskreel.ports import Blobs, Clock

HOUR = timedelta(hours=1)


@dataclass
class HandClock:
    """A clock that a test sets."""

    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@dataclass
class SlowSigner:
    """Blobs that sign after a turn of the event loop, and count."""

    signed: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    failures: int = 0

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if self.failures:
            self.failures -= 1
            raise StoreError("IAM is away")
        self.signed.append(path)
        return f"https://bucket/{path}?{len(self.signed)}&{expires_in}"


def cached(signer: SlowSigner, clock: HandClock) -> CachedSignedUrls:
    return CachedSignedUrls(cast("Blobs", signer), cast("Clock", clock))


async def sign(blobs: CachedSignedUrls, *paths: str, life: timedelta = HOUR) -> list[str]:
    return await asyncio.gather(*(blobs.signed_url(path, expires_in=life) for path in paths))


async def test_twenty_files_are_signed_at_once_and_not_again() -> None:
    signer, clock = SlowSigner(), HandClock()
    blobs = cached(signer, clock)
    paths = [f"artifacts/{number}.png" for number in range(20)]
    first = await sign(blobs, *paths)
    assert signer.most_at_once == 20
    clock.time += timedelta(minutes=29)
    assert await sign(blobs, *paths) == first
    assert len(signer.signed) == 20


async def test_a_url_is_signed_again_after_half_of_its_life() -> None:
    signer, clock = SlowSigner(), HandClock()
    blobs = cached(signer, clock)
    (first,) = await sign(blobs, "a")
    clock.time += HOUR / 2
    (second,) = await sign(blobs, "a")
    assert first != second
    (other,) = await sign(blobs, "a", life=HOUR * 2)
    assert other not in {first, second}


async def test_readers_of_the_same_file_wait_for_one_signature() -> None:
    signer = SlowSigner()
    urls = await sign(cached(signer, HandClock()), "a", "a", "a")
    assert len(set(urls)) == len(signer.signed) == 1


async def test_a_failed_signature_is_not_remembered() -> None:
    signer = SlowSigner(failures=1)
    blobs = cached(signer, HandClock())
    with pytest.raises(StoreError):
        await sign(blobs, "a")
    assert await sign(blobs, "a")


async def test_a_reader_who_leaves_does_not_take_the_signature_along() -> None:
    signer = SlowSigner()
    blobs = cached(signer, HandClock())
    leaving: asyncio.Task[Any] = asyncio.create_task(blobs.signed_url("a", expires_in=HOUR))
    await asyncio.sleep(0)
    leaving.cancel()
    await sign(blobs, "a")
    assert signer.signed == ["a"]
