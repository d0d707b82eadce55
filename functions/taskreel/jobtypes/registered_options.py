"""Options that a provider of this process adds to every job's `options`, under a name of its own.

No provider of the deploy unit adds any. The dev stack's `studio` adds `options.studio`, which makes
its work fail on request; `wiring` registers it. Where nothing is registered such an option is as
unknown as any other, and no schema shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError

from taskreel.domain.validation_messages import describe_errors
from taskreel.domain.value import Value, validation_error

#: The validation context of a stored payload: it may carry options that are no longer registered.
STORED = {"stored": True}

_registered: dict[str, type[Value]] = {}


def register_options(models: Mapping[str, type[Value]]) -> None:
    """Let jobs carry `options.<name>` as the model says, in place of all registered before."""
    _registered.clear()
    _registered.update(models)


def registered_names() -> frozenset[str]:
    """The names of the registered options."""
    return frozenset(_registered)


def _refuse_unknown(name: str, info: ValidationInfo) -> str:
    if name not in _registered and info.context != STORED:
        raise PydanticKnownError("extra_forbidden")
    return name


class ExtensibleOptions(Value):
    """Options whose fields are the class's own and those that are registered."""

    model_config = ConfigDict(extra="allow")  # `_refuse_unknown` forbids what is not registered

    __pydantic_extra__: dict[Annotated[str, AfterValidator(_refuse_unknown)], Any]

    @property
    def inherited(self) -> dict[str, Any]:
        """The registered options that were given, for the options of jobs that a pipeline makes."""
        return {
            name: value.model_dump(by_alias=True, exclude_none=True, mode="json")
            for name, value in (self.__pydantic_extra__ or {}).items()
            if isinstance(value, Value)
        }

    @model_validator(mode="after")
    def _validate_registered(self) -> Self:
        extra = self.__pydantic_extra__ or {}
        for name, value in list(extra.items()):
            model = _registered.get(name)
            if model is None:
                del extra[name]  # of a stored payload; a request was refused
            elif value is not None:
                extra[name] = _validated(model, name, value)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> JsonSchemaValue:
        """The class's schema with the registered options, and with no others."""
        schema = handler(core_schema)
        found = handler.resolve_ref_schema(schema)
        found["additionalProperties"] = False
        for name, model in _registered.items():
            found.setdefault("properties", {})[name] = model.model_json_schema()
        return schema


def _validated(model: type[Value], name: str, value: Any) -> Value:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = describe_errors(error.errors(include_url=False), model)
        raise validation_error(
            model.__name__, [((name, *at), message) for at, message in found]
        ) from None
