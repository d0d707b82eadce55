"""The layout of documents in SQLite, and queries as SQL.

A collection is a table with the columns `id`, `version` and `data`. `data` is the document as JSON,
in which a time is an object with one reserved key; a document's own key that begins with that
character is written with the character doubled. A field that an index needs is also a column of
its own, `f_{field}`, which is written together with the document.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from taskreel.ports import Operator, Query

#: The key that marks a time in the JSON: a private-use character. Callers may use it as well.
TIME = "\ue000"
_ESCAPED = TIME * 2
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

_SQL_OPERATORS = {"==": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
#: Times are for `encode_other`. A key may be an enum member of a string type, such as a status.
_JSON_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS

#: Types that a column has as they are.
_PLAIN = frozenset({str, int, float, type(None)})

#: One filter of a query: field, operator, value.
_Filter = tuple[str, Operator, Any]


class StoredDocument:
    """A document in memory: as it is in the file, or as the next commit writes it."""

    __slots__ = ("columns", "encode", "stored", "text", "value", "version")

    def __init__(self, text: str, columns: tuple[Any, ...], version: int) -> None:
        #: "" of a deleted one, and of one that is still to be encoded.
        self.text = text
        #: The values of the indexed fields' own columns,
        self.columns = columns
        #: and those that the file has; None if it has no such row.
        self.stored: tuple[Any, ...] | None = None
        self.version = version
        #: What the text is decoded to, if that may be shared.
        self.value: Any = None
        #: The codec of a value that is still to be encoded, by `Table.complete`.
        self.encode: Callable[[Any], Mapping[str, Any]] | None = None

    @property
    def is_deleted(self) -> bool:
        """True if the document does not exist any more."""
        return not self.text and self.encode is None


class Table:
    """A collection's table. `fields` are those with a column of their own.

    Raises ValueError for a name that is not plain, so that names can be put into SQL.
    """

    def __init__(self, collection: str, fields: Sequence[str]) -> None:
        if not _NAME.fullmatch(collection):
            raise ValueError(f"not a collection name: {collection!r}")
        self.name = f'"{collection}"'
        self.fields = tuple(fields)
        self._columns = {field: f'"f_{field}"' for field in fields}
        names = "".join(f", {column}" for column in self._columns.values())
        marks = ", ?" * len(fields)
        self._insert = f"INSERT INTO {self.name} (id, version, data{names}) VALUES (?, ?, ?{marks})"
        #: Reads one document by its id, for `restore`.
        self.select = f"SELECT version, data{names} FROM {self.name} WHERE id = ?"

    def expression(self, field: str) -> str:
        """The SQL expression that reads a field."""
        if field == "__id__":
            return "id"
        if field in self._columns:
            return self._columns[field]
        if not all(_NAME.fullmatch(part) for part in field.split(".")):
            raise ValueError(f"not a field name: {field!r}")
        return f"json_extract(data, '$.{field}')"

    def to_sql(self, field: str, value: Any) -> Any:
        """Convert a value for a comparison with `expression(field)`."""
        return _to_column(value) if field in self._columns else _to_extracted(value)

    def encode(self, data: Mapping[str, Any], version: int) -> StoredDocument:
        """Encode a document. Raises TypeError for a value that cannot be stored."""
        return StoredDocument(_dump_json(data), self._read_columns(data), version)

    def complete(self, document: StoredDocument) -> str:
        """The document's text; one that was written as a value is encoded now."""
        if document.encode is not None:
            data = document.encode(document.value)
            document.text = _dump_any_json(data)
            document.columns = self._read_columns(data)
            document.encode = None
        return document.text

    def _read_columns(self, data: Mapping[str, Any]) -> tuple[Any, ...]:
        values = [data.get(field) for field in self.fields]
        return tuple([one if one.__class__ in _PLAIN else _to_column(one) for one in values])

    def restore(self, version: int, text: str, *columns: Any) -> StoredDocument:
        """The document of a row that `select` has found."""
        document = StoredDocument(text, columns, version)
        document.stored = columns
        return document

    def build_write(self, id_: str, document: StoredDocument) -> tuple[str, tuple[Any, ...]] | None:
        """The statement that brings a document into the file, and its values; None if none is due.

        An update writes only the columns that changed, so that SQLite leaves the other indexes
        alone.
        """
        stored = document.stored
        if document.is_deleted:
            return None if stored is None else (f"DELETE FROM {self.name} WHERE id = ?", (id_,))
        text = self.complete(document)
        if stored is None:
            return self._insert, (id_, document.version, text, *document.columns)

        changed = [
            (column, value)
            for column, value, before in zip(
                self._columns.values(), document.columns, stored, strict=True
            )
            if value != before
        ]
        sets = "".join(f", {column} = ?" for column, _ in changed)
        sql = f"UPDATE {self.name} SET version = ?, data = ?{sets} WHERE id = ?"
        return sql, (document.version, text, *(value for _, value in changed), id_)


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def load_json(text: str) -> Any:
    """Read a stored document."""
    value = _restore_times(orjson.loads(text))
    return _unescape_keys(value) if _ESCAPED in text else value


