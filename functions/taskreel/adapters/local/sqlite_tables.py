"""How documents lie in SQLite: a table a collection, JSON with times that read back, and queries as SQL."""

from __future__ import annotations

import contextlib
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from taskreel.ports import Operator, Query

#: Marks a time in the JSON. A private-use character: nobody's field has this name.
TIME = "\ue000"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def _time_text(value: datetime) -> str:
    """Fixed-width UTC text: it sorts as the time does."""
    if value.tzinfo is None:
        raise TypeError(f"a stored time needs a time zone: {value!r}")
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat(
        timespec="microseconds"
    )


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return {TIME: _time_text(value)}
    raise TypeError(f"a document field cannot be of type {type(value).__name__}")


_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS
)  # a status is a key, and a string of our own


def _dumps(value: Any) -> str:
    try:
        return orjson.dumps(value, _encode, _OPTIONS).decode()
    except TypeError as error:
        raise (error.__cause__ or error) from None


def loads(text: str) -> Any:
    """A stored document."""
    return _restored(orjson.loads(text))


def _restored(value: Any) -> Any:
    """`value` with its times as times again."""
    if isinstance(value, dict):
        if TIME in value:
            with contextlib.suppress(ValueError, TypeError):
                return datetime.fromisoformat(value[TIME])
        for name, inner in value.items():
            if isinstance(inner, dict | list):
                value[name] = _restored(inner)
    elif isinstance(value, list):
        value[:] = [
            _restored(inner) if isinstance(inner, dict | list) else inner for inner in value
        ]
    return value


def _column_value(value: Any) -> Any:
    """A field as its index column holds it."""
    if isinstance(value, datetime):
        return _time_text(value)
    return value if isinstance(value, str | int | float | None) else _dumps(value)


def _json_value(value: Any) -> Any:
    """A field as `json_extract` gives it."""
    return _dumps(value) if isinstance(value, datetime | dict | list) else value


class Table:
    """A collection's table: each indexed field is a column beside the document."""

    def __init__(self, collection: str, fields: Sequence[str]) -> None:
        if not _NAME.fullmatch(collection):
            raise ValueError(f"not a collection name: {collection!r}")
        self.name = f'"{collection}"'
        self.fields = tuple(fields)
        self._positions = {field: f'"f_{field}"' for field in fields}

    def expression(self, field: str) -> str:
        """The SQL that reads a field."""
        if field == "__id__":
            return "id"
        if field in self._positions:
            return self._positions[field]
        if not all(_NAME.fullmatch(part) for part in field.split(".")):
            raise ValueError(f"not a field name: {field!r}")
        return f"json_extract(data, '$.{field}')"

    def value(self, field: str, value: Any) -> Any:
        """A value to compare with `expression(field)`."""
        return _column_value(value) if field in self._positions else _json_value(value)

    def write(
        self, id_: str, data: Mapping[str, Any], before: Row | None
    ) -> tuple[str, tuple[Any, ...]]:
        """The statement that stores a document; an update leaves unchanged columns, and so their indexes, alone."""
        text = _dumps(data)
        version = max(time.time_ns(), before.version + 1 if before else 0)
        if before is None:
            columns = [_column_value(data.get(field)) for field in self.fields]
            names = "".join(f", {self._positions[field]}" for field in self.fields)
            marks = ", ?" * len(columns)
            return f"INSERT INTO {self.name} (id, version, data{names}) VALUES (?, ?, ?{marks})", (
                id_,
                version,
                text,
                *columns,
            )
        changed = [field for field in self.fields if data.get(field) != before.data.get(field)]
        sets = "".join(f", {self._positions[field]} = ?" for field in changed)
        values = [_column_value(data.get(field)) for field in changed]
        return f"UPDATE {self.name} SET version = ?, data = ?{sets} WHERE id = ?", (
            version,
            text,
            *values,
            id_,
        )


class Row:
    """A document as read inside a transaction."""

    __slots__ = ("data", "version")

    def __init__(self, version: int, text: str) -> None:
        self.version = version
        self.data: dict[str, Any] = loads(text)


