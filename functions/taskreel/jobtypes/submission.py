"""The request of a job: the fields that every job type has, and its options.

A provider of this process may add options to every job's `options`, under a name of its own. No
provider of the deploy unit adds any. The dev stack's `studio` adds `options.studio`, which makes
its work fail on request; `wiring` registers it. Where nothing is registered such an option is as
unknown as any other, and no schema shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError

from taskreel.domain.errors import InvalidError, UnknownRequestError
from taskreel.domain.job_fields import Priority
from taskreel.domain.provider_choice import ModelQuality
from taskreel.domain.validation_messages import describe_errors, invalid_model
from taskreel.domain.value import Location, Value, format_path, validation_error
from taskreel.domain.webhook_events import EventNames
from taskreel.jobtypes.fields import GivenDependency, Moment, ProjectId, ProviderWish, Seed
from taskreel.jobtypes.registered_options import REGISTERED

#: The validation context of a stored payload: it may carry options that are no longer registered.
STORED = {"stored": True}
#: That of a body that `is_plain`.
PLAIN = {"plain": True}

#: Firestore stores twenty levels, of which the job is one; an array in an array takes two.
_MAX_DEPTH = 18
_MAX_INTEGER = 2**63
#: C0 but for tab and line ends, delete, and the code points that are no characters.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufdd0-\ufdef\ufffe\uffff]")
_MAX_NAME_BYTES = 1000
_MOST_FAULTS = 20
_camel = lru_cache(maxsize=1024)(to_camel)
#: Fields of a submission that are accepted and have no effect.
_IGNORED = frozenset({"user_subscription", "id", "created_at", "retry_count"})


# ── The request ───────────────────────────────────────────────────────────────────────────────────


class RetryOptions(Value):
    """A job's own retry settings; absent ones are the job type's."""

    max_attempts: int | None = Field(default=None, ge=1, le=20)
    min_backoff_seconds: float | None = Field(default=None, gt=0, le=3600)
    max_backoff_seconds: float | None = Field(default=None, gt=0, le=86_400)


class Submission(Value):
    """The fields of every job type's request. Unknown fields are refused."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    project_id: ProjectId | None = None
    priority: Priority = Priority.NORMAL
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        validation_alias=AliasChoices("model", "modelId", "model_id"),
    )
    #: A name, names in order of preference, or "auto": the cheapest model that can do it and is not
    #: paused by its circuit breaker. Absent: the cheapest of the providers' default models.
    provider: ProviderWish | None = None
    #: The class of the models to choose from, where `model` names none.
    quality: ModelQuality | None = Field(
        default=None,
        description="The class of the model that is chosen where `model` names none; the nearest "
        "that can do the work.",
    )
    #: Price cap of all provider calls of the job, in US dollars by the model table; 0 allows only
    #: work that is free.
    # Strict: `true` or a text is no amount of money.
    max_usd: float | None = Field(default=None, ge=0, le=100_000, strict=True)
    schedule_at: Moment | None = Field(
        default=None,
        description="The job starts at this time, at most ten years ahead; one in the past starts "
        "it at once.",
    )
    start_within_seconds: int | None = Field(default=None, ge=1, le=30 * 86_400)
    deadline_seconds: int | None = Field(default=None, ge=1, le=30 * 86_400)
    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=2 * 3600,
        description="The longest attempt, instead of the job type's. Then the job is tried again, "
        "if an attempt remains. The steps of a pipeline have their own.",
    )
    retry: RetryOptions | None = None
    #: The job is BLOCKED until they have ended; then `{{jobs.<jobId>.result.…}}` in its payload is
    #: filled in.
    depends_on: list[GivenDependency] = Field(default_factory=list, max_length=20)

    #: The address that gets the job's events, signed as Standard Webhooks are.
    webhook_url: str | None = Field(default=None, min_length=1, max_length=2000)
    #: The events that it gets; absent: those of the job's end.
    webhook_events: EventNames | None = None

    cache_seconds: int | None = Field(
        default=None,
        ge=1,
        le=30 * 86_400,
        description="The answer is an equal job of yours that is under way, or that was completed "
        "at most so long ago, at no cost. Equal are model, provider, all options, the seed "
        "included, and inputs: the content of your results, uploads announced with their SHA-256 "
        "and data: URLs, the address of others. A step of a pipeline takes over the work of an "
        "equal step, at no cost.",
    )
    skip_cache: bool | None = Field(
        default=None,
        description="Make a new result; with cacheSeconds it answers later requests.",
    )

    # Clients of the documented services send these with every body. The token says who the caller
    # is, so they are neither used nor stored.
    user_id: str | None = Field(
        default=None, max_length=128, exclude=True, description="Must be the token's user."
    )
    user_subscription: str | None = Field(default=None, exclude=True, description="Ignored.")
    id: str | None = Field(default=None, exclude=True, description="Ignored.")
    created_at: str | float | None = Field(default=None, exclude=True, description="Ignored.")

    @property
    def ignored_fields(self) -> list[str]:
        """The fields that were given and have no effect."""
        given = self.model_fields_set & _IGNORED
        if not given:  # of nearly every request
            return []
        return [_camel(name) for name in type(self).model_fields if name in given]

    def payload(self) -> dict[str, Any]:
        """The request as it is stored with the job: the given fields, without defaults."""
        return self.model_dump(by_alias=True, mode="json", exclude_unset=True)

    @classmethod
    def load_stored(cls, payload: Mapping[str, Any]) -> Self:
        """The request in a stored payload, without the fields that are unknown here.

        Those are options that are not registered here, fields of a newer revision, and a priority
        of a newer revision, which the job's own field retains. Raises UnknownRequestError for any
        other value that is invalid here: without it the work would not be what was asked for.
        """
        try:
            return cls.model_validate(payload, context=STORED)
        except ValidationError as error:
            known = _drop_unknown_fields(payload, error)
        try:
            return cls.model_validate(known, context=STORED)
        except ValidationError as error:
            wrong = invalid_model(error, cls).message
            raise UnknownRequestError(
                f"The stored request is not valid in this revision of the service: {wrong}. A "
                "newer revision may have accepted it. Replay the job with an edit of that field."
            ) from error

    @model_validator(mode="after")
    def _check_storable(self, info: ValidationInfo) -> Self:
        if info.context is PLAIN:
            return self
        found = _list_faults(self, stored=info.context == STORED)
        if found:
            raise validation_error(type(self).__name__, found)
        return self


