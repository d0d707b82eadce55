"""Queries over indexes of job types and providers that are split into shards.

Firestore takes about 500 writes a second at the end of an index, and in one by job type and time
all jobs of a type are written at its end, as are those of a provider. In a sharded index the job's
`wakeShard`, a random number that every job has had from its beginning, stands before the time: it
has so many ends.

A query for a type then asks for all shards by one `in`, which Firestore reads in the order of the
time, so that pages and cursors are the same as without shards. It takes at most 30 values of all
its `in` in total: a query with further ones becomes one for each of their values, whose rows are
merged here in the order of the query.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from msgspec.structs import replace

from taskreel.ports import Condition, Query, Row

V = TypeVar("V")

JOBS = "jobs"
SHARD = "wakeShard"
_SPLIT = frozenset({"jobType", "providerSlot"})
#: The indexes of one user have few writes, whatever else they have.
_USER = "userId"
_TIMES = frozenset({"createdAt", "updatedAt", "rank"})

_Run: TypeAlias = Callable[[Query[V]], Awaitable[list[Row[V]]]]


def is_sharded(query: Query[Any]) -> bool:
    """True for a query of jobs by type or provider, of all users, in the order of a time."""
    fields = {field for field, operator, _ in query.where if operator in {"==", "in"}}
    return (
        query.collection.name == JOBS
        and [field for field, _ in query.order if field in _TIMES] != []
        and bool(fields & _SPLIT)
        and not fields & {_USER, SHARD}
    )


def is_split(collection: str, fields: Sequence[tuple[str, str]]) -> bool:
    """True for the fields of an index of all jobs of a type or a provider."""
    names = {field for field, _ in fields}
    return collection == JOBS and bool(names & _SPLIT) and _USER not in names


def condition_of(shards: int) -> Condition:
    """The condition that every job meets."""
    return SHARD, "in", list(range(shards))


def split_query(query: Query[V], shards: int) -> list[Query[V]]:
    """The queries that find the same rows, none of them twice."""
    chosen: list[list[Condition]] = [
        [(field, "==", value) for value in dict.fromkeys(values)]
        for field, operator, values in query.where
        if operator == "in"
    ]
    fixed = [condition for condition in query.where if condition[1] != "in"]
    return [
        replace(query, where=(*fixed, *values, condition_of(shards)))
        for values in itertools.product(*chosen)
    ]


async def read_rows(query: Query[V], shards: int, run: _Run[V]) -> list[Row[V]]:
    """The rows of a query, read from the sharded indexes by `run`.

    Of several parts each is read by a few rows at a time: about twice as many rows are read as are
    returned, and one more of each part.
    """
    parts = split_query(query, shards)
    if len(parts) == 1:
        return await run(parts[0])
    return await _merge_parts(query, [_Part(part, run) for part in parts])


async def add_aggregates(
    query: Query[Any], shards: int, run: Callable[[Query[Any]], Awaitable[dict[str, int | float]]]
) -> dict[str, int | float]:
    """The sums of a query's aggregates; a count is at most the query's limit."""
    found = await asyncio.gather(*map(run, split_query(query, shards)))
    sums = {name: sum(one[name] for one in found) for name in found[0]}
    if query.limit is not None:
        sums["count"] = min(sums["count"], query.limit)
    return sums


class _Part:
    """The rows of one part that are read and not yet returned."""

    def __init__(self, query: Query[Any], run: _Run[Any]) -> None:
        self._query = query
        self._run = run
        self.rows: list[Row[Any]] = []
        self.has_more = True

    async def fill(self, size: int | None) -> None:
        """Read the next rows, if all before them are returned."""
        if self.rows or not self.has_more:
            return
        self.rows = await self._run(replace(self._query, limit=size))
        self.has_more = size is not None and len(self.rows) == size
        if self.rows:
            self._query = self._query.behind(self.rows[-1])


async def _merge_parts(query: Query[V], parts: list[_Part]) -> list[Row[V]]:
    size = None if query.limit is None else math.ceil(query.limit / len(parts)) + 1
    found: list[Row[V]] = []
    fields = [field for field, _ in query.order]
    is_descending = query.order[-1][1] == "desc"
    while query.limit is None or len(found) < query.limit:
        await asyncio.gather(*(part.fill(size) for part in parts))
        heads = [part for part in parts if part.rows]
        if not heads:
            break
        # The next row may be of any part, so all of them have one, or no further one.
        choose = max if is_descending else min
        part = choose(heads, key=lambda one: _place_of(one.rows[0], fields))
        found.append(part.rows.pop(0))
    return found


def _place_of(row: Row[Any], fields: list[str]) -> tuple[Any, ...]:
    return *(row.data[field] for field in fields), row.id
