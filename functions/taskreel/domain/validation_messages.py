"""Sentences for pydantic's validation errors, fit for the developer who sent the request.

One table, keyed by pydantic's error `type`, serves request bodies, query parameters, step payloads
and settings. No phrase of pydantic's own reaches a caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec.structs import replace
from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from taskreel.domain.errors import InvalidError
from taskreel.domain.record import Record
from taskreel.domain.value import Location, format_path

#: A wrong field of a request, and the sentence about it.
FieldError = tuple[Location, str]

_MUST_BE = "must be "
_DATE = "a date and time with a time zone, such as 2026-01-31T12:00:00Z"
#: Patterns that mean the same wherever they are used; of any other, the field's examples are shown.
_PATTERNS: Mapping[str, str] = {
    r"\S": "must not be blank",
    r"\w": "must contain a letter or a digit",
}


def describe_errors(
    rows: Iterable[ErrorDetails], model: Any, *, noun: str = "field"
) -> list[FieldError]:
    """One sentence per wrong field, in order of appearance.

    Args:
        rows: `errors()` of a ValidationError.
        model: The model, or any other annotation, that was validated.
        noun: The caller's word for a field of the model, such as "query parameter".
    """
    found = [_describe_error(row, replace(_locate_field(row, model), noun=noun)) for row in rows]
    return [(one.at, one.message) for one in _merge_alternatives(found)]


def invalid_request(found: Sequence[FieldError]) -> InvalidError:
    """The InvalidError that lists these fields."""
    errors = [{"path": format_path(at), "message": message} for at, message in found]
    lines = [
        f"{one['path']}: {one['message']}" if one["path"] else one["message"] for one in errors
    ]
    return InvalidError("; ".join(lines), errors=errors)


def invalid_model(error: ValidationError, model: Any, at: Location = ()) -> InvalidError:
    """The InvalidError for a value that `model` refused; `at` is the value's place."""
    found = describe_errors(error.errors(include_url=False), model)
    return invalid_request([((*at, *place), message) for place, message in found])


# ── Places ───────────────────────────────────────────────────────────────────────────────────────


class _Place(Record):
    """A location in the request, and the declarations that apply there."""

    at: Location
    #: The annotations or fields that may describe the value; several in a union.
    declared: tuple[Any, ...]
    #: The same for the object that contains the value.
    parents: tuple[Any, ...] = ()
    #: The innermost union on the way; None outside any.
    union: Location | None = None
    noun: str = "field"


class _Described(Record):
    at: Location
    message: str
    union: Location | None


def _locate_field(row: ErrorDetails, model: Any) -> _Place:
    """Follow the row's location through the model, without pydantic's tags of union members."""
    place = _Place((), (model,))
    for part in row["loc"]:
        if _is_union_tag(part, place.declared):
            place = replace(place, union=place.at)
            continue
        declared = tuple(
            inner for outer in place.declared for inner in _declared_below(outer, part)
        )
        place = _Place((*place.at, part), declared, place.declared, place.union)
    return place


def _is_union_tag(part: str | int, declared: Iterable[Any]) -> bool:
    """True for a part that pydantic inserts to name a union's member: `str`, `list[str]`."""
    members = [member for one in declared for member in _union_members(one)]
    if len(members) < 2 or not isinstance(part, str):
        return False
    return "[" in part or part in {getattr(member, "__name__", None) for member in members}


def _union_members(declared: Any) -> Iterator[Any]:
    """The members of a union, without None; any other annotation is its own only member."""
    annotation = declared.annotation if isinstance(declared, FieldInfo) else declared
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _union_members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _union_members(member)
    elif annotation is not type(None):
        yield annotation


def _declared_below(declared: Any, part: str | int) -> Iterator[Any]:
    for annotation in _union_members(declared):
        arguments = get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from (
                field
                for name, field in annotation.model_fields.items()
                if part == name or part in _aliases_of(field)
            )
        elif isinstance(part, int) and arguments:
            yield arguments[0]
        elif isinstance(part, str) and len(arguments) == 2:
            yield arguments[1]


def _aliases_of(field: FieldInfo) -> list[str]:
    """The names of a field in a request, the preferred one first."""
    if isinstance(field.validation_alias, AliasChoices):
        return [name for name in field.validation_alias.choices if isinstance(name, str)]
    return [name for name in (field.validation_alias, field.alias) if isinstance(name, str)][:1]


def _known_names(parents: Iterable[Any]) -> list[str]:
    models = [one for parent in parents for one in _union_members(parent)]
    return [
        (_aliases_of(field) or [name])[0]
        for model in models
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name, field in model.model_fields.items()
    ]


def _find_group(name: str, parents: Iterable[Any]) -> str | None:
    """The field of the parents whose own object has a field of this name: `options` for `seed`."""
    for parent in parents:
        for model in _union_members(parent):
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                continue
            for group, field in model.model_fields.items():
                if name in _known_names([field]):
                    return (_aliases_of(field) or [group])[0]
    return None


def _collect_examples(declared: Iterable[Any]) -> list[str]:
    """The examples that a field's declaration gives, also inside Annotated and unions."""
    found: list[str] = []
    for one in declared:
        if isinstance(one, FieldInfo):
            found += map(str, one.examples or ())
            found += _collect_examples([one.annotation])
        elif get_origin(one) is Annotated or get_origin(one) in (Union, UnionType):
            found += _collect_examples(get_args(one))
    return found


# ── Sentences ────────────────────────────────────────────────────────────────────────────────────


