"""With sharded indexes of job types every query finds what it finds without them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from firestore_indexes import shard_indexes
from taskreel.adapters.gcp.firestore import FirestoreStore
from taskreel.adapters.gcp.firestore.sharded_indexes import is_sharded, split_query
from taskreel.app.indexes import FIRESTORE_INDEXES
from taskreel.ports import (
    Condition,
    Direction,
    Query,
    Transaction,
    undecoded_collection,
)

from .calls import CountedStreams

NewStore = Callable[..., FirestoreStore]
JOBS = undecoded_collection("jobs")
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
TYPES, STATUSES = ("a", "b", "c"), ("QUEUED", "FAILED", "COMPLETED")
SHARDS = 30
COUNT = 60
TYPE: Condition = ("jobType", "==", "a")
EVERY_TYPE: Condition = ("jobType", "in", list(TYPES))
SOME: Condition = ("status", "in", ["QUEUED", "FAILED"])


@pytest.fixture
async def stores(new_store: NewStore) -> tuple[FirestoreStore, FirestoreStore]:
    """One database with jobs, read without shards and with them."""
    plain, sharded = new_store(), new_store(type_shards=SHARDS)
    random = Random(5)

    async def write(tx: Transaction) -> None:
        for number in range(COUNT):
            at = NOON + timedelta(seconds=random.randrange(40))  # some at the same time
            job = {
                "jobType": random.choice(TYPES),
                "status": random.choice(STATUSES),
                "projectId": random.choice("pq"),
                # Of before the number was raised, and after it.
                "wakeShard": random.randrange(8 if number % 2 else SHARDS),
                "createdAt": at,
                "updatedAt": at,
            }
            tx.create(JOBS, f"job-{number:02}", job)

    await plain.transaction(write)
    return plain, sharded


def ordered(*where: Condition, way: Direction = "desc", limit: int | None = None) -> Query[Any]:
    return Query(collection=JOBS, where=where, order=(("createdAt", way),), limit=limit)


@pytest.mark.emulator
@pytest.mark.parametrize(
    "where",
    [(TYPE,), (TYPE, ("status", "==", "FAILED")), (TYPE, SOME), (EVERY_TYPE, SOME), (EVERY_TYPE,)],
    ids=["type", "type and status", "two statuses", "every type and two statuses", "every type"],
)
async def test_pages_are_the_same_as_without_shards(
    stores: tuple[FirestoreStore, FirestoreStore], where: tuple[Condition, ...]
) -> None:
    plain, sharded = stores
    ways: tuple[Direction, Direction] = ("asc", "desc")
    for way in ways:
        expected = [row.id for row in await plain.query(ordered(*where, way=way))]
        assert [row.id for row in await sharded.query(ordered(*where, way=way))] == expected
        pages: list[str] = []
        query = ordered(*where, way=way, limit=7)
        while rows := await sharded.query(query):
            pages += [row.id for row in rows]
            query = query.behind(rows[-1])
        assert pages == expected
    for limit in (3, 1000):
        counted = ordered(*where, limit=limit)
        assert await sharded.aggregate(counted) == await plain.aggregate(counted)


@pytest.mark.emulator
async def test_a_query_of_one_type_reads_only_the_rows_that_it_returns(new_store: NewStore) -> None:
    streams = CountedStreams()
    sharded = new_store([streams], type_shards=SHARDS)
    await sharded.query(ordered(TYPE, limit=5))
    assert [name for name, _ in streams.calls] == ["RunQuery"]
    streams.calls.clear()
    await new_store([streams]).query(ordered(TYPE, SOME, limit=5))
    assert len(streams.calls) == 1  # without shards nothing is split


@pytest.mark.emulator
async def test_changes_of_a_type_are_watched_in_all_shards(
    stores: tuple[FirestoreStore, FirestoreStore],
) -> None:
    plain, sharded = stores
    async with (
        asyncio.timeout(30),
        aclosing(
            sharded.watch_changes(JOBS, "jobType", "a", since=NOON)  # type: ignore[type-var]
        ) as changes,
    ):
        seen: set[str] = set()
        expected = {row.id for row in await plain.query(ordered(TYPE))}
        async for change in changes:
            seen |= {row.id for row in change.documents}
            if seen >= expected:
                break
    assert seen == expected


def test_only_queries_of_a_type_by_time_are_sharded() -> None:
    assert is_sharded(ordered(TYPE))
    assert is_sharded(ordered(EVERY_TYPE, ("projectId", "==", "p")))
    assert not is_sharded(ordered(TYPE, ("userId", "==", "ada")))
    assert not is_sharded(ordered(("projectId", "==", "p")))
    assert not is_sharded(Query(collection=JOBS, where=(TYPE,)))


def test_no_part_of_a_query_asks_for_more_values_than_firestore_takes() -> None:
    for part in split_query(ordered(EVERY_TYPE, SOME), SHARDS):
        (shards,) = [value for _, operator, value in part.where if operator == "in"]
        assert len(shards) == SHARDS


def test_every_index_of_a_type_has_its_shards_before_the_time() -> None:
    pairs = list(zip(FIRESTORE_INDEXES, shard_indexes(FIRESTORE_INDEXES), strict=True))
    changed = [new for old, new in pairs if new != old]
    assert len(changed) == 7
    for index in changed:
        names = [field for field, _ in index.fields]
        assert names[0] in {"jobType", "providerSlot"}
        assert names[-2] == "wakeShard"
