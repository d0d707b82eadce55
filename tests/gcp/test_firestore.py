"""Firestore's own behaviour: conflicts, lost responses, broken streams, refusals with a reason."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.cloud.firestore_v1.types import document, firestore, write

from contract.rows import ROWS, put_row, watch_row
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.domain.errors import (
    StoreAbsentError,
    StoreConflictError,
    StoreContendedError,
    StoreError,
)
from taskreel.ports import Increment, Transaction
from taskreel_local.emulators.google_emulators import firestore_emulator, free_port

from .calls import CountedStreams, CountedUnaryCalls, LostCalls, silent_server

pytestmark = pytest.mark.emulator

NewStore = Callable[..., FirestoreStore]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


async def read_row(store: FirestoreStore, id_: str) -> dict[str, Any] | None:
    row = await store.get(ROWS, id_)
    return None if row is None else dict(row)


# ── Conflicts ────────────────────────────────────────────────────────────────────────────────────


async def test_a_transaction_runs_again_when_what_it_read_has_changed(new_store: NewStore) -> None:
    store, other = new_store(), new_store()
    await put_row(store, "a", {"n": 1})
    seen = []

    async def add(tx: Transaction) -> None:
        document = await tx.get(ROWS, "a")
        assert document is not None
        seen.append(document["n"])
        if len(seen) == 1:
            await put_row(other, "a", {"n": 10})
        tx.update(ROWS, "a", {"n": document["n"] + 1})

    await store.transaction(add)
    assert (seen, await read_row(store, "a")) == ([1, 10], {"n": 11})


async def test_a_deletion_runs_again_when_what_it_read_was_updated_without_a_read(
    new_store: NewStore,
) -> None:
    store, other = new_store(), new_store()
    await put_row(store, "a", {"n": 1})
    seen = []

    async def touch(tx: Transaction) -> None:
        tx.update(ROWS, "a", {"n": 2})

    async def delete(tx: Transaction) -> None:
        document = await tx.get(ROWS, "a")
        seen.append(document)
        if len(seen) == 1:
            await other.transaction(touch)
        tx.delete(ROWS, "a")

    await store.transaction(delete)
    assert seen == [{"n": 1}, {"n": 2}]
    with pytest.raises(StoreAbsentError):
        await other.transaction(touch)


async def test_it_runs_again_when_a_document_read_as_absent_was_created(
    new_store: NewStore,
) -> None:
    store, other = new_store(), new_store()
    seen = []

    async def create_once(tx: Transaction) -> str:
        there = await tx.get(ROWS, "a")
        seen.append(there is not None)
        if there is not None:
            return "found"
        await put_row(other, "a", {"by": "other"})
        tx.create(ROWS, "a", {"by": "me"})
        return "created"

    assert await store.transaction(create_once) == "found"
    assert seen == [False, True]


async def test_a_document_read_and_not_written_does_not_run_it_again(new_store: NewStore) -> None:
    store, other = new_store(), new_store()
    await put_row(store, "rule", {"n": 1})
    runs = []

    async def copy(tx: Transaction) -> None:
        await tx.get(ROWS, "rule")
        runs.append(1)
        await put_row(other, "rule", {"n": 2})
        tx.set(ROWS, "copy", {"n": 1})

    await store.transaction(copy)
    assert len(runs) == 1


async def test_reading_a_document_twice_in_a_transaction_gives_the_same(
    new_store: NewStore,
) -> None:
    store, other = new_store(), new_store()
    await put_row(store, "a", {"n": 1})

    async def twice(tx: Transaction) -> bool:
        first = await tx.get(ROWS, "a")
        await put_row(other, "a", {"n": 2})
        return first == await tx.get(ROWS, "a")

    assert await store.transaction(twice)


async def test_an_endless_conflict_is_given_up(new_store: NewStore) -> None:
    store, other = new_store(conflict_seconds=0.3), new_store()
    await put_row(store, "a", {"n": 1})

    async def always_late(tx: Transaction) -> None:
        await tx.get(ROWS, "a")
        await put_row(other, "a", {"at": time.monotonic()})
        tx.update(ROWS, "a", {"n": 2})

    with pytest.raises(StoreContendedError, match="other writers changed rows/a"):
        await store.transaction(always_late)


# ── Lost responses ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("carried_out", [True, False])
async def test_a_creation_whose_response_was_lost_is_not_mistaken_for_a_conflict(
    new_store: NewStore, *, carried_out: bool
) -> None:
    losing = LostCalls("Commit", UNAVAILABLE, times=1, carried_out=carried_out)
    store = new_store([losing])
    account = new_store()
    await put_row(account, "account", {"held": 0})

    async def submit(tx: Transaction) -> None:
        tx.create(ROWS, "job", {"cost": 3, "tags": ("x",)})
        tx.update(ROWS, "account", {"held": Increment(3)})

    await store.transaction(submit)
    assert (losing.seen, await read_row(account, "account")) == (2, {"held": 3})


async def test_a_write_of_a_read_document_whose_response_was_lost_is_not_mistaken_for_a_conflict(
    new_store: NewStore,
) -> None:
    losing = LostCalls("Commit", UNAVAILABLE, times=1, carried_out=True)
    store, plain = new_store([losing]), new_store()
    await put_row(plain, "a", {"fence": 1})

    async def beat(tx: Transaction) -> None:
        await tx.get(ROWS, "a")
        tx.update(ROWS, "a", {"fence": 2})

    await store.transaction(beat)
    assert await read_row(plain, "a") == {"fence": 2}


async def test_the_document_of_another_is_still_a_conflict_after_a_lost_response(
    new_store: NewStore,
) -> None:
    store = new_store([LostCalls("Commit", UNAVAILABLE, times=1, carried_out=False)])
    await put_row(new_store(), "job", {"by": "other"})

    async def create(tx: Transaction) -> None:
        tx.create(ROWS, "job", {"by": "me"})

    with pytest.raises(StoreConflictError, match="rows/job exists"):
        await store.transaction(create)


@pytest.mark.parametrize("carried_out", [True, False])
async def test_increments_alone_are_never_sent_twice(
    new_store: NewStore, *, carried_out: bool
) -> None:
    losing = LostCalls("Commit", UNAVAILABLE, times=1, carried_out=carried_out)
    store, plain = new_store([losing]), new_store()
    await put_row(plain, "a", {"n": 0})

    async def add(tx: Transaction) -> None:
        tx.update(ROWS, "a", {"n": Increment(1)})

    with pytest.raises(StoreError):
        await store.transaction(add)
    assert (losing.seen, await read_row(plain, "a")) == (1, {"n": int(carried_out)})


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED]
)
async def test_a_commit_that_the_server_aborted_is_tried_again(
    new_store: NewStore, code: grpc.StatusCode
) -> None:
    losing = LostCalls("Commit", code, times=3, carried_out=False)
    await put_row(new_store([losing]), "a", {"n": 1})
    assert losing.seen == 4


async def test_a_missing_document_is_text_apart_from_a_missing_database(
    new_store: NewStore,
) -> None:
    store = new_store()

    async def update(tx: Transaction) -> None:
        tx.update(ROWS, "nobody", {"n": 1})

    with pytest.raises(StoreAbsentError, match="rows/nobody"):
        await store.transaction(update)


async def test_a_plain_write_that_was_lost_and_then_contended_is_still_written(
    new_store: NewStore,
) -> None:
    lost = LostCalls("Commit", UNAVAILABLE, times=1, carried_out=False)
    contended = LostCalls("Commit", grpc.StatusCode.ABORTED, times=1, carried_out=False)
    store = new_store([lost, contended])
    await put_row(store, "a", {"n": 1})
    assert await read_row(store, "a") == {"n": 1}


# ── Calls a transaction ───────────────────────────────────────────────────────────────────────────


async def test_a_transaction_is_one_read_a_document_and_one_commit(new_store: NewStore) -> None:
    answers, streams = CountedUnaryCalls(), CountedStreams()
    store = new_store([answers, streams])

    async def move(tx: Transaction) -> None:
        await tx.get(ROWS, "a")
        await tx.get(ROWS, "b")
        tx.create(ROWS, "a", {})
        tx.create(ROWS, "b", {})
        tx.create(ROWS, "c", {})

    await store.transaction(move)
    assert [name for name, _ in streams.calls] == ["BatchGetDocuments"] * 2
    assert [(name, len(request.writes)) for name, request in answers.calls] == [("Commit", 3)]


async def test_a_transaction_that_writes_nothing_commits_nothing(new_store: NewStore) -> None:
    answers = CountedUnaryCalls()
    store = new_store([answers])

    async def read(tx: Transaction) -> None:
        await tx.get(ROWS, "a")

    await store.transaction(read)
    assert answers.calls == []


async def test_fifty_that_race_for_one_document_read_it_three_times_each_at_most(
    new_store: NewStore,
) -> None:
    answers, streams = CountedUnaryCalls(), CountedStreams()
    store = new_store([answers, streams])
    await put_row(store, "a", {"n": 0})

    async def add(tx: Transaction) -> None:
        document = await tx.get(ROWS, "a")
        assert document is not None
        tx.update(ROWS, "a", {"n": document["n"] + 1})

    await asyncio.gather(*(store.transaction(add) for _ in range(50)))
    assert await read_row(store, "a") == {"n": 50}
    assert len(streams.calls) <= 151
    assert len(answers.calls) <= 101


WORKER = """
import asyncio, sys
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.ports import Collection

