"""Request bodies as the documented services' clients send them.

Their fields are brought to their places in a job type's request: those of `movieData` and of
`parameters` become fields or options of the request. A field that the type has no use for is left
out there and named in `ignoredFields` of the answer: such clients send one body to several routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import AliasChoices, BaseModel

from taskreel.jobtypes.registered_options import registered_names
from taskreel.jobtypes.submission import Submission


def spread_fields(
    model: type[Submission], fields: Mapping[str, Any], inner: Mapping[str, Any], *, at: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """Bring the fields of an inner object to their places in the model's request.

    A field of the model goes to the request itself, an option to its `options`, unless it is given
    there already. Returns the request, and the other fields of `inner`, with `at`, if it is given,
    before them.
    """
    own_names = list_names(model)
    option_names = list_names(_find_options_model(model)) | registered_names()
    request = dict(fields)
    options: dict[str, Any] = {}
    dropped = []
    for name, value in inner.items():
        if name in own_names:
            request.setdefault(name, value)
        elif name in option_names:
            options[name] = value
        else:
            dropped.append(f"{at}.{name}" if at else name)
    given = request.get("options", {})
    # Options that are not an object stay as they are: the model refuses them.
    if options and isinstance(given, Mapping):
        request["options"] = {**options, **given}
    return request, dropped


def list_names(model: type[BaseModel] | None) -> frozenset[str]:
    """All names that a request may use for the model's fields."""
    names: set[str] = set()
    for name, field in model.model_fields.items() if model else ():
        choices = field.validation_alias
        aliases = choices.choices if isinstance(choices, AliasChoices) else [field.alias]
        names |= {name, *(alias for alias in aliases if isinstance(alias, str))}
    return frozenset(names)


def _find_options_model(model: type[BaseModel]) -> type[BaseModel] | None:
    field = model.model_fields.get("options")
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
