"""Records: values of a process that are neither stored nor sent, in classes that build quickly."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

R = TypeVar("R")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(*, kw_only: bool = False) -> Callable[[type[R]], type[R]]:
    """Turn a class into a dataclass whose fields are never assigned, cheaply: mypy checks that.

    `dataclass(frozen=True)` checks at run time too, and therefore sets each field by a call of its
    own: building a value takes twice as long, 2 % of the processor time of a job. It compiles each
    method of each class as well; of a record `__init__` alone, and the others are shared: a cold
    start builds a hundred of these classes.
    """

    def build(kind: type[R]) -> type[R]:
        given = vars(kind)
        for name, method in _METHODS.items():
            if name not in given:
                setattr(kind, name, method)
        if kind.__doc__ is None:  # dataclasses would make one of the signature, which takes longer
            kind.__doc__ = kind.__name__
        return dataclasses.dataclass(slots=True, kw_only=kw_only, repr=False, eq=False)(kind)

    return build


def _format_record(self: Any) -> str:
    shown = [
        f"{one.name}={getattr(self, one.name)!r}" for one in dataclasses.fields(self) if one.repr
    ]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _is_equal(self: Any, other: object) -> Any:
    read = _find_compared(self.__class__)
    return read(self) == read(other) if other.__class__ is self.__class__ else NotImplemented


def _hash_record(self: Any) -> int:
    return hash(_find_hashed(self.__class__)(self))


#: A class may have its own instead.
_METHODS: Mapping[str, Callable[..., Any]] = {
    "__repr__": _format_record,
    "__eq__": _is_equal,
    "__hash__": _hash_record,
}


@cache
def _find_compared(kind: type[Any]) -> Callable[[Any], Any]:
    return _read_fields([one.name for one in dataclasses.fields(kind) if one.compare])


@cache
def _find_hashed(kind: type[Any]) -> Callable[[Any], Any]:
    fields = dataclasses.fields(kind)
    return _read_fields([x.name for x in fields if (x.compare if x.hash is None else x.hash)])


def _read_fields(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _record: ()
