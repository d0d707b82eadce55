"""What no store can keep is refused at the door, with where it stands in the request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from taskreel.domain.value import Location

#: A store keeps twenty levels, of which the job itself is one; an array in an array takes two.
_DEEPEST = 18
_LARGEST = 2**63
_LONGEST_NAME_BYTES = 1000
_camel = lru_cache(maxsize=1024)(to_camel)


def unstorable(value: Any, at: Location = (), depth: int = 0) -> Iterator[tuple[Location, str]]:
    """Where in the value something cannot be stored, and why: depth, numbers, half characters, names."""
    if depth > _DEEPEST:
        yield at, f"must not be nested deeper than {_DEEPEST} levels"
        return
    if isinstance(value, int | float) and not abs(value) < _LARGEST:  # a NaN is less than nothing
        yield at, "a number must be finite and fit into 64 bits"
    elif isinstance(value, str) and value and not _bytes(value):
        yield at, "half a surrogate pair is no character"
    listed = isinstance(value, list | tuple)
    for name, inner in _members(value):
        if isinstance(name, str) and not _is_name(name):
            yield at, f"{name[:100]!r} is not a name that can be stored"
        else:
            yield from unstorable(
                inner, (*at, name), depth + (2 if listed and isinstance(inner, list | tuple) else 1)
            )


def _members(value: Any) -> Iterable[tuple[str | int, Any]]:
    match value:
        case BaseModel():
            given = value.model_fields_set  # defaults are ours
            fields = [(_camel(name), inner) for name, inner in vars(value).items() if name in given]
            return [*fields, *(value.model_extra or {}).items()]
        case dict():
            return value.items()
        case list() | tuple():
            return enumerate(value)
        case _:
            return ()


def _is_name(text: str) -> bool:
    return 0 < _bytes(text) <= _LONGEST_NAME_BYTES and not (
        text.startswith("__") and text.endswith("__")
    )


def _bytes(text: str) -> int:
    """Its length in UTF-8; 0 for what cannot be written in it."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0