def _dump_json(value: Any) -> str:
    times_before = _count_marked_times()
    try:
        text = orjson.dumps(value, _mark_time, _JSON_OPTIONS).decode()
        if text.count(TIME) != _count_marked_times() - times_before:
            # A caller's text or key has the character as well, which is rare: look for keys.
            text = orjson.dumps(_escape_keys(value), _mark_time, _JSON_OPTIONS).decode()
    except TypeError as error:
        raise (error.__cause__ or error) from None
    return text


@lru_cache(maxsize=1024)
def _mark_time(value: Any) -> dict[str, str]:
    """Encode a time, for which JSON has no type. Raises TypeError for any other value.

    Remembered: one change of a job stores the same time in several places, and the next again.
    """
    if isinstance(value, datetime):
        return {TIME: _format_time(value)}
    raise TypeError(f"a document field cannot be of type {type(value).__name__}")


def _count_marked_times() -> int:
    """The number of times that were ever marked: what `_mark_time` did or remembered."""
    done = _mark_time.cache_info()
    return done.hits + done.misses


def _dump_any_json(value: Any) -> str:
    """`_dump_json`, but of texts and numbers that no store can have, the nearest that it can.

    For a document that is encoded after its transaction has ended, which cannot fail any more.
    """
    try:
        return _dump_json(value)
    except TypeError:
        return _dump_json(_make_storable(value))


def _make_storable(value: Any) -> Any:
    """Copy a value without half surrogate pairs and without integers of more than 64 bits.

    They become replacement characters and floats.
    """
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return float(value)
    if isinstance(value, Mapping):
        return {_make_storable(name): _make_storable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_make_storable(inner) for inner in value]
    return value


