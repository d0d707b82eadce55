"""The contract of the Store port for watching the documents with one value of a field."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any, cast

from taskreel.ports import Changes, Store, Transaction

from .rows import NOON, ROWS, create_row, delete_row, put_row, update_row


def watch_owner(
    store: Store, owner: str = "ada"
) -> aclosing[AsyncGenerator[Changes[Mapping[str, Any]]]]:
    changes = store.watch_changes(ROWS, "owner", owner, since=NOON)
    return aclosing(cast("AsyncGenerator[Changes[Mapping[str, Any]]]", changes))


def row(n: int, owner: str = "ada", seconds: float = 0) -> dict[str, Any]:
    return {"owner": owner, "n": n, "updatedAt": NOON + timedelta(seconds=seconds)}


async def next_changes(
    changes: AsyncIterator[Changes[Mapping[str, Any]]],
) -> Changes[Mapping[str, Any]]:
    return await asyncio.wait_for(anext(changes), timeout=60)


async def collect(
    changes: AsyncIterator[Changes[Mapping[str, Any]]], last: tuple[str, int]
) -> list[tuple[str, int]]:
    """The id and `n` of every document up to one."""
    seen: list[tuple[str, int]] = []
    while last not in seen:
        reported = await next_changes(changes)
        seen += [(one.id, one.data["n"]) for one in reported.documents]
    return seen


async def test_the_first_changes_are_what_matches_now(store: Store) -> None:
    await create_row(store, "a", row(1))
    await create_row(store, "old", row(1, seconds=-1))
    await create_row(store, "other", row(1, owner="bob"))
    async with watch_owner(store) as changes:
        first = await next_changes(changes)
    assert [one.id for one in first.documents] == ["a"]
    assert first.position >= first.documents[0].commit_number


async def test_nothing_that_matches_is_reported_at_once_too(store: Store) -> None:
    async with watch_owner(store) as changes:
        first = await next_changes(changes)
    assert first.documents == []
    assert first.position > 0


async def test_later_writes_are_reported_and_those_of_others_are_not(store: Store) -> None:
    async with watch_owner(store) as changes:
        first = await next_changes(changes)
        await create_row(store, "b", row(1, owner="bob"))
        await create_row(store, "a", row(1))
        created = await next_changes(changes)
        await update_row(store, "a", {"n": 2})
        updated = await next_changes(changes)
    assert [(one.id, one.data["n"]) for one in created.documents] == [("a", 1)]
    assert [(one.id, one.data["n"]) for one in updated.documents] == [("a", 2)]
    numbers = [created.documents[0].commit_number, updated.documents[0].commit_number]
    assert first.position < numbers[0] < numbers[1]
    assert updated.position >= numbers[1]


async def test_a_deleted_document_is_not_reported(store: Store) -> None:
    await create_row(store, "a", row(1))
    async with watch_owner(store) as changes:
        await next_changes(changes)
        await delete_row(store, "a")
        await create_row(store, "b", row(1))
        assert [one.id for one in (await next_changes(changes)).documents] == ["b"]


async def test_a_failed_transaction_reports_nothing(store: Store) -> None:
    async def fail(tx: Transaction) -> None:
        tx.set(ROWS, "a", row(1))
        raise RuntimeError("no")

    async with watch_owner(store) as changes:
        await next_changes(changes)
        (refused,) = await asyncio.gather(store.transaction(fail), return_exceptions=True)
        assert isinstance(refused, RuntimeError)
        await create_row(store, "b", row(1))
        assert [one.id for one in (await next_changes(changes)).documents] == ["b"]


async def test_commits_of_several_writers_come_in_their_order(
    open_store: Callable[[], Store],
) -> None:
    watched, second, third = open_store(), open_store(), open_store()
    async with watch_owner(watched) as changes:
        await next_changes(changes)

        async def write(store: Store, name: str) -> None:
            for n in range(15):
                await put_row(store, f"{name}{n}", row(n))

        await asyncio.gather(write(watched, "w"), write(second, "x"), write(third, "y"))
        await put_row(second, "last", row(99))
        seen: list[tuple[int, str]] = []
        while not seen or seen[-1][1] != "last":
            reported = await next_changes(changes)
            seen += [(one.commit_number, one.id) for one in reported.documents]
            assert reported.position >= seen[-1][0]
    assert seen == sorted(seen)
    assert len(seen) == len({name for _, name in seen}) == 46


async def test_two_watches_of_one_store_are_independent(store: Store) -> None:
    async with watch_owner(store) as of_ada, watch_owner(store, "bob") as of_bob:
        await next_changes(of_ada)
        await next_changes(of_bob)
        await create_row(store, "a", row(1))
        await create_row(store, "b", row(1, owner="bob"))
        assert await collect(of_ada, ("a", 1)) == [("a", 1)]
        assert await collect(of_bob, ("b", 1)) == [("b", 1)]