class DeferredSubmission(Submission):
    """A request that refers to results of jobs it depends on; validated once those have ended."""

    model_config = ConfigDict(extra="allow")


def _drop_unknown_fields(payload: Mapping[str, Any], error: ValidationError) -> Mapping[str, Any]:
    """Copy a stored payload without the fields that `error` says are unknown."""
    known = deepcopy(dict(payload))
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        if found["type"] != "extra_forbidden" and found["loc"] != ("priority",):
            continue
        *path, name = found["loc"]
        place: Any = known
        for part in path:
            place = _enter(place, part)
        if isinstance(place, dict):
            place.pop(name, None)
    return known


def _enter(place: Any, part: int | str) -> Any:
    """The value at `part`; `place` itself for a part that only names the member of a union."""
    if isinstance(place, dict):
        return place.get(part, place)
    if isinstance(place, list) and isinstance(part, int) and part < len(place):
        return place[part]
    return place


# ── Options ───────────────────────────────────────────────────────────────────────────────────────


def _refuse_unknown(name: str, info: ValidationInfo) -> str:
    if name not in REGISTERED and info.context != STORED:
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
            model = REGISTERED.get(name)
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
        for name, model in REGISTERED.items():
            allowed = {"anyOf": [model.model_json_schema(), {"type": "null"}]}
            found.setdefault("properties", {})[name] = allowed
        return schema


