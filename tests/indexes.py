"""Which queries Firestore answers from the declared indexes.

The emulator needs no index, so the rules of the service are applied here: a query's equality filters may be spread over
several indexes that end in its order (they are merged), and single fields are indexed unless they are exempted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskreel.ports import Query

_FILE = Path(__file__).resolve().parents[1] / "infra" / "firestore.indexes.json"

Order = tuple[tuple[str, str], ...]

_EQUALITIES = {"==", "in", "array-contains"}


@dataclass(frozen=True)
class Shape:
    """What of a query matters to an index."""

    collection: str
    equal: frozenset[str]
    order: Order

    @classmethod
    def of(cls, query: Query, total: Sequence[str] = ()) -> Shape:
        equal = frozenset(name for name, operator, _ in query.where if operator in _EQUALITIES)
        ranged = [name for name, operator, _ in query.where if operator not in _EQUALITIES]
        last = query.order[-1][1] if query.order else "asc"
        order = {
            **dict(query.order),
            **{name: last for name in (*ranged, *total) if name not in dict(query.order)},
        }
        return cls(
            query.collection,
            equal,
            tuple((name, way) for name, way in order.items() if name not in equal),
        )


@dataclass(frozen=True)
class Declared:
    """The indexes of `infra/firestore.indexes.json`."""

    composites: frozenset[tuple[str, Order]]
    exempted: frozenset[tuple[str, str]]

    @classmethod
    def read(cls) -> Declared:
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

    def usable(self, shape: Shape) -> list[tuple[str, Order]]:
        """The composite indexes that may take part in answering."""
        return [
            index
            for index in self.composites
            if index[0] == shape.collection and _fits(index[1], shape)
        ]

    def serve(self, shape: Shape) -> bool:
        """Whether indexes for all of the query's filters end in its order."""
        singles = {name for name in shape.equal if (shape.collection, name) not in self.exempted}
        if not shape.order:
            return shape.equal <= singles | self._covered(shape)
        if not shape.equal and len(shape.order) == 1:
            return (shape.collection, shape.order[0][0]) not in self.exempted
        return bool(self.usable(shape)) and shape.equal <= self._covered(shape)

    def _covered(self, shape: Shape) -> frozenset[str]:
        return frozenset(name for _, index in self.usable(shape) for name, _ in index) & shape.equal


def _fits(index: Order, shape: Shape) -> bool:
    """Equality fields in any order, then exactly the query's order, forwards or backwards."""
    head, tail = index[: len(index) - len(shape.order)], index[len(index) - len(shape.order) :]
    backwards = tuple((name, "desc" if way == "asc" else "asc") for name, way in shape.order)
    return {name for name, _ in head} <= shape.equal and tail in {shape.order, backwards}
