"""Failures in a group of transactions stay with one member; lost answers and outages."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc.aio import UnaryUnaryClientInterceptor

from contract.rows import ROWS
from taskreel.adapters.gcp import google_client
from taskreel.domain.errors import (
    StoreAbsentError,
    StoreConflictError,
    StoreError,
    StoreRefusedError,
)
from taskreel.ports import Increment, Transaction

from .calls import CountedStreams, CountedUnaryCalls, LostCalls, method_name
from .firestore_rows import (
    UNAVAILABLE,
    ChangeBefore,
    NewStore,
    add,
    create,
    increase,
    put,
    read,
)

pytestmark = pytest.mark.emulator


# ── Failures of one member ───────────────────────────────────────────────────────────────────────


async def test_a_member_that_fails_does_not_fail_its_neighbours(new_store: NewStore) -> None:
    answers = CountedUnaryCalls()
    store, plain = new_store([answers]), new_store()
    await put(plain, "a", n=1)
    await put(plain, "taken", n=1)

    async def raise_mine(tx: Transaction) -> None:
        tx.set(ROWS, "never", {"n": 1})
        await tx.get(ROWS, "a")
        raise KeyError("mine")

    async def store_a_set(tx: Transaction) -> None:
        tx.set(ROWS, "never", {"n": {1, 2}})

    async def store_a_large_number(tx: Transaction) -> None:
        tx.set(ROWS, "never", {"n": 2**64})

    async def update_nothing(tx: Transaction) -> None:
        tx.set(ROWS, "never", {"n": 1})
        tx.update(ROWS, "absent", {"n": Increment(1)})

    found = await asyncio.gather(
        add(store, "a"),
        store.transaction(raise_mine),
        store.transaction(store_a_set),
        store.transaction(store_a_large_number),
        store.transaction(update_nothing),
        create(store, "taken", n=2),
        add(store, "a"),
        create(store, "new", n=1),
        return_exceptions=True,
    )
    errors = [KeyError, TypeError, ValueError, StoreAbsentError, StoreConflictError]
    assert [type(one) for one in found] == [int, *errors, int, type(None)]
    assert (found[0], found[6]) == (2, 3)
    assert await read(plain, "a") == {"n": 3}
    assert await read(plain, "new") == {"n": 1}
    assert await read(plain, "never") is None
    assert await read(plain, "taken") == {"n": 1}


async def test_a_document_that_is_too_large_fails_its_own_member_only(new_store: NewStore) -> None:
    answers = CountedUnaryCalls()
    store, plain = new_store([answers]), new_store()
    await put(plain, "a", n=0)
    works = [add(store, "a") for _ in range(8)]
    works.insert(5, create(store, "large", text="x" * 1_100_000))  # type: ignore[arg-type]
    found = await asyncio.gather(*works, return_exceptions=True)
    assert isinstance(found[5], StoreRefusedError)
    assert "INVALID_ARGUMENT" in str(found[5])
    assert sorted(one for one in found if isinstance(one, int)) == list(range(1, 9))
    assert await read(plain, "a") == {"n": 8}
    assert await read(plain, "large") is None
    assert len(answers.calls) <= 8


async def test_a_name_that_firestore_refuses_fails_its_own_member_only(new_store: NewStore) -> None:
    store, plain = new_store(), new_store()
    await put(plain, "a", n=0)
    found = await asyncio.gather(
        add(store, "a"), add(store, ""), add(store, "a"), return_exceptions=True
    )
    assert (found[0], type(found[1]), found[2]) == (1, StoreRefusedError, 2)


async def test_the_conflict_of_a_member_runs_that_member_again_and_no_other(
    new_store: NewStore,
) -> None:
    plain = new_store()
    between = ChangeBefore(lambda: add(plain, "b", 10))
    store = new_store([between])
    for id_ in "abc":
        await put(plain, id_, n=0)
    runs: list[str] = []

    def change(id_: str) -> Any:
        async def write(tx: Transaction) -> int:
            document = await tx.get(ROWS, id_)
            assert document is not None
            runs.append(id_)
            tx.update(ROWS, id_, {"n": document["n"] + 1})
            return int(document["n"])

        return store.transaction(write)

    assert await asyncio.gather(*map(change, "abc")) == [0, 10, 0]
    assert sorted(runs) == ["a", "b", "b", "c"]
    assert between.commits == [["a", "b", "c"], ["a", "c"], ["b"]]
    assert await read(plain, "b") == {"n": 11}


async def test_members_that_saw_the_writes_of_one_in_conflict_run_again_with_it(
    new_store: NewStore,
) -> None:
    plain = new_store()
    store = new_store([ChangeBefore(lambda: add(plain, "hot", 10))])
    for id_ in ("hot", "shared", "other"):
        await put(plain, id_, n=0)

    async def move(tx: Transaction) -> None:
        hot, shared = await tx.get(ROWS, "hot"), await tx.get(ROWS, "shared")
        assert hot is not None
        assert shared is not None
        tx.update(ROWS, "hot", {"n": hot["n"] + 1})
        tx.update(ROWS, "shared", {"n": shared["n"] + hot["n"]})

    async def read_number(tx: Transaction) -> int:
        document = await tx.get(ROWS, "shared")
        assert document is not None
        return int(document["n"])

    _, seen, increased, other = await asyncio.gather(
        store.transaction(move),
        store.transaction(read_number),
        add(store, "shared"),
        add(store, "other"),
    )
    # Either order is right; seeing what the refused commit would have written is not.
    assert increased in {1, 11}
    assert seen in {0, 1, 10, 11}
    assert other == 1
    assert await read(plain, "hot") == {"n": 11}
    assert await read(plain, "shared") == {"n": 11}


# ── Lost answers and outages ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_group_whose_answer_was_lost_is_written_once(
    new_store: NewStore, *, carried_out: bool
) -> None:
    losing = LostCalls("Commit", UNAVAILABLE, times=1, carried_out=carried_out)
    store, plain = new_store([losing]), new_store()
    await put(plain, "account", n=0)
    found = await asyncio.gather(
        *(increase(store, "account") for _ in range(3)),
        *(create(store, f"job{n}", n=n) for n in range(3)),
    )
    assert found == [None] * 6
    assert await read(plain, "account") == {"n": 3}
    assert await read(plain, "job2") == {"n": 2}


async def test_a_lost_answer_is_recognised_by_one_member_though_others_were_changed_since(
    new_store: NewStore,
) -> None:
    plain = new_store()

    class LoseThenChange(UnaryUnaryClientInterceptor):
        lost = False

        async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            call = await continuation(details, request)
            if not self.lost and method_name(details) == "Commit":
                self.lost = True
                await call
                await add(plain, "account", 100)
                raise grpc.aio.AioRpcError(UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())
            return call

    store = new_store([LoseThenChange()])
    await put(plain, "account", n=0)
    number, _ = await asyncio.gather(add(store, "account"), create(store, "job", n=1))
    assert number == 1
    assert await read(plain, "account") == {"n": 101}


async def test_an_outage_fails_every_member_that_writes_once_and_no_later_one(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_client, "CALL_SECONDS", 0.5)
    away = LostCalls("Commit", UNAVAILABLE, times=4, carried_out=False)
    store, plain = new_store([away]), new_store()
    await put(plain, "a", n=0)
    found = await asyncio.gather(*(add(store, "a") for _ in range(5)), return_exceptions=True)
    assert {type(error) for error in found} == {StoreError}
    assert len({id(error) for error in found}) == 5
    away.remaining = 0
    assert await add(store, "a") == 1


async def test_a_caller_that_is_cancelled_leaves_its_neighbours_alone(new_store: NewStore) -> None:
    store = new_store()
    await put(store, "a", n=0)
    tasks = [asyncio.ensure_future(add(store, "a")) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[1], asyncio.CancelledError)
    assert await read(store, "a") == {"n": 3}


async def test_a_group_that_hangs_holds_up_the_next_for_a_second_at_most(
    new_store: NewStore,
) -> None:
    released = asyncio.Event()
    hanging = ChangeBefore(released.wait)
    store = new_store([hanging])
    first = asyncio.ensure_future(create(store, "slow", n=1))
    await hanging.began.wait()
    async with asyncio.timeout(60):
        await create(store, "next", n=1)
    assert not first.done()
    released.set()
    await first
    assert await read(store, "slow") == {"n": 1}


async def test_a_member_that_reads_many_documents_in_turn_does_not_hold_up_the_others(
    new_store: NewStore,
) -> None:
    commits, streams = ChangeBefore(lambda: None, times=0), CountedStreams()
    store = new_store([commits, streams])

    async def read_many(tx: Transaction) -> None:
        for n in range(10):
            assert await tx.get(ROWS, f"r{n}") is None
        tx.create(ROWS, "many", {"n": 1})

    await asyncio.gather(store.transaction(read_many), create(store, "quick", n=1))
    assert commits.commits == [["quick"], ["many"]]
    # None is read twice, except those of the first rounds.
    assert sum(len(request.documents) for _, request in streams.calls) <= 15


async def test_closing_ends_the_transactions_under_way_with_an_error(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.adapters.gcp.firestore.transaction_groups._CLOSE_SECONDS", 0.1)
    hanging = ChangeBefore(asyncio.Event().wait)
    store = new_store([hanging])
    writing = asyncio.ensure_future(create(store, "a", n=1))
    await hanging.began.wait()
    waiting = asyncio.ensure_future(create(store, "b", n=1))
    await asyncio.sleep(0)
    await store.close()
    for task in (writing, waiting):
        with pytest.raises(StoreError, match="closed"):
            await task
