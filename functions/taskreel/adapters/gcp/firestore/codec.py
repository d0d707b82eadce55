"""Our documents, names and queries as Firestore's protobuf messages, and back: nothing is lost on the way."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from google.cloud.firestore_v1.types import document, query, write

from taskreel.adapters.gcp.firestore.buffer import Condition, Key, Write
from taskreel.ports import Direction, Document, Increment, Query

_ProtoQuery = query.StructuredQuery.pb()
_ProtoWrite = write.Write.pb()

_Field = query.StructuredQuery.FieldFilter.Operator
_OPERATORS = {
    "==": _Field.EQUAL,
    "in": _Field.IN,
    "<": _Field.LESS_THAN,
    "<=": _Field.LESS_THAN_OR_EQUAL,
    ">": _Field.GREATER_THAN,
    ">=": _Field.GREATER_THAN_OR_EQUAL,
    "array-contains": _Field.ARRAY_CONTAINS,
}
_RANGES = {"<", "<=", ">", ">="}
_IS_NULL = query.StructuredQuery.UnaryFilter.Operator.IS_NULL
_AND = query.StructuredQuery.CompositeFilter.Operator.AND
_DIRECTIONS = {
    "asc": query.StructuredQuery.Direction.ASCENDING,
    "desc": query.StructuredQuery.Direction.DESCENDING,
}

_PLAIN_SEGMENT = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_RESERVED = re.compile(r"__.*__", re.DOTALL)
#: Firestore has no array directly in an array: the inner one travels as a map of this field. `_escaped` never makes it.
_INNER_ARRAY = "~[]"


# ── Values ───────────────────────────────────────────────────────────────────────────────────────


def encode(value: Any, into: Any, *, in_array: bool = False) -> None:
    """Write a JSON value or an aware datetime into a Value message."""
    match value:
        case None:
            into.null_value = 0
        case bool():  # before int, which it also is
            into.boolean_value = value
        case int():
            into.integer_value = value
        case float():
            into.double_value = value
        case str():
            into.string_value = str(value)
        case datetime():
            _encode_time(value, into.timestamp_value)
        case Mapping():
            into.map_value.SetInParent()
            encode_fields(value, into.map_value.fields)
        case list() | tuple():
            _encode_array(value, into, in_array=in_array)
        case _:
            raise TypeError(f"a document cannot hold {type(value).__name__}")


def _encode_array(value: Sequence[Any], into: Any, *, in_array: bool) -> None:
    if in_array:
        into = into.map_value.fields[_INNER_ARRAY]
    into.array_value.SetInParent()
    for item in value:
        encode(item, into.array_value.values.add(), in_array=True)


def encode_fields(data: Mapping[str, Any], into: Any) -> None:
    """Write a mapping into the fields of a document or a map."""
    for name, value in data.items():
        encode(value, into[_escaped(str(name))])


def decode(value: Any) -> Any:
    """A Value message as plain Python."""
    kind = value.WhichOneof("value_type")
    match kind:
        case "map_value":
            fields = value.map_value.fields
            return decode(fields[_INNER_ARRAY]) if _INNER_ARRAY in fields else decode_fields(fields)
        case "array_value":
            return [decode(item) for item in value.array_value.values]
        case "timestamp_value":
            return value.timestamp_value.ToDatetime(tzinfo=UTC)
        case "null_value" | None:
            return None
        case _:
            return getattr(value, kind)


def decode_fields(fields: Any) -> dict[str, Any]:
    """The fields of a document or a map as a dictionary."""
    return {name.removeprefix("~"): decode(value) for name, value in fields.items()}


def as_stored(data: Mapping[str, Any]) -> dict[str, Any]:
    """Plain fields as a reading gives them back."""
    message = document.Document.pb()()
    encode_fields(data, message.fields)
    return decode_fields(message.fields)


def _encode_time(value: datetime, into: Any) -> None:
    if value.tzinfo is None:
        raise TypeError(f"a stored time must be aware: {value!r}")
    into.FromDatetime(value)


def _escaped(name: str) -> str:
    """A field name that Firestore takes: not empty, not of the form `__x__`."""
    return f"~{name}" if not name or name.startswith("~") or _RESERVED.fullmatch(name) else name


def _segment(name: str) -> str:
    """One field name as part of a field path."""
    name = _escaped(name)
    if _PLAIN_SEGMENT.fullmatch(name):
        return name
    quoted = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{quoted}`"


def _path(field: str) -> str:
    """A query's field: dots lead into maps."""
    return ".".join(_segment(part) for part in field.split("."))


