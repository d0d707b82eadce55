"""Values that no store can hold, found in a request with their paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from taskreel.domain.value import Location

#: Firestore stores twenty levels, of which the job is one; an array in an array takes two.
_MAX_DEPTH = 18
_MAX_INTEGER = 2**63
_MAX_NAME_BYTES = 1000
_camel = lru_cache(maxsize=1024)(to_camel)


def find_unstorable(
    value: Any, at: Location = (), depth: int = 0
) -> Iterator[tuple[Location, str]]:
    """Yield the places that cannot be stored, with reasons: depth, numbers, characters, names."""
    if depth > _MAX_DEPTH:
        yield at, f"must not be nested deeper than {_MAX_DEPTH} levels"
        return
    if isinstance(value, int | float) and not abs(value) < _MAX_INTEGER:  # also true for a NaN
        yield at, "must be a finite number that fits into 64 bits"
    elif isinstance(value, str) and value and not _utf8_length(value):
        yield at, "contains half of a surrogate pair, which is not a character"
    listed = isinstance(value, list | tuple)
    for name, inner in _inner_values(value):
        if isinstance(name, str) and not _is_name(name):
            yield at, f"{name[:100]!r} is not a name that can be stored"
        else:
            yield from find_unstorable(
                inner, (*at, name), depth + (2 if listed and isinstance(inner, list | tuple) else 1)
            )


def _inner_values(value: Any) -> Iterable[tuple[str | int, Any]]:
    match value:
        case BaseModel():
            given = value.model_fields_set  # defaults can be stored
            fields = [(_camel(name), inner) for name, inner in vars(value).items() if name in given]
            return [*fields, *(value.model_extra or {}).items()]
        case dict():
            return value.items()
        case list() | tuple():
            return enumerate(value)
        case _:
            return ()


def _is_name(text: str) -> bool:
    return 0 < _utf8_length(text) <= _MAX_NAME_BYTES and not (
        text.startswith("__") and text.endswith("__")
    )


def _utf8_length(text: str) -> int:
    """The length of a text in UTF-8; 0 for one that cannot be encoded."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0