_SQL = {"==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def select(table: Table, query: Query) -> tuple[str, list[Any]]:
    """The statement and its values. Each value of an `in` walks the index by itself, no further than the limit."""
    limit = "" if query.limit is None else f" LIMIT {int(query.limit)}"
    order = _order(query)
    columns = ", ".join(
        f"{table.expression(field)} AS o{place}" for place, (field, _) in enumerate(order)
    )
    by = ", ".join(f"o{place} {way}" for place, (_, way) in enumerate(order))
    walks: list[str] = []
    values: list[Any] = []
    for filters in _alternatives(query):
        where, added = conditions(table, replace(query, where=filters))
        walks.append(
            f"SELECT id, version, data, {columns} FROM {table.name}{where} ORDER BY {by}{limit}"
        )
        values += added
    if len(walks) == 1:
        return walks[0], values
    merged = " UNION ALL ".join(f"SELECT * FROM ({walk})" for walk in walks)
    return f"SELECT * FROM ({merged}) ORDER BY {by}{limit}", values


def _order(query: Query) -> list[tuple[str, str]]:
    """By the fields that are asked for, then by id in the direction of the last."""
    return [*query.order, ("__id__", query.order[-1][1] if query.order else "asc")]


def _alternatives(query: Query) -> list[tuple[tuple[str, Operator, Any], ...]]:
    """The filters, once for each value of an `in`."""
    for place, (field, operator, value) in enumerate(query.where):
        if operator == "in" and value and query.limit is not None:
            before, behind = query.where[:place], query.where[place + 1 :]
            return [(*before, (field, "==", one), *behind) for one in dict.fromkeys(value)]
    return [query.where]


def conditions(table: Table, query: Query) -> tuple[str, list[Any]]:
    """The WHERE clause and its values: the filters, then what lies behind the cursor."""
    clauses: list[str] = []
    values: list[Any] = []
    for field, operator, value in query.where:
        clause, added = _filter(table, field, operator, value)
        clauses.append(clause)
        values += added
    if query.after is not None:
        clause, added = _behind(table, query)
        clauses.append(clause)
        values += added
    return (f" WHERE {' AND '.join(clauses)}" if clauses else ""), values


def _filter(table: Table, field: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    if operator == "==" and value is None:
        return f"{table.expression(field)} IS NULL", []
    if operator == "in":
        return f"{table.expression(field)} IN ({', '.join('?' * len(value))})", [
            table.value(field, one) for one in value
        ]
    if operator == "array-contains":
        return f"EXISTS (SELECT 1 FROM json_each(data, '$.{field}') WHERE value = ?)", [
            _json_value(value)
        ]
    return f"{table.expression(field)} {_SQL[operator]} ?", [table.value(field, value)]


def _behind(table: Table, query: Query) -> tuple[str, list[Any]]:
    """Rows after the cursor: a later first field, or the same and a later second one, and so on to the id."""
    order = _order(query)
    after = list(query.after or ())
    if len(after) != len(order):
        raise ValueError(f"a cursor of {len(order)} values is needed, not {len(after)}")
    branches: dict[int, str] = defaultdict(str)
    values: list[Any] = []
    for depth, (field, way) in enumerate(order):
        same = [f"{table.expression(name)} IS ?" for name, _ in order[:depth]]
        values += [
            table.value(name, value) for (name, _), value in zip(order[:depth], after, strict=False)
        ]
        values.append(table.value(field, after[depth]))
        branches[depth] = " AND ".join(
            [*same, f"{table.expression(field)} {'>' if way == 'asc' else '<'} ?"]
        )
    behind = f"({' OR '.join(f'({branch})' for branch in branches.values())})"
    if after[0] is None:
        return behind, values
    # Said once more for the first field alone: from an OR, SQLite does not see where in the index to begin.
    field, way = order[0]
    bound = f"{table.expression(field)} {'>=' if way == 'asc' else '<='} ?"
    return f"{bound} AND {behind}", [table.value(field, after[0]), *values]
