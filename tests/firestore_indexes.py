"""Tell whether Firestore can answer a query from the declared indexes.

The emulator needs no index, so this module applies the rules of the service: the equality filters
of a query may be spread over several indexes that end in its order (Firestore merges them), and
single fields are indexed unless they are exempted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from taskreel.adapters.gcp.firestore.sharded_indexes import SHARD, is_split
from taskreel.ports import Index, Query

_FILE = Path(__file__).resolve().parents[1] / "infra" / "firestore.indexes.json"

Order = tuple[tuple[str, str], ...]

_EQUALITIES = {"==", "in", "array-contains"}


@dataclass(frozen=True)
class QueryShape:
    """The parts of a query that an index depends on: collection, equality fields, order."""

    collection: str
    equal: frozenset[str]
    order: Order

    @classmethod
    def of(cls, query: Query[Any], total: Sequence[str] = ()) -> QueryShape:
        equal = frozenset(name for name, operator, _ in query.where if operator in _EQUALITIES)
        ranged = [name for name, operator, _ in query.where if operator not in _EQUALITIES]
        last = query.order[-1][1] if query.order else "asc"
        order = {
            **dict(query.order),
            **{name: last for name in (*ranged, *total) if name not in dict(query.order)},
        }
        return cls(
            query.collection.name,
            equal,
            tuple((name, way) for name, way in order.items() if name not in equal),
        )


@dataclass(frozen=True)
class DeclaredIndexes:
    """The indexes of `infra/firestore.indexes.json`."""

    composites: frozenset[tuple[str, Order]]
    exempted: frozenset[tuple[str, str]]

    @classmethod
    @cache
    def load(cls) -> DeclaredIndexes:
        declared = json.loads(_FILE.read_text())
        ways = {"ASCENDING": "asc", "DESCENDING": "desc"}
        composites = {
            (
                index["collectionGroup"],
                tuple((one["fieldPath"], ways[one["order"]]) for one in index["fields"]),
            )
            for index in declared["indexes"]
        }
        exempted = {
            (one["collectionGroup"], one["fieldPath"])
            for one in declared["fieldOverrides"]
            if not one["indexes"]
        }
        return cls(frozenset(composites), frozenset(exempted))

    def find_composites(self, shape: QueryShape) -> list[tuple[str, Order]]:
        """The composite indexes that may take part in answering the query."""
        return [
            index
            for index in self.composites
            if index[0] == shape.collection and _index_fits(index[1], shape)
        ]

    def can_serve(self, shape: QueryShape) -> bool:
        """True if indexes that end in the query's order cover all of its filters."""
        singles = {name for name in shape.equal if (shape.collection, name) not in self.exempted}
        if not shape.order:
            return shape.equal <= singles | self._covered_fields(shape)
        if not shape.equal and len(shape.order) == 1:
            return (shape.collection, shape.order[0][0]) not in self.exempted
        return bool(self.find_composites(shape)) and shape.equal <= self._covered_fields(shape)

    def _covered_fields(self, shape: QueryShape) -> frozenset[str]:
        return (
            frozenset(name for _, index in self.find_composites(shape) for name, _ in index)
            & shape.equal
        )


def _index_fits(index: Order, shape: QueryShape) -> bool:
    """True for equality fields in any order, then exactly the query's order or its reverse."""
    head, tail = index[: len(index) - len(shape.order)], index[len(index) - len(shape.order) :]
    backwards = tuple((name, "desc" if way == "asc" else "asc") for name, way in shape.order)
    return {name for name, _ in head} <= shape.equal and tail in {shape.order, backwards}


def shard_indexes(indexes: tuple[Index, ...]) -> tuple[Index, ...]:
    """The indexes with the shard before the time, in those of types and providers."""
    return tuple(
        replace(index, fields=(*index.fields[:-1], (SHARD, "asc"), index.fields[-1]))
        if is_split(index.collection, index.fields)
        else index
        for index in indexes
    )
