"""The v2 messages' wire forms: one table of fields gives proto3 JSON, protobuf objects and encoded sizes.

It needs no protobuf: a protobuf object is only read and written by attribute, so that the REST door
starts without google-cloud-tasks and gRPC (0.5 s, 50 MiB).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from taskreel_local.emulators.cloudtasks.errors import ApiError, invalid

if TYPE_CHECKING:
    from taskreel_local.emulators.cloudtasks.codec_scalars import Kind

M = TypeVar("M")


class WireError(ValueError):
    """A value that does not fit its field; `path` grows outwards as the error travels."""

    def __init__(self, text: str, *path: str) -> None:
        super().__init__(text)
        self.text = text
        self.path = path

    def inside(self, *outer: str) -> WireError:
        """The same error seen from the message around it."""
        return WireError(self.text, *outer, *self.path)

    def api_error(self) -> ApiError:
        """Google's wording: the text holds `{at}` where the path belongs."""
        path = ".".join(self.path)
        text = self.text.replace("{at}", f" at '{path}'" if path else "")
        violation = {"field": path, "description": text} if path else {"description": text}
        detail = {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [violation],
        }
        return invalid(text, detail)


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its names, its number, its kind, and its value when unset."""

    attr: str
    json: str
    number: int
    kind: Kind
    default: Any
    oneof: str


def wire(number: int, kind: Kind, *, optional: bool = False, oneof: str = "") -> Any:
    """Declare a dataclass field of a message; an `optional` scalar tells unset (None) from zero."""
    default = None if optional else kind.unset
    return dataclasses.field(default=default, metadata={"wire": (number, kind, oneof)})


class _Tables:
    """What is worked out once for a message."""

    __slots__ = ("by_json_name", "by_number", "fields", "json_plan", "oneofs")

    def __init__(self, message: Any) -> None:
        self.fields = tuple(_field(field) for field in dataclasses.fields(message))
        # Proto3 JSON accepts both the camelCase and the original name.
        self.by_json_name = {
            name: field for field in self.fields for name in (field.json, field.attr)
        }
        self.by_number = {field.number: field for field in self.fields}
        self.oneofs = tuple(field for field in self.fields if field.oneof)
        self.json_plan = tuple((f.attr, f.json, f.default, f.kind.to_json) for f in self.fields)


_TABLES: dict[type, _Tables] = {}


def _tables(message: type) -> _Tables:
    tables = _TABLES.get(message)
    if tables is None:
        tables = _TABLES[message] = _Tables(message)
    return tables


def _field(declared: dataclasses.Field[Any]) -> Field:
    number, kind, oneof = declared.metadata["wire"]
    return Field(declared.name, _camel(declared.name), number, kind, declared.default, oneof)


def fields(message: type) -> tuple[Field, ...]:
    """The message's table, in the order of its declaration."""
    return _tables(message).fields


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def field(message: type, attr: str) -> Field:
    """One of them."""
    return next(field for field in fields(message) if field.attr == attr)


def from_json(message: type[M], data: Any) -> M:
    """Read a message as strictly as Google does: an unknown field is an error. Raises WireError."""
    if not isinstance(data, dict):
        raise WireError("Invalid value{at} (MessageType), " + _shown(data))
    table = _tables(message).by_json_name
    values: dict[str, Any] = {}
    for key, raw in data.items():
        field = table.get(key)
        if field is None:
            raise WireError(
                f'Invalid JSON payload received. Unknown name "{key}"{{at}}: Cannot find field.'
            )
        if raw is not None:
            values[field.attr] = _field_from_json(field, raw)
    if len(values) > 1:
        _refuse_two_of_one(message, values)
    return message(**values)


def _field_from_json(field: Field, raw: Any) -> Any:
    try:
        return field.kind.from_json(raw)
    except WireError as error:
        raise error.inside(field.attr) from None


def _refuse_two_of_one(message: type, values: dict[str, Any]) -> None:
    taken: set[str] = set()
    for field in _tables(message).oneofs:
        if field.attr in values:
            if field.oneof in taken:
                raise WireError(
                    f"Invalid value{{at}} (oneof), oneof field '{field.oneof}' is already set."
                )
            taken.add(field.oneof)


def to_json(value: Any, *, enum_ints: bool = False) -> dict[str, Any]:
    """Proto3 JSON as Google prints it: unset fields are left out, enums are names unless asked."""
    out: dict[str, Any] = {}
    for attr, name, default, encode in _tables(type(value)).json_plan:
        item = getattr(value, attr)
        if item is not None and item != default:
            out[name] = encode(item, enum_ints)
    return out


def from_pb(message: type[M], pb: Any) -> M:
    """Read a protobuf object; fields this table does not know are ignored, as proto3 asks."""
    table = _tables(message).by_number
    values: dict[str, Any] = {}
    for descriptor, raw in pb.ListFields():
        field = table.get(descriptor.number)
        if field is not None:
            values[field.attr] = _field_from_pb(field, raw)
    return message(**values)


def _field_from_pb(field: Field, raw: Any) -> Any:
    try:
        return field.kind.from_pb(raw)
    except WireError as error:
        raise error.inside(field.attr) from None


def into_pb(value: Any, pb: Any) -> Any:
    """Write a message into a fresh protobuf object, which is returned."""
    for field in fields(type(value)):
        item = getattr(value, field.attr)
        if item is not None and item != field.default:
            field.kind.into_pb(pb, field.attr, item)
    return pb


def size(value: Any) -> int:
    """The encoded length in bytes: what the service's size limit counts (golden files, 2026-08)."""
    total = 0
    for field in fields(type(value)):
        item = getattr(value, field.attr)
        if item is not None and item != field.default:
            total += field.kind.size(field.number, item)
    return total


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text[:100]