def _describe_error(row: ErrorDetails, place: _Place) -> _Described:
    kind = row["type"]
    sentence = _SENTENCES.get(kind)
    if sentence is not None:
        message = sentence(row, place)
    elif kind in _PYDANTIC_TYPES:
        message = "is not valid"
    else:
        message = row["msg"]
    return _Described(place.at, message, place.union)


def _merge_alternatives(found: Sequence[_Described]) -> list[_Described]:
    """One row for each value that matches no member of a union.

    Where a member fits the value but not its contents, only the contents are named.
    """
    merged: list[_Described] = []
    unions: dict[Location, int] = {}
    for one in found:
        if one.union != one.at:
            merged.append(one)
        elif any(other.union == one.at and other.at != one.at for other in found):
            continue
        elif one.at not in unions:
            unions[one.at] = len(merged)
            merged.append(one)
        else:
            first = merged[unions[one.at]]
            alternative = one.message.removeprefix(_MUST_BE)
            merged[unions[one.at]] = replace(first, message=f"{first.message} or {alternative}")
    return merged


def join_words(words: Sequence[str], last: str = "or") -> str:
    """`a, b or c`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def suggest_name(given: Any, known: Sequence[str]) -> str:
    """` (did you mean X?)` for the nearest of the known names; empty if none is near."""
    if not isinstance(given, str):
        return ""
    lower = {name.lower(): name for name in reversed(known)}
    near = get_close_matches(given[:100].lower(), lower, n=1, cutoff=0.6)
    return f" (did you mean {lower[near[0]]}?)" if near else ""


def explain_unknown_name(given: Any, known: Sequence[str], noun: str) -> str:
    """The sentence about a name that is not known: with the nearest one, or else with all."""
    allowed = f" (allowed: {', '.join(known)})" if known else ""
    return f"is not a known {noun}{suggest_name(given, known) or allowed}"


def _unknown_field(row: ErrorDetails, place: _Place) -> str:
    name = row["loc"][-1]
    if isinstance(name, str) and (group := _find_group(name, place.parents)):
        return f"is a field of {group}: give it as {group}.{name}"
    return explain_unknown_name(row["loc"][-1], _known_names(place.parents), place.noun)


def _describe_choice(row: ErrorDetails, _place: _Place) -> str:
    expected = str(row["ctx"]["expected"])
    # pydantic writes them as 'a', 'b' or 'c'.
    known = expected.split("'")[1::2]
    if not known:
        return f"{_MUST_BE}{expected}"
    return f"{_MUST_BE}{join_words(known)}{suggest_name(row['input'], known)}"


def _describe_pattern(row: ErrorDetails, place: _Place) -> str:
    meaning = _PATTERNS.get(row["ctx"]["pattern"])
    if meaning is not None:
        return meaning
    examples = _collect_examples(place.declared)
    return f"must have a form such as {join_words(examples)}" if examples else "has a wrong form"


def _too_short(row: ErrorDetails, _place: _Place) -> str:
    return "must not be empty" if row["ctx"]["min_length"] == 1 else f"{_at_least(row)} characters"


def _too_few(row: ErrorDetails, _place: _Place) -> str:
    return "must not be empty" if row["ctx"]["min_length"] == 1 else f"{_at_least(row)} items"


def _at_least(row: ErrorDetails) -> str:
    return f"must have at least {row['ctx']['min_length']}"


def _at_most(noun: str) -> Callable[[ErrorDetails, _Place], str]:
    return lambda row, _place: f"must have at most {row['ctx']['max_length']} {noun}"


def _limit(words: str, name: str) -> Callable[[ErrorDetails, _Place], str]:
    return lambda row, _place: f"{_MUST_BE}{words} {row['ctx'][name]:.15g}"


def _own_words(row: ErrorDetails, _place: _Place) -> str:
    """A validator's own message, without pydantic's prefix."""
    return str(row["ctx"]["error"])


def _must_be(what: str, *kinds: ErrorType) -> dict[str, Callable[[ErrorDetails, _Place], str]]:
    return dict.fromkeys(kinds, lambda _row, _place: f"{_MUST_BE}{what}")


_PYDANTIC_TYPES = frozenset(get_args(ErrorType))

_SENTENCES: Mapping[str, Callable[[ErrorDetails, _Place], str]] = {
    "missing": lambda _row, _place: "is required",
    "extra_forbidden": _unknown_field,
    "enum": _describe_choice,
    "literal_error": _describe_choice,
    "string_pattern_mismatch": _describe_pattern,
    "string_too_short": _too_short,
    "string_too_long": _at_most("characters"),
    "too_short": _too_few,
    "too_long": _at_most("items"),
    "greater_than": _limit("more than", "gt"),
    "greater_than_equal": _limit("at least", "ge"),
    "less_than": _limit("less than", "lt"),
    "less_than_equal": _limit("at most", "le"),
    "multiple_of": _limit("a multiple of", "multiple_of"),
    "value_error": _own_words,
    "assertion_error": _own_words,
    **_must_be("true or false", "bool_type", "bool_parsing"),
    **_must_be("a whole number", "int_type", "int_parsing", "int_from_float", "int_parsing_size"),
    **_must_be("a number", "float_type", "float_parsing"),
    **_must_be("a finite number", "finite_number"),
    **_must_be("a string", "string_type", "string_unicode"),
    **_must_be("an array", "list_type", "tuple_type", "iterable_type"),
    **_must_be("an object", "dict_type", "model_type", "model_attributes_type", "mapping_type"),
    **_must_be("absent or null", "none_required"),
    **_must_be(
        _DATE,
        *("datetime_type", "datetime_parsing", "datetime_object_invalid"),
        *("datetime_from_date_parsing", "timezone_aware"),
    ),
}
