"""The base of every value that is stored or sent: frozen, camelCase outside, snake_case inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    GetPydanticSchema,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import (
    CoreSchema,
    enum_schema,
    no_info_plain_validator_function,
    simple_ser_schema,
    union_schema,
)

from taskreel.domain.record import Record

if TYPE_CHECKING:  # nothing of it runs before a schema is asked for: cold start
    from pydantic.json_schema import JsonSchemaValue

#: By names of this module: each job copies a dozen values.
_new, _set = object.__new__, object.__setattr__

#: A place in a value: field names and list indexes, from the outside in.
Location = tuple[str | int, ...]


def to_camel(name: str) -> str:
    """The name of a field in camelCase: `next_attempt_at` is `nextAttemptAt`.

    Pydantic's own compiles and runs four regular expressions, which took a cold start longer than
    any module of the product.
    """
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


class Value(BaseModel):
    """A frozen pydantic model whose documents and JSON carry camelCase names."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        ser_json_inf_nan="null",
        defer_build=True,  # built on first use: cold start
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        if handler.mode == "validation":
            _add_other_names(cls, schema)
        return schema

    #: Fields that a document is without while they have their defaults, which no factory makes. A
    #: reader restores them, so their defaults never change; no query may filter or order by them.
    omitted_defaults: ClassVar[frozenset[str]] = frozenset()

    def document(self) -> dict[str, Any]:
        """The value as it is stored: JSON types and aware datetimes, without None."""
        kind = type(self)
        layout = _LAYOUTS[kind] if kind in _LAYOUTS else _read_layout(kind)
        own = self.__dict__
        stored = {
            stored_name: value
            for name, stored_name, omitted in layout.fields
            if (value := own[name]) is not None and value is not omitted
        }
        for name, stored_name in layout.nested:
            if own[name] and stored_name in stored:
                stored[stored_name] = _to_stored(own[name])
        for name, stored_name, is_omitted in layout.conditions:
            if stored_name in stored and is_omitted(own[name]):
                del stored[stored_name]
        extra = self.__pydantic_extra__
        if extra:
            stored.update({name: value for name, value in extra.items() if value is not None})
        return stored


# ── Documents ────────────────────────────────────────────────────────────────────────────────────


class _Layout:
    """The names under which the fields of a class are stored, and when some are omitted."""

    def __init__(self, kind: type[Value]) -> None:
        fields = kind.model_fields
        names = {
            name: field.serialization_alias or field.alias or name for name, field in fields.items()
        }
        omitted: dict[str, Any] = dict.fromkeys(fields)
        #: The fields, each with its stored name, that are omitted on a condition.
        self.conditions: list[tuple[str, str, Callable[[Any], bool]]] = []
        for name, field in fields.items():
            by_identity = field.exclude_if and _is_compared_by_identity(field.default)
            if name in kind.omitted_defaults or by_identity:
                omitted[name] = field.default
            elif field.exclude_if:
                self.conditions.append((name, names[name], field.exclude_if))
        #: Each field with its stored name, and the default that is omitted: it is compared by
        #: identity, which is that of equality for empty tuples, small numbers and booleans. None
        #: for the others.
        self.fields = [(name, names[name], omitted[name]) for name in fields]
        #: The fields, each with its stored name, in which there may be other values.
        self.nested = [
            (name, names[name])
            for name, field in fields.items()
            if _may_have_values(field.annotation)
        ]


def _may_have_values(annotation: Any) -> bool:
    """True for a type in which there may be Values: they are stored as documents."""
    if annotation is Any or (isinstance(annotation, type) and issubclass(annotation, Value)):
        return True
    origin = get_origin(annotation)  # the members of a plain JSON object are JSON
    parts = [one for one in get_args(annotation) if one is not Any or origin is not dict]
    return any(map(_may_have_values, parts))


def _is_compared_by_identity(default: Any) -> bool:
    """True for a default that is the only one of its kind: `()`, False and 0."""
    return default.__class__ in {tuple, bool, int} and not default


_LAYOUTS: dict[type[Value], _Layout] = {}


def _read_layout(kind: type[Value]) -> _Layout:
    layout = _LAYOUTS[kind] = _Layout(kind)
    return layout


def _to_stored(value: Any) -> Any:
    """Convert a field's value in which there may be Values, or an item of it."""
    kind = value.__class__
    if kind in _LAYOUTS or isinstance(value, Value):
        document: dict[str, Any] = value.document()
        return document
    if kind is tuple:
        return tuple([_to_stored(item) for item in value])
    if kind is list:
        return [_to_stored(item) for item in value]
    if kind is dict:
        return {name: _to_stored(item) for name, item in value.items()}
    return value


def _add_other_names(model: type[BaseModel], schema: JsonSchemaValue) -> None:
    """Add the fields' other names, of which pydantic's own schema has the first alone.

    One of the names of a required field must be given.
    """
    properties = schema.get("properties", {})
    for field in model.model_fields.values():
        choices = field.validation_alias
        if not isinstance(choices, AliasChoices):
            continue
        names = [name for name in choices.choices if isinstance(name, str)]
        if names[0] not in properties:
            continue
        same = {"description": f"The same as `{names[0]}`."}
        for name in names[1:]:
            properties.setdefault(name, {**properties[names[0]], **same})
        required = schema.get("required", [])
        if names[0] in required:
            schema["required"] = [name for name in required if name != names[0]]
            one_of_them = {"anyOf": [{"required": [name]} for name in names]}
            schema.setdefault("allOf", []).append(one_of_them)
    if schema.get("required") == []:
        del schema["required"]


