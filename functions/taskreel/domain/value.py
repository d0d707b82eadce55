"""The base of every value that is stored or sent: frozen, camelCase outside, snake_case inside."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


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