async def main():
    store = FirestoreStore({project!r}, emulator={emulator!r})
    rows = Collection("rows", dict, dict)
    async def step(tx):
        row = await tx.get(rows, "a")
        tx.update(rows, "a", {{"n": row["n"] + 1}})
    for _ in range(15):
        await store.transaction(step)
    await store.close()

asyncio.run(main())
"""


async def test_several_processes_that_read_and_write_one_document_lose_nothing(
    firestore_address: str,
) -> None:
    project = f"test-{uuid4().hex}"
    store = FirestoreStore(project, emulator=firestore_address)
    await put_row(store, "a", {"n": 0})
    script = WORKER.format(project=project, emulator=firestore_address)
    workers = [await asyncio.create_subprocess_exec(sys.executable, "-c", script) for _ in range(3)]
    assert [await worker.wait() for worker in workers] == [0, 0, 0]
    assert await read_row(store, "a") == {"n": 45}
    await store.close()


# ── Watching ─────────────────────────────────────────────────────────────────────────────────────


async def next_document(changes: AsyncIterator[Mapping[str, Any] | None]) -> Mapping[str, Any]:
    """The next state in which the document exists: a new emulator is empty at first."""
    while (document := await asyncio.wait_for(anext(changes), 60)) is None:
        pass
    return document


async def test_a_watch_goes_on_over_a_restart_of_firestore() -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    watched, writing = FirestoreStore("p", emulator=address), FirestoreStore("p", emulator=address)
    async with watch_row(watched) as changes:
        with firestore_emulator(port):
            await put_row(writing, "a", {"n": 1})
            assert await next_document(changes) == {"n": 1}
        with firestore_emulator(port):
            await put_row(writing, "a", {"n": 2})
            assert await next_document(changes) == {"n": 2}
    await watched.close()
    await writing.close()


async def test_a_watch_goes_on_after_a_message_that_cannot_be_read() -> None:
    change = write.DocumentChange(
        document=document.Document(
            name="projects/p/databases/(default)/documents/rows/a", fields={}
        ),
        target_ids=[1],
    )
    readable = firestore.ListenResponse.serialize(firestore.ListenResponse(document_change=change))
    async with silent_server(b"\xff", readable) as (address, calls):
        store = FirestoreStore("p", emulator=address)
        async with watch_row(store) as changes:
            assert await next_document(changes) == {}
        assert len(calls) == 2
        await store.close()


async def test_closing_the_store_ends_its_watches(new_store: NewStore) -> None:
    store = new_store()
    async with watch_row(store) as changes:
        assert await asyncio.wait_for(anext(changes), 60) is None
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await asyncio.wait_for(anext(changes), 60)
