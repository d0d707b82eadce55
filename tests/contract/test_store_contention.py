"""The contract of the Store port when many write at once, and when it cannot be reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from taskreel.domain.errors import StoreAbsentError, StoreConflictError, StoreError
from taskreel.ports import Increment, Query, Store, Transaction

from .rows import ROWS, create_row, read_row, update_row, watch_row


async def hold_credits(store: Store, account: str, cost: int, job: str) -> bool:
    """Hold credits as a submit does; False if the account does not cover the cost."""

    async def take(tx: Transaction) -> bool:
        document = await tx.get(ROWS, account)
        assert document is not None
        if document["available"] < cost:
            return False
        tx.update(
            ROWS,
            account,
            {"available": document["available"] - cost, "held": Increment(cost)},
        )
        tx.create(ROWS, job, {"cost": cost})
        return True

    return await store.transaction(take)


async def test_of_fifty_that_read_and_write_one_account_none_is_lost(store: Store) -> None:
    await create_row(store, "a", {"available": 100, "held": 0})
    taken = await asyncio.gather(*(hold_credits(store, "a", 2, f"job{n}") for n in range(50)))
    assert all(taken)
    assert await read_row(store) == {"available": 0, "held": 100}


async def test_of_thirty_that_want_the_last_three_credits_exactly_one_gets_them(
    store: Store,
) -> None:
    await create_row(store, "a", {"available": 3, "held": 0})
    taken = await asyncio.gather(*(hold_credits(store, "a", 3, f"job{n}") for n in range(30)))
    assert sum(taken) == 1
    assert await read_row(store) == {"available": 0, "held": 3}


async def test_unread_increments_of_many_writers_all_count(open_store: Callable[[], Store]) -> None:
    first, second = open_store(), open_store()
    await create_row(first, "a", {"n": 0})
    await asyncio.gather(
        *(
            update_row(store, "a", {"n": Increment(1)})
            for store in (first, second)
            for _ in range(40)
        )
    )
    assert await read_row(first) == {"n": 80}


async def test_of_many_that_create_the_same_document_one_wins(
    open_store: Callable[[], Store],
) -> None:
    every = [open_store() for _ in range(4)]
    creations = [create_row(every[n % 4], "a", {"n": n}) for n in range(20)]
    answers = await asyncio.gather(*creations, return_exceptions=True)
    conflicts = [answer for answer in answers if isinstance(answer, StoreConflictError)]
    assert (answers.count(None), len(conflicts)) == (1, 19)
    assert answers[(await read_row(every[0]))["n"]] is None


async def test_a_repeated_creation_finds_the_first_one(store: Store) -> None:
    async def once(tx: Transaction) -> int:
        there = await tx.get(ROWS, "a")
        if there is None:
            tx.create(ROWS, "a", {"n": 7})
            return 7
        return int(there["n"])

    assert await asyncio.gather(*(store.transaction(once) for _ in range(15))) == [7] * 15


async def test_of_transactions_at_once_one_that_fails_fails_alone(store: Store) -> None:
    await create_row(store, "a", {"n": 0})

    async def refuse(tx: Transaction) -> None:
        assert await tx.get(ROWS, "a") is not None
        tx.set(ROWS, "a", {"n": -1})
        raise KeyError("mine")

    def work(number: int) -> Awaitable[None]:
        match number % 4:
            case 0:
                return store.transaction(refuse)
            case 1:
                return create_row(store, "a", {"n": -1})
            case 2:
                return update_row(store, "absent", {"n": Increment(1)})
            case _:
                return update_row(store, "a", {"n": Increment(1)})

    answers = await asyncio.gather(*(work(n) for n in range(40)), return_exceptions=True)
    expected = (KeyError, StoreConflictError, StoreAbsentError, type(None))
    assert [type(answer) for answer in answers] == [*expected] * 10
    assert await read_row(store) == {"n": 10}


async def test_transactions_at_once_leave_what_some_order_of_them_leaves(store: Store) -> None:
    await create_row(store, "a", {"n": 1})
    await create_row(store, "b", {"n": 0})

    async def double_and_count(tx: Transaction) -> int:
        one, count = await tx.get(ROWS, "a"), await tx.get(ROWS, "b")
        assert one is not None
        assert count is not None
        tx.set(ROWS, "a", {"n": 2 * one["n"]})
        tx.update(ROWS, "b", {"n": Increment(1)})
        return int(count["n"])

    async def check(tx: Transaction) -> bool:
        one, count = await tx.get(ROWS, "a"), await tx.get(ROWS, "b")
        assert one is not None
        assert count is not None
        tx.set(ROWS, "a", one)  # proves that both were read at one moment
        tx.set(ROWS, "b", count)
        return bool(one["n"] == 2 ** count["n"])

    answers = await asyncio.gather(
        *(store.transaction(fn) for _ in range(20) for fn in (double_and_count, check))
    )
    assert all(answers[1::2])
    assert sorted(answers[::2]) == list(range(20))
    assert await read_row(store) == {"n": 2**20}


async def test_a_store_that_cannot_be_reached_raises_soon(unreachable_store: Store) -> None:
    begun = time.perf_counter()
    for call in (
        unreachable_store.get(ROWS, "a"),
        unreachable_store.query(Query(collection=ROWS)),
        create_row(unreachable_store, "a", {}),
    ):
        with pytest.raises(StoreError):
            await call
    assert time.perf_counter() - begun < 25  # each call may try for ten seconds


async def test_watching_a_store_that_cannot_be_reached_raises(unreachable_store: Store) -> None:
    async with watch_row(unreachable_store) as changes:
        with pytest.raises(StoreError):
            await asyncio.wait_for(anext(changes), timeout=60)
