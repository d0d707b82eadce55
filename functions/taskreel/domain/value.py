"""The base of every value that is stored or sent: frozen, camelCase outside, snake_case inside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

#: Where in a value: names and places in lists, from the outside in.
Location = tuple[str | int, ...]


class Value(BaseModel):
    """A frozen pydantic model whose documents and JSON carry camelCase names."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        ser_json_inf_nan="null",
        defer_build=True,  # a function that starts builds the models that it uses
    )

    def document(self) -> dict[str, Any]:
        """The value as the store keeps it: JSON types and aware datetimes."""
        return self.model_dump(by_alias=True, mode="python", exclude_none=True)


def validation_error(title: str, found: Iterable[tuple[Location, str]]) -> ValidationError:
    """What a validator raises to say where in its value something is wrong, and what."""
    rows = [
        InitErrorDetails(
            type=PydanticCustomError("refused", "{reason}", {"reason": reason}), loc=at, input=None
        )
        for at, reason in found
    ]
    return ValidationError.from_exception_data(title, rows)


def format_path(location: Location) -> str:
    """`options.width`, `prompts[3]`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")