# ── Documents ────────────────────────────────────────────────────────────────────────────────────


def document_name(root: str, key: Key) -> str:
    """The full name; an id may hold what a Firestore id may not."""
    collection, id_ = key
    safe = id_.replace("%", "%25").replace("/", "%2F")
    if safe in {".", ".."} or _RESERVED.fullmatch(safe):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    return f"{root}/{collection}/{safe}"


def key_of(name: str) -> Key:
    """The collection and id of a full name."""
    collection, id_ = name.rsplit("/", 2)[1:]
    return collection, unquote(id_)


def read_document(message: Any) -> Document:
    """A Document message as ours; the version is its update time to the nanosecond."""
    collection, id_ = key_of(message.name)
    at = message.update_time
    return Document(collection, id_, decode_fields(message.fields), f"{at.seconds}.{at.nanos:09d}")


def encode_write(root: str, ours: Write) -> Any:
    """One write of a commit, with its condition."""
    message = _ProtoWrite()
    name = document_name(root, ours.key)
    if ours.kind == "delete":
        message.delete = name
    else:
        message.update.name = name
        plain = {
            field: value for field, value in ours.data.items() if not isinstance(value, Increment)
        }
        encode_fields(plain, message.update.fields)
        if ours.kind == "update":
            # Present even when empty: without a mask the whole document would be replaced.
            message.update_mask.SetInParent()
            message.update_mask.field_paths.extend(_segment(field) for field in plain)
        for field, value in ours.data.items():
            if isinstance(value, Increment):
                transform = message.update_transforms.add(field_path=_segment(field))
                encode(value.by, transform.increment)
    _encode_condition(ours.condition, message)
    return message


def _encode_condition(condition: Condition, message: Any) -> None:
    if isinstance(condition, str):
        seconds, nanos = condition.split(".")
        message.current_document.update_time.seconds = int(seconds)
        message.current_document.update_time.nanos = int(nanos)
    elif condition is not None:
        message.current_document.exists = condition


# ── Queries ──────────────────────────────────────────────────────────────────────────────────────


def encode_query(root: str, ours: Query) -> Any:
    """The query as Firestore takes it; ties are ordered by name in the last order's direction."""
    message = encode_selection(ours)
    last: Direction = ours.order[-1][1] if ours.order else "asc"
    orders = [
        *((_path(field), way) for field, way in ours.order),
        *((field, last) for field in _ranged(ours)),
    ]
    for field, direction in dict([*orders, ("__name__", last)]).items():
        order = message.order_by.add(direction=_DIRECTIONS[direction])
        order.field.field_path = field
    if ours.after is not None:
        _encode_after(root, ours, ours.after, message.start_at)
    return message


def encode_selection(ours: Query) -> Any:
    """The query without an order: what an aggregation counts."""
    message = _ProtoQuery()
    message.from_.add(collection_id=ours.collection)
    _encode_where(ours.where, message.where)
    if ours.limit is not None:
        message.limit.value = ours.limit
    return message


def _ranged(ours: Query) -> list[str]:
    """Fields with a range but no place in the order: Firestore wants one before the name."""
    ordered = {field for field, _ in ours.order}
    return [
        _path(field)
        for field, operator, _ in ours.where
        if operator in _RANGES and field not in ordered
    ]


def _encode_where(where: Sequence[tuple[str, str, Any]], into: Any) -> None:
    if len(where) == 1:
        _encode_filter(where[0], into)
    elif where:
        into.composite_filter.op = _AND
        for one in where:
            _encode_filter(one, into.composite_filter.filters.add())


def _encode_filter(one: tuple[str, str, Any], into: Any) -> None:
    field, operator, value = one
    if operator == "==" and value is None:
        into.unary_filter.op = _IS_NULL
        into.unary_filter.field.field_path = _path(field)
        return
    into.field_filter.op = _OPERATORS[operator]
    into.field_filter.field.field_path = _path(field)
    encode(value, into.field_filter.value)


def _encode_after(root: str, ours: Query, after: Sequence[Any], into: Any) -> None:
    if _ranged(ours):
        raise ValueError("a cursor needs every field with a range in the order")
    if len(after) != len(ours.order) + 1:
        raise ValueError(f"a cursor of {len(ours.order) + 1} values is needed, not {len(after)}")
    for value in after[:-1]:
        encode(value, into.values.add())
    into.values.add().reference_value = document_name(root, (ours.collection, after[-1]))
    into.before = False
