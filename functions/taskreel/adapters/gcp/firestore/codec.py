"""Conversion of documents, names and queries to Firestore's protobuf messages, and back.

Every JSON value and every id can be stored: Firestore's restrictions on field names, nested arrays
and document ids are met by escaping, which reading undoes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from google.cloud.firestore_v1.types import query, write

from taskreel.adapters.gcp.firestore.buffer import Condition, Document, Key, Write
from taskreel.ports import Direction, Increment, Query

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
#: Firestore has no array directly in an array: the inner one is stored as a map with this one
#: field. No escaped field name equals it.
_INNER_ARRAY = "~[]"


# ── Values ───────────────────────────────────────────────────────────────────────────────────────


def encode_value(value: Any, into: Any, *, in_array: bool = False) -> None:
    """Write a JSON value or an aware datetime into a Value message.

    Raises TypeError for any other type, and for a time without a time zone.
    """
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
            raise TypeError(f"a document field cannot be of type {type(value).__name__}")


def _encode_array(value: Sequence[Any], into: Any, *, in_array: bool) -> None:
    if in_array:
        into = into.map_value.fields[_INNER_ARRAY]
    into.array_value.SetInParent()
    for item in value:
        encode_value(item, into.array_value.values.add(), in_array=True)


def encode_fields(data: Mapping[str, Any], into: Any) -> None:
    """Write a mapping into the fields of a document or a map."""
    for name, value in data.items():
        encode_value(value, into[_escape_name(str(name))])


def decode_value(value: Any) -> Any:
    """Read a Value message as plain Python."""
    kind = value.WhichOneof("value_type")
    match kind:
        case "map_value":
            fields = value.map_value.fields
            if _INNER_ARRAY in fields:
                return decode_value(fields[_INNER_ARRAY])
            return decode_fields(fields)
        case "array_value":
            return [decode_value(item) for item in value.array_value.values]
        case "timestamp_value":
            return value.timestamp_value.ToDatetime(tzinfo=UTC)
        case "null_value" | None:
            return None
        case _:
            return getattr(value, kind)


def decode_fields(fields: Any) -> dict[str, Any]:
    """Read the fields of a document or a map as a dictionary."""
    return {name.removeprefix("~"): decode_value(value) for name, value in fields.items()}


def _encode_time(value: datetime, into: Any) -> None:
    if value.tzinfo is None:
        raise TypeError(f"a stored time needs a time zone: {value!r}")
    into.FromDatetime(value)


def _escape_name(name: str) -> str:
    """Change a field name that Firestore refuses: empty, or of the form `__x__`."""
    return f"~{name}" if not name or name.startswith("~") or _RESERVED.fullmatch(name) else name


def _path_segment(name: str) -> str:
    """One field name as a part of a field path."""
    name = _escape_name(name)
    if _PLAIN_SEGMENT.fullmatch(name):
        return name
    quoted = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{quoted}`"


def _field_path(field: str) -> str:
    """The path of a query's field; a dot leads into a map."""
    return ".".join(_path_segment(part) for part in field.split("."))


# ── Documents ────────────────────────────────────────────────────────────────────────────────────


def document_name(root: str, key: Key) -> str:
    """The full name of a document. Characters that Firestore refuses in an id are escaped."""
    collection, id_ = key
    safe = id_.replace("%", "%25").replace("/", "%2F")
    if safe in {".", ".."} or _RESERVED.fullmatch(safe):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}"
    return f"{root}/{collection}/{safe}"


def key_of(name: str) -> Key:
    """The collection and the id in a full name."""
    collection, id_ = name.rsplit("/", 2)[1:]
    return collection, unquote(id_)


def read_document(message: Any) -> Document:
    """Read a Document message. The version is its update time to the nanosecond."""
    collection, id_ = key_of(message.name)
    fields = decode_fields(message.fields)
    return Document(collection, id_, fields, format_version(message.update_time))


def format_version(update_time: Any) -> str:
    """A document's version: its update time to the nanosecond."""
    return f"{update_time.seconds}.{update_time.nanos:09d}"


def encode_write(root: str, ours: Write) -> Any:
    """Convert one write of a commit, with its precondition."""
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
            # The mask is set even if it is empty: without one the whole document is replaced.
            message.update_mask.SetInParent()
            message.update_mask.field_paths.extend(_path_segment(field) for field in plain)
        for field, value in ours.data.items():
            if isinstance(value, Increment):
                transform = message.update_transforms.add(field_path=_path_segment(field))
                encode_value(value.by, transform.increment)
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


def encode_query(root: str, ours: Query[Any]) -> Any:
    """Convert a query. Ties are ordered by name, in the direction of the last order."""
    message = encode_filters(ours)
    for field in ours.fields or ():
        message.select.fields.add(field_path=_field_path(field))
    last: Direction = ours.order[-1][1] if ours.order else "asc"
    orders = [
        *((_field_path(field), way) for field, way in ours.order),
        *((field, last) for field in _unordered_ranges(ours)),
    ]
    for field, direction in dict([*orders, ("__name__", last)]).items():
        order = message.order_by.add(direction=_DIRECTIONS[direction])
        order.field.field_path = field
    if ours.after is not None:
        _encode_after(root, ours, ours.after, message.start_at)
    return message


def encode_filters(ours: Query[Any]) -> Any:
    """Convert a query without its order, for an aggregation."""
    message = _ProtoQuery()
    message.from_.add(collection_id=ours.collection.name)
    _encode_where(ours.where, message.where)
    if ours.limit is not None:
        message.limit.value = ours.limit
    return message


def _unordered_ranges(ours: Query[Any]) -> list[str]:
    """Fields with a range that are not in the order, which Firestore needs before the name."""
    ordered = {field for field, _ in ours.order}
    return [
        _field_path(field)
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
        into.unary_filter.field.field_path = _field_path(field)
        return
    into.field_filter.op = _OPERATORS[operator]
    into.field_filter.field.field_path = _field_path(field)
    encode_value(value, into.field_filter.value)


def _encode_after(root: str, ours: Query[Any], after: Sequence[Any], into: Any) -> None:
    if _unordered_ranges(ours):
        raise ValueError("a query with a cursor must order by every field that has a range")
    if len(after) != len(ours.order) + 1:
        raise ValueError(f"the cursor needs {len(ours.order) + 1} values, not {len(after)}")
    for value in after[:-1]:
        encode_value(value, into.values.add())
    into.values.add().reference_value = document_name(root, (ours.collection.name, after[-1]))
    into.before = False
