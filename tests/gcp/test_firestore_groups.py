"""Groups of transactions: their calls, their isolation and their limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from contract.rows import ROWS
from taskreel.adapters.gcp.firestore import group_overlay
from taskreel.domain.errors import (
    StoreConflictError,
)
from taskreel.ports import Increment, Transaction

from .calls import CountedStreams, CountedUnaryCalls
from .firestore_rows import (
    ChangeBefore,
    NewStore,
    add,
    create,
    increase,
    of_any_row,
    put,
    read,
)

pytestmark = pytest.mark.emulator


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────


async def test_transactions_that_wait_are_one_read_and_one_commit(new_store: NewStore) -> None:
    plain, answers, streams = new_store(), CountedUnaryCalls(), CountedStreams()
    store = new_store([answers, streams])
    for n in range(20):
        await put(plain, f"r{n}", n=n)
    await asyncio.gather(*(add(store, f"r{n}") for n in range(20)))
    assert [len(request.documents) for _, request in streams.calls] == [20]
    assert [len(request.writes) for _, request in answers.calls] == [20]
    assert await read(plain, "r19") == {"n": 20}


async def test_concurrent_writes_of_an_account_are_one_write_and_all_succeed(
    new_store: NewStore,
) -> None:
    answers, streams = CountedUnaryCalls(), CountedStreams()
    store = new_store([answers, streams])
    await put(store, "account", n=0)
    answers.calls.clear()
    numbers = await asyncio.gather(*(add(store, "account") for _ in range(50)))
    assert sorted(numbers) == list(range(1, 51))
    assert await read(new_store(), "account") == {"n": 50}
    assert len(streams.calls) == 1
    assert [len(request.writes) for _, request in answers.calls] == [1]


async def test_transactions_that_come_during_a_commit_share_the_next(new_store: NewStore) -> None:
    later: list[asyncio.Task[int]] = []

    async def submit_more() -> None:
        later.extend(asyncio.ensure_future(add(store, "a")) for _ in range(5))

    between = ChangeBefore(submit_more)
    store, plain = new_store([between]), new_store()
    await put(plain, "a", n=0)
    await add(store, "a")
    assert sorted(await asyncio.gather(*later)) == [2, 3, 4, 5, 6]
    assert between.commits == [["a"], ["a"]]


async def test_a_document_that_this_process_wrote_last_is_written_again_without_a_read(
    new_store: NewStore,
) -> None:
    streams = CountedStreams()
    store, plain = new_store([streams], is_leased=of_any_row), new_store()
    await put(plain, "a", n=0, tags=["x"])
    assert [await add(store, "a") for _ in range(4)] == [1, 2, 3, 4]
    assert len(streams.calls) == 1
    assert await read(plain, "a") == {"n": 4, "tags": ["x"]}


async def test_a_document_that_is_not_leased_any_more_is_read_again(new_store: NewStore) -> None:
    streams = CountedStreams()
    leased = new_store([streams], is_leased=lambda _, data: data["n"] < 3)
    await put(new_store(), "a", n=0)
    assert [await add(leased, "a") for _ in range(5)] == [1, 2, 3, 4, 5]
    assert len(streams.calls) == 3


async def test_a_remembered_document_that_others_changed_is_read_again(
    new_store: NewStore,
) -> None:
    store, plain = new_store(is_leased=of_any_row), new_store()
    await put(plain, "a", n=0)
    await add(store, "a")
    await add(plain, "a", 10)
    assert await add(store, "a") == 12
    assert await read(plain, "a") == {"n": 12}


async def test_a_transaction_that_only_reads_never_sees_a_remembered_document(
    new_store: NewStore,
) -> None:
    store, plain = new_store(is_leased=of_any_row), new_store()
    await put(plain, "a", n=0)
    await add(store, "a")
    await put(plain, "a", n=10)

    async def read_number(tx: Transaction) -> Any:
        document = await tx.get(ROWS, "a")
        assert document is not None
        return document["n"]

    async def refuse(tx: Transaction) -> None:
        raise ValueError(await read_number(tx))

    async def copy(tx: Transaction) -> None:
        tx.set(ROWS, "copy", {"n": await read_number(tx)})

    assert await store.transaction(read_number) == 10
    await add(store, "a")
    await put(plain, "a", n=20)
    with pytest.raises(ValueError, match="20"):
        await store.transaction(refuse)
    await add(store, "a")
    await put(plain, "a", n=30)
    await store.transaction(copy)
    assert await read(plain, "copy") == {"n": 30}


async def test_a_remembered_document_is_as_reading_it_back_gives_it(new_store: NewStore) -> None:
    store = new_store(is_leased=of_any_row)
    await put(store, "a", n=0)

    async def write(tx: Transaction) -> Any:
        document = await tx.get(ROWS, "a")
        assert document is not None
        tx.update(ROWS, "a", {"n": Increment(2), "of": (1, (2,)), "__x__": {"": 1}})
        return document

    await store.transaction(write)
    assert await store.transaction(write) == {"n": 2, "of": [1, [2]], "__x__": {"": 1}}
    assert await store.transaction(write) == {"n": 4, "of": [1, [2]], "__x__": {"": 1}}
    assert await read(store, "a") == {"n": 6, "of": [1, [2]], "__x__": {"": 1}}


# ── Isolation ────────────────────────────────────────────────────────────────────────────────────


async def test_members_see_what_earlier_members_wrote(new_store: NewStore) -> None:
    store = new_store()
    await put(store, "a", n=1, old=True)
    seen: list[Any] = []

    def read_and(write: Callable[[Transaction], None]) -> Any:
        async def run(tx: Transaction) -> None:
            document = await tx.get(ROWS, "a")
            seen.append(document)
            write(tx)

        return store.transaction(run)

    await asyncio.gather(
        read_and(lambda tx: tx.update(ROWS, "a", {"n": Increment(2)})),
        read_and(lambda tx: tx.set(ROWS, "a", {"n": 5, "of": (1, 2)})),
        read_and(lambda tx: tx.delete(ROWS, "a")),
        read_and(lambda tx: tx.create(ROWS, "a", {"n": 7})),
        read_and(lambda _: None),
    )
    assert seen == [
        {"n": 1, "old": True},
        {"n": 3, "old": True},
        {"n": 5, "of": [1, 2]},
        None,
        {"n": 7},
    ]
    assert await read(store, "a") == {"n": 7}


async def test_of_members_that_create_the_same_document_the_first_wins(
    new_store: NewStore,
) -> None:
    answers = CountedUnaryCalls()
    store = new_store([answers])
    found = await asyncio.gather(
        *(create(store, "a", by=n) for n in range(4)), return_exceptions=True
    )
    assert found[0] is None
    assert all(isinstance(error, StoreConflictError) for error in found[1:])
    assert await read(store, "a") == {"by": 0}
    assert len(answers.calls) == 1


async def test_a_document_created_and_deleted_in_one_group_is_gone(new_store: NewStore) -> None:
    store = new_store()

    async def delete(tx: Transaction) -> bool:
        there = await tx.get(ROWS, "a") is not None
        tx.delete(ROWS, "a")
        return there

    _, there = await asyncio.gather(create(store, "a", n=1), store.transaction(delete))
    assert there
    assert await read(store, "a") is None


async def test_unread_increments_and_a_reading_write_of_one_group_add_up(
    new_store: NewStore,
) -> None:
    store, plain = new_store(), new_store()
    await put(plain, "a", n=1)
    await asyncio.gather(
        increase(store, "a", 10), add(store, "a", 100), increase(store, "a", 1000), add(store, "a")
    )
    assert await read(plain, "a") == {"n": 1112}


# ── Limits ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_commit_has_at_most_five_hundred_writes(new_store: NewStore) -> None:
    answers = CountedUnaryCalls()
    store = new_store([answers])

    def create_many(group: int) -> Any:
        async def write(tx: Transaction) -> None:
            for n in range(200):
                tx.create(ROWS, f"{group}-{n}", {"n": n})

        return store.transaction(write)

    await asyncio.gather(*map(create_many, range(6)))
    assert [len(request.writes) for _, request in answers.calls] == [400, 400, 400]


async def test_a_commit_has_at_most_three_mebibytes(new_store: NewStore) -> None:
    answers = CountedUnaryCalls()
    store = new_store([answers])
    text = "x" * 900_000
    await asyncio.gather(*(create(store, f"r{n}", text=text) for n in range(7)))
    assert [len(request.writes) for _, request in answers.calls] == [3, 3, 1]
    assert await read(store, "r6") == {"text": text}


def test_the_limits_leave_room_below_those_of_firestore_and_of_its_emulator() -> None:
    assert group_overlay.MAX_COMMIT_WRITES <= 500
    assert group_overlay.MAX_COMMIT_BYTES < 4 * 2**20