def _escape_keys(value: Any) -> Any:
    """Copy a value with the mark doubled in each key that begins with it."""
    if isinstance(value, Mapping):
        return {
            (TIME + name if str(name).startswith(TIME) else name): _escape_keys(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_escape_keys(inner) for inner in value]
    return value


@lru_cache(maxsize=1024)
def _format_time(value: datetime) -> str:
    """UTC text of a fixed width, which sorts as the times do. Remembered, as `_mark_time` is."""
    if value.tzinfo is None:
        raise TypeError(f"a stored time needs a time zone: {value!r}")
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")


def _restore_times(value: Any) -> Any:
    """Replace the marked times in a JSON value by datetimes, in place where possible."""
    if isinstance(value, dict):
        if TIME in value:
            time = _parse_time(value)
            if time is not None:
                return time
        for name, inner in value.items():
            if isinstance(inner, dict | list):
                value[name] = _restore_times(inner)
    elif isinstance(value, list):
        value[:] = [
            _restore_times(inner) if isinstance(inner, dict | list) else inner for inner in value
        ]
    return value


def _parse_time(value: Mapping[str, Any]) -> datetime | None:
    """The marked time; None for an object that only looks like one, which older versions wrote."""
    if len(value) != 1:
        return None
    with contextlib.suppress(ValueError, TypeError):
        time = datetime.fromisoformat(value[TIME])
        return None if time.tzinfo is None else time
    return None


def _unescape_keys(value: Any) -> Any:
    """Undo `_escape_keys`."""
    if isinstance(value, dict):
        return {
            name[1:] if name.startswith(_ESCAPED) else name: _unescape_keys(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_unescape_keys(inner) for inner in value]
    return value


def _to_column(value: Any) -> Any:
    """Convert a field's value for its own column."""
    if isinstance(value, datetime):
        return _format_time(value)
    return value if isinstance(value, str | int | float | None) else _dump_json(value)


def _to_extracted(value: Any) -> Any:
    """Convert a field's value to what `json_extract` gives for it."""
    return _dump_json(value) if isinstance(value, datetime | dict | list) else value


# ── Queries ──────────────────────────────────────────────────────────────────────────────────────


def build_select(table: Table, query: Query[Any]) -> tuple[str, list[Any]]:
    """The SELECT statement of a query, and its values.

    Each value of an `in` becomes a SELECT of its own, so that SQLite reads its index no further
    than the limit; their rows are then merged.
    """
    limit = "" if query.limit is None else f" LIMIT {int(query.limit)}"
    order = _full_order(query)
    columns = ", ".join(
        f"{table.expression(field)} AS o{position}" for position, (field, _) in enumerate(order)
    )
    by = ", ".join(f"o{position} {way}" for position, (_, way) in enumerate(order))
    selects: list[str] = []
    values: list[Any] = []
    for filters in _split_in_filter(query):
        where, added = build_conditions(table, replace(query, where=filters))
        selects.append(
            f"SELECT id, version, data, {columns} FROM {table.name}{where} ORDER BY {by}{limit}"
        )
        values += added
    if len(selects) == 1:
        return selects[0], values
    merged = " UNION ALL ".join(f"SELECT * FROM ({select})" for select in selects)
    return f"SELECT * FROM ({merged}) ORDER BY {by}{limit}", values


def build_aggregate(table: Table, query: Query[Any], total: Sequence[str]) -> tuple[str, list[Any]]:
    """The SELECT statement of a count and of sums over a query, and its values.

    With a limit no more rows than that are read, as on Firestore.
    """
    where, values = build_conditions(table, query)
    columns = "".join(f", {table.expression(field)} AS s{at}" for at, field in enumerate(total))
    sums = "".join(f", coalesce(sum(s{at}), 0)" for at in range(len(total)))
    limit = "" if query.limit is None else f" LIMIT {int(query.limit)}"
    return f"SELECT count(*){sums} FROM (SELECT 1{columns} FROM {table.name}{where}{limit})", values


def build_conditions(table: Table, query: Query[Any]) -> tuple[str, list[Any]]:
    """The WHERE clause of a query, and its values: the filters, then the cursor."""
    clauses: list[str] = []
    values: list[Any] = []
    for field, operator, value in query.where:
        clause, added = _build_filter(table, field, operator, value)
        clauses.append(clause)
        values += added
    if query.after is not None:
        clause, added = _build_cursor(table, query)
        clauses.append(clause)
        values += added
    return (f" WHERE {' AND '.join(clauses)}" if clauses else ""), values


def _full_order(query: Query[Any]) -> list[tuple[str, str]]:
    """The query's order, then the id in the direction of the last field."""
    return [*query.order, ("__id__", query.order[-1][1] if query.order else "asc")]


def _split_in_filter(query: Query[Any]) -> list[tuple[_Filter, ...]]:
    """The filters once for each value of an `in`, as an equality; else the filters as they are."""
    for position, (field, operator, value) in enumerate(query.where):
        if operator == "in" and value and query.limit is not None:
            before, after = query.where[:position], query.where[position + 1 :]
            return [(*before, (field, "==", one), *after) for one in dict.fromkeys(value)]
    return [query.where]


def _build_filter(table: Table, field: str, operator: str, value: Any) -> tuple[str, list[Any]]:
    expression = table.expression(field)
    if operator == "==" and value is None:
        return f"{expression} IS NULL", []
    if operator == "in":
        marks = ", ".join("?" * len(value))
        return f"{expression} IN ({marks})", [table.to_sql(field, one) for one in value]
    if operator == "array-contains":
        clause = f"EXISTS (SELECT 1 FROM json_each(data, '$.{field}') WHERE value = ?)"
        return clause, [_to_extracted(value)]
    return f"{expression} {_SQL_OPERATORS[operator]} ?", [table.to_sql(field, value)]


def _build_cursor(table: Table, query: Query[Any]) -> tuple[str, list[Any]]:
    """The clause for the rows after a cursor, and its values.

    Those are the rows with a greater first field, or an equal first and a greater second one, and
    so on to the id; "greater" means less where a field's order is descending.

    Raises ValueError for a cursor whose number of values does not fit the order.
    """
    order = _full_order(query)
    after = list(query.after or ())
    if len(after) != len(order):
        raise ValueError(f"the cursor needs {len(order)} values, not {len(after)}")
    alternatives: list[str] = []
    values: list[Any] = []
    for depth, (field, way) in enumerate(order):
        equal = [f"{table.expression(name)} IS ?" for name, _ in order[:depth]]
        for (name, _), value in zip(order[:depth], after, strict=False):
            values.append(table.to_sql(name, value))
        values.append(table.to_sql(field, after[depth]))
        greater = f"{table.expression(field)} {'>' if way == 'asc' else '<'} ?"
        alternatives.append(" AND ".join([*equal, greater]))
    clause = f"({' OR '.join(f'({alternative})' for alternative in alternatives)})"
    if after[0] is None:
        return clause, values
    # The bound of the first field is stated once more alone: from an OR, SQLite does not find out
    # at which place of the index to begin.
    field, way = order[0]
    bound = f"{table.expression(field)} {'>=' if way == 'asc' else '<='} ?"
    return f"{bound} AND {clause}", [table.to_sql(field, after[0]), *values]
