"""The contract of the Store port for watching a document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from taskreel.ports import Increment, Store

from .rows import create_row, delete_row, put_row, update_row, watch_row


async def next_document(
    changes: AsyncIterator[Mapping[str, Any] | None],
) -> Mapping[str, Any] | None:
    return await asyncio.wait_for(anext(changes), timeout=60)


async def test_a_watch_begins_with_the_document_as_it_is(store: Store) -> None:
    await create_row(store, "a", {"n": 1})
    async with watch_row(store) as changes:
        assert await next_document(changes) == {"n": 1}


async def test_a_watch_reports_creation_changes_and_deletion(store: Store) -> None:
    async with watch_row(store) as changes:
        assert await next_document(changes) is None
        await create_row(store, "a", {"n": 1})
        assert await next_document(changes) == {"n": 1}
        await update_row(store, "a", {"n": Increment(1)})
        assert await next_document(changes) == {"n": 2}
        await delete_row(store, "a")
        assert await next_document(changes) is None


async def test_a_slow_watcher_gets_the_newest_state(store: Store) -> None:
    await create_row(store, "a", {"n": 0})
    async with watch_row(store) as changes:
        assert await next_document(changes) == {"n": 0}
        for _ in range(10):
            await update_row(store, "a", {"n": Increment(1)})
        heard = [await next_document(changes)]
        while heard[-1] != {"n": 10}:
            heard.append(await next_document(changes))
    assert len(heard) <= 10


async def test_many_watch_many_documents_and_each_gets_its_own(
    open_store: Callable[[], Store],
) -> None:
    watched, writing = open_store(), open_store()
    for n in range(5):
        await create_row(writing, f"doc{n}", {"n": n})

    async def follow(n: int) -> list[Mapping[str, Any] | None]:
        async with watch_row(watched, f"doc{n}") as changes:
            first = await next_document(changes)
            ready.release()
            return [first, await next_document(changes)]

    ready = asyncio.Semaphore(0)
    followers = [asyncio.create_task(follow(n % 5)) for n in range(20)]
    for _ in followers:
        await ready.acquire()
    for n in range(5):
        await update_row(writing, f"doc{n}", {"n": n + 100})
    assert [await follower for follower in followers] == [
        [{"n": n % 5}, {"n": n % 5 + 100}] for n in range(20)
    ]


async def test_a_watch_can_begin_again_after_the_last_watcher_ended(store: Store) -> None:
    for n in range(3):
        await put_row(store, "a", {"n": n})
        async with watch_row(store) as changes:
            assert await next_document(changes) == {"n": n}


async def test_a_change_is_reported_within_half_a_second(open_store: Callable[[], Store]) -> None:
    watched, writing = open_store(), open_store()
    await create_row(writing, "a", {"n": 0})
    async with watch_row(watched) as changes:
        await next_document(changes)
        waits = []
        for n in range(10):
            begun = time.perf_counter()
            await update_row(writing, "a", {"n": n + 1})
            await next_document(changes)
            waits.append(time.perf_counter() - begun)
    # The best of them: what the machine does besides makes no change arrive earlier.
    assert min(waits) < 0.5, waits
