"""Stored values that every job makes, copies and writes several times: as structs, by C.

A `StoredValue` is a pydantic model. A job has a dozen of the records here, and each of its steps
copies one: as models they took an eighth more of a job's processor time. What both have in common
is what is stored: camelCase, without None, with the fields of newer revisions. A document is read
by the pydantic model of the same fields, so that a value of a wrong type is refused as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import msgspec
from msgspec import structs
from pydantic import Field, GetCoreSchemaHandler, create_model
from pydantic_core.core_schema import CoreSchema, no_info_wrap_validator_function

from taskreel.domain.record import Record
from taskreel.domain.value import StoredValue

if TYPE_CHECKING:
    from collections.abc import Callable

#: Stores have times as they are.
_TIMES = (datetime,)


class StoredRecord(Record, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of a stored document. Its parts are checked by mypy, and where they are read.

    A document is without the fields that have their defaults, and a reader restores them, so that
    the defaults never change; no query may filter or order by them.
    """

    #: Those that a document has nevertheless, by their stored names.
    written_defaults: ClassVar[Mapping[str, Any]] = {}

    #: The fields that only a newer revision knows, by their stored names: they are written back.
    unknown: Mapping[str, Any] | None = None

    @classmethod
    def model_validate(cls, data: Mapping[str, Any]) -> Self:
        """Read a document. Raises ValidationError for a value of a wrong type."""
        return cls._of_model(cls.reader().model_validate(data))

    @classmethod
    def _of_model(cls, read: StoredValue) -> Self:
        unknown = read.model_extra or None
        if unknown is not None:
            _unknown_fields.were_read = True
        return cls(**vars(read), unknown=unknown)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield each field's name and value, as a model does, for `dict`."""
        fields = structs.asdict(self)
        unknown = fields.pop("unknown") or {}
        return iter({**fields, **unknown}.items())

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """Copy it with changed fields."""
        return structs.replace(self, **update)

    def document(self) -> dict[str, Any]:
        """The value as it is stored: JSON types and aware datetimes, without None."""
        if _unknown_fields.were_read and _has_unknown_fields(self):
            stored = _encode_fields(self)
        else:
            stored = _encode_known(self)
        for name, default in self.written_defaults.items():
            if name not in stored:
                stored[name] = default
        return stored

    def measure_json(self) -> int:
        """The bytes of its JSON, about as long as that of its document, which takes much longer.

        Raises ValueError or OverflowError for half a surrogate pair and for a number of more than
        64 bits, TypeError for what is no JSON.
        """
        return len(_encode_json(self))

    @classmethod
    def reader(cls) -> type[StoredValue]:
        """The pydantic model that reads its documents; built when it is first asked for."""
        if cls not in _READERS:
            _READERS[cls] = _build_reader(cls)
        return _READERS[cls]

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The schema of a field of a model or of changes: it takes records, and reads documents."""

        def read(value: Any, validate: Callable[[Any], Any]) -> Any:
            return value if isinstance(value, cls) else cls._of_model(validate(value))

        return no_info_wrap_validator_function(read, handler(cls.reader()))


class _UnknownFields:
    """Tells if this process has read fields of a newer revision, which few processes ever do."""

    were_read = False


_unknown_fields = _UnknownFields()
_READERS: dict[type[StoredRecord], type[StoredValue]] = {}


def _build_reader(kind: type[StoredRecord]) -> type[StoredValue]:
    fields: dict[str, Any] = {}
    for field in structs.fields(kind):
        if field.name == "unknown":
            continue
        if field.required:
            default = ...
        elif field.default_factory is not msgspec.NODEFAULT:
            default = Field(default_factory=field.default_factory)
        else:
            default = field.default
        fields[field.name] = (field.type, default)
    return create_model(kind.__name__, __base__=StoredValue, __doc__=kind.__doc__, **fields)


def _encode_model(value: Any) -> Any:
    """Encode a pydantic model within a record."""
    if isinstance(value, StoredValue):
        return value.document()
    raise TypeError(f"a document field cannot be of type {type(value).__name__}")


_encode_json = msgspec.json.Encoder(enc_hook=_encode_model).encode


def _has_unknown_fields(record: StoredRecord) -> bool:
    """True if the record, or a record within it, has fields of a newer revision."""
    if record.unknown:
        return True
    for name, _ in _list_parts(type(record)):
        part = getattr(record, name)
        for one in part if isinstance(part, tuple) else (part,):
            if one is not None and _has_unknown_fields(one):
                return True
    return False


def _list_parts(kind: type[StoredRecord]) -> tuple[tuple[str, str], ...]:
    """The fields of a record that have other records, one or a tuple, and their stored names."""
    if kind not in _PARTS:
        _PARTS[kind] = tuple(
            (field.name, field.encode_name)
            for field in structs.fields(kind)
            if _has_records(field.type)
        )
    return _PARTS[kind]


_PARTS: dict[type[StoredRecord], tuple[tuple[str, str], ...]] = {}


def _has_records(annotation: Any) -> bool:
    """True for the type of a field with records."""
    if isinstance(annotation, type) and issubclass(annotation, StoredRecord):
        return True
    return any(_has_records(part) for part in get_args(annotation))


def _encode_fields(record: StoredRecord) -> dict[str, Any]:
    """Encode a record, and those within it again: C puts no unknown fields beside the others."""
    stored = _encode_known(structs.replace(record, unknown=None))
    for name, stored_name in _list_parts(type(record)):
        if stored_name in stored:
            part = getattr(record, name)
            stored[stored_name] = (
                tuple([one.document() for one in part])
                if isinstance(part, tuple)
                else part.document()
            )
    return {**stored, **(record.unknown or {})}


def _encode_known(record: StoredRecord) -> dict[str, Any]:
    encoded: dict[str, Any] = msgspec.to_builtins(
        record, builtin_types=_TIMES, enc_hook=_encode_model
    )
    return encoded