def _validated(model: type[Value], name: str, value: Any) -> Value:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = describe_errors(error.errors(include_url=False), model)
        raise validation_error(
            model.__name__, [((name, *at), message) for at, message in found]
        ) from None


class Options(ExtensibleOptions):
    """Options of every provider call; `providerOptions` are passed to the provider unchanged."""

    seed: Seed | None = None
    provider_options: dict[str, Any] = Field(default_factory=dict)


def list_given_options(payload: Mapping[str, Any]) -> set[str]:
    """The names of all options that a caller has set, camelCase; defaults are not among them."""
    found = {_camel(name) for name in payload}
    for name, value in payload.items():
        # The members of these belong to a provider, and are not options of the job type.
        opaque = name == "providerOptions" or name in REGISTERED
        if isinstance(value, dict) and not opaque:
            found |= list_given_options(value)
    return found


# ── Values that no store can hold ─────────────────────────────────────────────────────────────────


#: Escapes other than of line ends and tabs, characters that are none, reserved and empty and very
#: long names, numbers of many digits or with an exponent.
_UNUSUAL = re.compile(
    rb"\\(?![nrt/])|\x7f|\xef\xb7[\x90-\xaf]|\xef\xbf[\xbe\xbf]"
    rb'|__|""\s*:|"[^"]{1001,}"\s*:'
    rb"|\d{18}|\d[eE]|NaN|Infinity"
)
#: Each of the above has one of these, but for names that are too long.
_RARE = (b"\\", b"\x7f", b"__", b'""', b"NaN", b"Infinity")
#: Makes `0` of each digit, and `e` of each letter of an exponent.
_NUMBERS = bytes.maketrans(b"123456789E", b"000000000e")
_LONG_NUMBER = b"0" * 18


def is_plain(raw: bytes) -> bool:
    """True for JSON in which no value can be of those that cannot be stored.

    It says so of nearly every body, in a fraction of the time that a walk of its values takes. A
    false False costs no more than that walk.
    """
    most_nested = raw.count(b"{") + raw.count(b"[")
    if 2 * most_nested > _MAX_DEPTH:
        return False
    # Most bodies are short, ASCII and without escapes, which is found out in half the time: by
    # `count`, since `in` tries to read what it searches for as a number first.
    if len(raw) <= _MAX_NAME_BYTES and raw.isascii() and not any(map(raw.count, _RARE)):
        numbers = raw.translate(_NUMBERS)
        return not (numbers.count(b"0e") or numbers.count(_LONG_NUMBER))
    return _UNUSUAL.search(raw) is None


def refuse_unstorable(value: Any) -> None:
    """Raise InvalidError with the places of what no store can hold, and of control characters."""
    if found := _list_faults(value):
        raise InvalidError.join([InvalidError.at(format_path(at), reason) for at, reason in found])


def _list_faults(value: Any, *, stored: bool = False) -> list[tuple[Location, str]]:
    """The first places that cannot be stored, else those of control characters, with reasons.

    What is stored already may have control characters: earlier releases took them.
    """
    found = [*islice(_find_unstorable(value), _MOST_FAULTS)]
    if found or stored:
        return found
    return [*islice(_find_control_characters(value), _MOST_FAULTS)]


def _find_unstorable(
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
            yield from _find_unstorable(
                inner, (*at, name), depth + (2 if listed and isinstance(inner, list | tuple) else 1)
            )


def _find_control_characters(value: Any, at: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield the places of characters that no text means to have, each with its position.

    Services refuse them, or cut the text off there. Only of texts that passed `_find_unstorable`.
    """
    if isinstance(value, str):
        found = _CONTROL.search(value)
        if found:
            code = f"U+{ord(found[0]):04X}"
            yield at, f"contains the control character {code} at position {found.start()}"
        return
    for name, inner in _inner_values(value):
        yield from _find_control_characters(inner, (*at, name))


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