class StoredValue(Value):
    """A part of a stored document.

    While a release is rolled out or back, documents are read that a newer revision wrote: fields
    that this one does not know are retained and written back.
    """

    model_config = ConfigDict(extra="allow")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy it with changed fields. A third of pydantic's own time: each step of a job copies.

        The copy does not record which fields were given: a document has them all.
        """
        if deep:
            return super().model_copy(update=update, deep=True)
        own, extra = self.__dict__, self.__pydantic_extra__
        fields = {**own, **update} if update else {**own}
        if len(fields) > len(own):
            # Names that the class does not declare are not among its fields.
            extra = dict(extra or ())
            for name in update or ():
                if name not in own:
                    extra[name] = fields.pop(name)
        copied = _new(type(self))
        _set(copied, "__dict__", fields)
        _set(copied, "__pydantic_fields_set__", self.__pydantic_fields_set__)
        _set(copied, "__pydantic_extra__", extra)
        _set(copied, "__pydantic_private__", None)
        return copied

    def with_fields_of(self, other: Self) -> Self:
        """Copy it with all fields of `other`; those that only a newer revision knows stay."""
        return self.model_copy(update=dict(other))


E = TypeVar("E", bound=StrEnum)


def accept_unknown(kind: type[E]) -> GetPydanticSchema:
    """The schema of an enum field of a StoredValue: retain a value that is not a member.

    Such a value is an instance of `kind` that equals none of its members; see `is_known`.
    """

    def retain_unknown(value: Any) -> E:
        if not isinstance(value, str):
            raise PydanticCustomError("enum", "Input should be a text")
        return _build_unknown(kind, value)

    # The members first, without a call of Python: nearly every document is of this revision.
    members = enum_schema(kind, list(kind), sub_type="str")
    unknown = no_info_plain_validator_function(retain_unknown)
    schema = union_schema(
        [members, unknown], mode="left_to_right", serialization=simple_ser_schema("any")
    )
    return GetPydanticSchema(lambda _source, _handler: schema)


def is_known(member: StrEnum) -> bool:
    """True for a member of its enum; False for a value that `accept_unknown` retained."""
    return member._value_ in type(member)._value2member_map_


def _build_unknown(kind: type[E], value: str) -> E:
    unknown = str.__new__(kind, value)
    unknown._name_ = value
    unknown._value_ = value
    return unknown


def validation_error(title: str, found: Iterable[tuple[Location, str]]) -> ValidationError:
    """The error that a validator raises to report several places with a message each."""
    rows = [
        InitErrorDetails(
            type=PydanticCustomError("refused", "{reason}", {"reason": reason}), loc=at, input=None
        )
        for at, reason in found
    ]
    return ValidationError.from_exception_data(title, rows)


def format_path(location: Location) -> str:
    """The location as callers read it: `options.width`, `prompts[3]`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")


# ── Checked changes ──────────────────────────────────────────────────────────────────────────────

#: For the TypedDict of a value's changes: no other names, and no conversion of types.
STRICT = ConfigDict(extra="forbid", strict=True)


class _ChangeChecks:
    """The checks of a TypedDict of changes, built on first use: a cold start builds few."""

    def __init__(self, kind: type[Any]) -> None:
        self.validate: Callable[[Any], dict[str, Any]] = TypeAdapter(kind).validator.validate_python
        hints = get_type_hints(kind, include_extras=True)
        #: The classes whose instances a field takes as they are, and those of a tuple's items.
        self.plain = {name: _list_plain_classes(hint) for name, hint in hints.items()}
        self.items = {
            name: get_args(hint)[0] for name, hint in hints.items() if get_origin(hint) is tuple
        }
        #: The fields that take a JSON object of any members.
        self.objects = {name for name, hint in hints.items() if _takes_any_object(hint)}

    def has_plain_items(self, name: str, value: Any) -> bool:
        """True for a tuple, or an object, whose items are right by their classes alone."""
        if value.__class__ is dict:
            return name in self.objects and {str}.issuperset(map(type, value))
        item = self.items.get(name)
        return item is not None and {item}.issuperset(map(type, value))


def _list_plain_classes(hint: Any) -> frozenset[type[Any]]:
    """The classes of which strict validation takes every instance, unchanged, for a type hint."""
    if get_origin(hint) in {Union, UnionType}:
        return frozenset().union(*map(_list_plain_classes, get_args(hint)))
    if hint in _PLAIN or (isinstance(hint, type) and issubclass(hint, (Value, Record, StrEnum))):
        return frozenset({hint})
    return frozenset()


def _takes_any_object(hint: Any) -> bool:
    """True for `dict[str, Any]`, and for that or None."""
    if get_origin(hint) in {Union, UnionType}:
        return any(map(_takes_any_object, get_args(hint)))
    return get_origin(hint) is dict and get_args(hint) == (str, Any)


_PLAIN = {str, int, bool, datetime, type(None)}
_CONTAINERS: frozenset[type[Any]] = frozenset({tuple, dict})
_CHECKS: dict[type[Any], _ChangeChecks] = {}


def validate_changes(kind: type[Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Check `changes` against the TypedDict `kind` and return them.

    `model_copy(update=…)` takes any name and any value: a misspelled field would be lost, and a
    value of the wrong type would be stored. Raises ValidationError for either. Most changes are
    right by the class of their value, which takes a fifth of the time of the validation.
    """
    checks = _CHECKS.get(kind)
    if checks is None:
        checks = _CHECKS[kind] = _ChangeChecks(kind)
    plain = checks.plain
    others = {
        name: to
        for name, to in changes.items()
        if to.__class__ not in plain.get(name, ())
        and not (to.__class__ in _CONTAINERS and checks.has_plain_items(name, to))
    }
    return {**changes, **checks.validate(others)} if others else {**changes}
