"""What every Store tells those who watch a document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from taskreel.ports import Document, Increment, Store

from .rows import create, put, remove, update, watching


async def following(changes: AsyncIterator[Document | None]) -> dict[str, Any] | None:
    document = await asyncio.wait_for(anext(changes), timeout=20)
    return None if document is None else document.data


async def test_a_watch_begins_with_the_document_as_it_is(store: Store) -> None:
    await create(store, "a", {"n": 1})
    async with watching(store) as changes:
        assert await following(changes) == {"n": 1}


async def test_a_watch_tells_creation_changes_and_deletion(store: Store) -> None:
    async with watching(store) as changes:
        assert await following(changes) is None
        await create(store, "a", {"n": 1})
        assert await following(changes) == {"n": 1}
        await update(store, "a", {"n": Increment(1)})
        assert await following(changes) == {"n": 2}
        await remove(store, "a")
        assert await following(changes) is None


async def test_a_watcher_who_was_away_gets_the_newest_state(store: Store) -> None:
    await create(store, "a", {"n": 0})
    async with watching(store) as changes:
        assert await following(changes) == {"n": 0}
        for _ in range(10):
            await update(store, "a", {"n": Increment(1)})
        heard = [await following(changes)]
        while heard[-1] != {"n": 10}:
            heard.append(await following(changes))
    assert len(heard) <= 10


async def test_many_watch_many_documents_and_each_hears_of_its_own(
    open_store: Callable[[], Store],
) -> None:
    watched, writing = open_store(), open_store()
    for n in range(5):
        await create(writing, f"doc{n}", {"n": n})

    async def follow(n: int) -> list[dict[str, Any] | None]:
        async with watching(watched, f"doc{n}") as changes:
            first = await following(changes)
            ready.release()
            return [first, await following(changes)]

    ready = asyncio.Semaphore(0)
    followers = [asyncio.create_task(follow(n % 5)) for n in range(20)]
    for _ in followers:
        await ready.acquire()
    for n in range(5):
        await update(writing, f"doc{n}", {"n": n + 100})
    assert [await follower for follower in followers] == [
        [{"n": n % 5}, {"n": n % 5 + 100}] for n in range(20)
    ]


async def test_a_watch_can_begin_again_after_the_last_watcher_left(store: Store) -> None:
    for n in range(3):
        await put(store, "a", {"n": n})
        async with watching(store) as changes:
            assert await following(changes) == {"n": n}


async def test_a_change_is_heard_within_moments(open_store: Callable[[], Store]) -> None:
    watched, writing = open_store(), open_store()
    await create(writing, "a", {"n": 0})
    async with watching(watched) as changes:
        await following(changes)
        waits = []
        for n in range(10):
            begun = time.perf_counter()
            await update(writing, "a", {"n": n + 1})
            await following(changes)
            waits.append(time.perf_counter() - begun)
    assert sorted(waits)[5] < 0.5, waits
