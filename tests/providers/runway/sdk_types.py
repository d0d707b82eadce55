"""The requests that Runway's own SDK can make, as a check of those that the adapter makes.

`runwayml` declares each model of a path as a TypedDict: its fields with their names on the wire,
which of them are required, and every allowed word.
"""

from __future__ import annotations

import functools
import importlib
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import get_type_hints

MODULE = "runwayml.types.{path}_create_params"


@functools.cache
def load_models(path: str) -> Mapping[str, type]:
    """The type of each model's request at a path such as `text_to_video`."""
    try:
        module = importlib.import_module(MODULE.format(path=path))
    except ModuleNotFoundError:
        return {}
    found = [one for one in vars(module).values() if "model" in getattr(one, "__annotations__", {})]
    return {
        name: one
        for one in found
        if hasattr(one, "__required_keys__")
        for name in list_words(_load_fields(one)["model"])
    }


def list_words(annotation: Any) -> list[Any]:
    """Every word that a field allows, of all its literals."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [word for inner in _get_inner(annotation) for word in list_words(inner)]


def list_ratios(path: str, model: str) -> list[str]:
    return list_words(_load_fields(load_models(path)[model]).get("ratio", str))


def explain_mistake(request: type, body: Any) -> str | None:
    """The first mistake of a body; None for one that the SDK's types allow."""
    fields, required = _load_fields(request), _list_required(request)
    if not isinstance(body, dict):
        return "not an object"
    if missing := sorted(required - body.keys()):
        return f"{missing[0]} is required"
    for name, value in body.items():
        if name not in fields:
            return f"{name} is not permitted"
        if not _is_allowed(fields[name], value):
            return f"{name} has a wrong value"
    return None


@functools.cache
def _load_fields(request: type) -> Mapping[str, Any]:
    hints = get_type_hints(request, include_extras=True)
    return {_find_wire_name(name, hint): hint for name, hint in hints.items()}


@functools.cache
def _list_required(request: type) -> frozenset[str]:
    # Not `__required_keys__`: it is empty where a module's annotations are texts.
    hints = get_type_hints(request, include_extras=True)
    return frozenset(
        _find_wire_name(name, hint) for name, hint in hints.items() if _is_origin(hint, Required)
    )


def _is_origin(annotation: Any, form: Any) -> bool:
    origin: Any = get_origin(annotation)
    return bool(origin is form)


def _find_wire_name(name: str, annotation: Any) -> str:
    for extra in getattr(annotation, "__metadata__", ()):
        if alias := getattr(extra, "alias", None):
            return str(alias)
    for inner in get_args(annotation) if get_origin(annotation) is Required else ():
        return _find_wire_name(name, inner)
    return name


def _get_inner(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[:1]
    if get_origin(annotation) in {Required, NotRequired, Union, types.UnionType}:
        return get_args(annotation)
    return ()


def _is_allowed(annotation: Any, value: Any) -> bool:
    if inner := _get_inner(annotation):
        return any(_is_allowed(one, value) for one in inner)
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    if hasattr(annotation, "__required_keys__"):
        return explain_mistake(annotation, value) is None
    if (arguments := get_args(annotation)) and not isinstance(annotation, type):
        return isinstance(value, list) and all(_is_allowed(arguments[0], one) for one in value)
    if annotation is float:
        return type(value) in {int, float}
    return annotation is object or type(value) is annotation
