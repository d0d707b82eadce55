"""The base of the API's responses."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def is_absent(value: Any) -> bool:
    """Leave a field out of the JSON: for `exclude_if`."""
    return value is None


class View(BaseModel):
    """The base of responses: built by field name, sent in camelCase.

    Each request for a job builds one: without aliases on input and the check for unknown fields
    it takes half the time. A misspelled field is found missing.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_alias=False,
        validate_by_name=True,
        extra="ignore",
        frozen=True,
        ser_json_inf_nan="null",
        defer_build=True,
    )
