"""Reading requests and writing responses, without FastAPI: the task processor uses this too."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from http import HTTPStatus
from operator import is_
from typing import Any, Self, TypeVar

import msgspec
from msgspec import structs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    create_model,
)
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import (
    CoreSchema,
    no_info_wrap_validator_function,
    plain_serializer_function_ser_schema,
)
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from taskreel.app.eager import EagerWork
from taskreel.app.request_trace import request_id, trace_id
from taskreel.domain.errors import (
    InvalidError,
    MalformedError,
    TaskreelError,
    TooLargeError,
    TooSlowError,
)
from taskreel.domain.record import Record
from taskreel.domain.validation_messages import (
    describe_errors,
    explain_unknown_name,
    invalid_model,
    invalid_request,
)
from taskreel.domain.value import to_camel

M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES = 1 << 20
BODY_SECONDS = 30.0
MAX_WAIT_SECONDS = 60.0
_MAX_KEY_CHARACTERS = 255
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d+(?:\.\d+)?)\"?", re.IGNORECASE)


#: Leaves a field that is None out of the JSON: for `exclude_if`. It is asked of each such field of
#: each answer, and needs no frame of Python.
is_absent: Callable[[Any], bool] = partial(is_, None)


class View(BaseModel):
    """The base of responses: built by field name, sent in camelCase.

    Without aliases on input and the check for unknown fields it takes half the time. A misspelled
    field is found missing. Those that each request for a job builds are `RecordView`s.
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


class RecordView(Record, kw_only=True, rename="camel", omit_defaults=True):
    """A view whose parts mypy has checked: it takes a third of the time of a `View`.

    A field with a default is left out of the JSON while it has it; all others are there. It may be
    a part of a `View`, and have those as parts.
    """

    def to_json(self) -> bytes:
        """The JSON, with camelCase names."""
        return _encode(self)

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """Copy it with changed fields."""
        return structs.replace(self, **update)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Yield each field's name and value, as a model does, for `dict`."""
        return iter(structs.asdict(self).items())

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The schema of a field of a `View`: documented as its model, written as it is itself."""

        def read(value: Any, validate: Callable[[Any], Any]) -> Any:
            return value if isinstance(value, cls) else cls(**vars(validate(value)))

        written = plain_serializer_function_ser_schema(_to_json_object)
        return no_info_wrap_validator_function(read, handler(cls.model()), serialization=written)

    @classmethod
    def model(cls) -> type[View]:
        """The model of the same fields, for the API's document."""
        return _build_model(cls)


def _to_json_object(view: RecordView) -> Any:
    return json.loads(view.to_json())


@cache
def _build_model(kind: type[RecordView]) -> type[View]:
    fields: dict[str, Any] = {}
    for field in structs.fields(kind):
        default = ... if field.required else Field(default=field.default, exclude_if=is_absent)
        fields[field.name] = (field.type, default)
    return create_model(
        kind.__name__, __base__=View, __doc__=kind.__doc__, __module__=kind.__module__, **fields
    )


def _encode_part(value: Any) -> msgspec.Raw:
    """Encode a model within a view."""
    if isinstance(value, BaseModel):
        return msgspec.Raw(value.__pydantic_serializer__.to_json(value, by_alias=True))
    raise TypeError(f"a view cannot have a {type(value).__name__}")


_encode = msgspec.json.Encoder(enc_hook=_encode_part).encode


class JsonResponse(Response):
    """A view as JSON. FastAPI sends it as it is: it does not validate and encode it again."""

    media_type = "application/json"

    def __init__(
        self,
        view: BaseModel | RecordView,
        status: HTTPStatus = HTTPStatus.OK,
        headers: dict[str, str] | None = None,
    ) -> None:
        if isinstance(view, RecordView):
            body = view.to_json()
        else:
            body = view.__pydantic_serializer__.to_json(view, by_alias=True)
        super().__init__(body, status.value, headers)

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """The head of JSON of a known length, and `headers`."""
        others = headers.items() if headers else ()
        self.raw_headers = [
            (b"content-length", b"%d" % len(self.body)),
            (b"content-type", b"application/json"),
            *[(name.lower().encode(), value.encode("latin-1")) for name, value in others],
        ]


def compress_answer(request: Request, answer: Response) -> Response:
    """The answer, compressed for a client that takes gzip."""
    headers = {"Vary": "Accept-Encoding"}
    accepted = request.headers.get("accept-encoding", "")
    if "gzip" not in accepted:
        answer.headers.update(headers)
        return answer
    import gzip  # of few requests: cold start

    body = gzip.compress(bytes(answer.body), compresslevel=6, mtime=0)
    headers["Content-Encoding"] = "gzip"
    return Response(body, answer.status_code, headers, media_type=answer.media_type)


async def read_model(request: Request, model: type[M]) -> M:
    """The body as `model`.

    Raises TooLargeError over 1 MiB, MalformedError for invalid JSON, InvalidError with paths.
    """
    return parse_model(await read_body(request), model)


def parse_model(raw: bytes, model: type[M], context: Mapping[str, Any] | None = None) -> M:
    """The JSON as `model`, whose validators get `context`.

    Raises MalformedError for invalid JSON, InvalidError with paths.
    """
    if not raw or raw.isspace():
        raise MalformedError("The body is empty; send a JSON object.")
    # By the types that the schema states: no number as a text, no 1 for true.
    try:
        return model.model_validate_json(raw, strict=True, context=context)
    except ValidationError as error:
        converted = [row for row in error.errors(include_url=False) if _is_other_type(row)]
    # Strictness also refuses what JSON has no type for, such as a date behind a validator: only
    # numbers and booleans are taken from it.
    try:
        value = model.model_validate_json(raw, context=context)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
    else:
        if not converted:
            return value
        wrong = []
    places = {row["loc"] for row in wrong}
    wrong += [row for row in converted if row["loc"] not in places]
    raise _describe_invalid_body(wrong, model)


def _is_other_type(row: ErrorDetails) -> bool:
    """True for what is no number or boolean; to JSON Schema 5.0 is a whole number as well."""
    given = row["input"]
    is_whole = isinstance(given, float) and given.is_integer()
    return row["type"] in {"int_type", "float_type", "bool_type"} and not is_whole


def _describe_invalid_body(rows: list[ErrorDetails], model: type[BaseModel]) -> TaskreelError:
    first = rows[0]
    if first["type"] == "json_invalid":
        return MalformedError(f"The body is not valid JSON: {first['ctx']['error']}.")
    if first["type"] == "model_type" and not first["loc"]:
        return no_object_error()
    return invalid_request(describe_errors(rows, model))


def validate_fields(fields: Mapping[str, Any], model: type[M]) -> M:
    """The fields of a body as `model`. Raises InvalidError with paths."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid_model(error, model) from None


def no_object_error() -> InvalidError:
    """The error of a body that is valid JSON, and no object."""
    text = "The body must be a JSON object."
    return InvalidError.at("", "the body must be a JSON object", text=text)


async def read_body(request: Request, most_bytes: int = MAX_BODY_BYTES) -> bytes:
    """The body. Raises TooLargeError over the limit (1 MiB), before the rest of it is read.

    Raises TooSlowError when it has not arrived after BODY_SECONDS: it would hold one of the
    requests that an instance may serve at once.
    """
    body = EagerWork(_receive_body(request, most_bytes))
    if body.done:
        return body.result
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await body
    except TimeoutError:
        raise TooSlowError(f"The body did not arrive within {BODY_SECONDS:g} s.") from None


async def _receive_body(request: Request, most_bytes: int) -> bytes:
    declared = find_header(request, b"content-length") or ""
    size = int(declared) if declared.isdecimal() else 0
    chunks: list[bytes] = []
    received = 0
    while size <= most_bytes and received <= most_bytes:
        message = await request.receive()
        chunk: bytes = message.get("body", b"")
        received += len(chunk)
        if not message.get("more_body", False):
            if not chunks and received <= most_bytes:
                return chunk  # nearly every body comes whole
            chunks.append(chunk)
            break
        chunks.append(chunk)
    if size > most_bytes or received > most_bytes:
        limit = f"{most_bytes >> 20} MiB"
        raise TooLargeError(f"The body is larger than {limit}. Pass large files by URL.")
    return b"".join(chunks)


_HEADERS = "taskreel.headers"


def index_headers(scope: Scope) -> Mapping[bytes, bytes]:
    """The headers by their lower-case names, of each the first; made once a request."""
    found: Mapping[bytes, bytes] = dict(reversed([*scope.get("headers", ())]))
    scope[_HEADERS] = found
    return found


def find_header(request: Request, name: bytes) -> str | None:
    """A header by its lower-case name. An eighth of the time of `request.headers`."""
    scope = request.scope
    headers: Mapping[bytes, bytes] = scope.get(_HEADERS) or index_headers(scope)
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def parse_idempotency_key(header: str | None) -> str | None:
    """An Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header), quoted or bare.

    Raises InvalidError unless it has 1 to 255 printable characters.
    """
    if header is None:
        return None
    key = header.strip()
    if key.startswith('"'):
        try:
            key = json.loads(key)
        except ValueError:
            key = ""
    if not key or len(key) > _MAX_KEY_CHARACTERS or not key.isprintable():
        message = f"must have 1 to {_MAX_KEY_CHARACTERS} printable characters"
        raise InvalidError.at("Idempotency-Key", message)
    return key


def parse_wait_seconds(prefer: str | None) -> float:
    """The N of a `Prefer: wait=N` header (RFC 7240), at most 60; 0 without one."""
    found = _WAIT.search(prefer or "")
    return min(float(found[1]), MAX_WAIT_SECONDS) if found else 0.0


def parse_validate_only(request: Request) -> bool:
    """The query parameter `validateOnly`. Raises InvalidError for any other word or parameter."""
    if not request.scope["query_string"]:
        return False
    check_query(request, "validateOnly")
    return parse_boolean(request, "validateOnly")


def parse_boolean(request: Request, name: str) -> bool:
    """A query parameter that is true or false, the default. Raises InvalidError for other words."""
    word = request.query_params.get(name, "false").lower()
    if word not in {"true", "1", "false", "0"}:
        raise InvalidError.at(name, "must be true or false")
    return word in {"true", "1"}


def check_query(request: Request, *known: str) -> None:
    """Raise InvalidError for a query parameter that the route does not have."""
    for name in request.query_params:
        if name not in known:
            message = explain_unknown_name(name, known, "query parameter")
            raise InvalidError.at(name, message if known else f"{message} (this route has none)")


# ── The headers of every answer ──────────────────────────────────────────────────────────────────

_NOSNIFF = (b"x-content-type-options", b"nosniff")
#: Answers are data: nothing in them is loaded, run or framed.
_DATA_POLICY = b"default-src 'none'; frame-ancestors 'none'"
#: The documentation page runs its own scripts, from its own origin.
_PAGE_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; frame-ancestors 'none'"
)
_PAGES = "/api/docs"
_PAGE_HEADERS = [_NOSNIFF, (b"content-security-policy", _PAGE_POLICY)]
_DATA_HEADERS = [
    _NOSNIFF,
    (b"content-security-policy", _DATA_POLICY),
    (b"cache-control", b"no-store"),
]


def list_security_headers(path: str) -> list[tuple[bytes, bytes]]:
    """Headers that forbid browsers to guess, frame, run or store an answer."""
    return _PAGE_HEADERS if path.startswith(_PAGES) else _DATA_HEADERS


# ── The trace and the id of a request ─────────────────────────────────────────────────────────────

#: A client's id that is fit for a log line and a header.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")

#: W3C's `00-TRACE-SPAN-FLAGS`, and Google's `TRACE/SPAN;o=1`.
_FORMS = {
    b"traceparent": re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-"),
    b"x-cloud-trace-context": re.compile(rb"([0-9a-f]{32})(?:/|$)"),
}


def read_trace(headers: Mapping[bytes, bytes]) -> None:
    """Remember the trace that a request's headers name."""
    found = None
    for name, form in _FORMS.items():
        match = form.match(headers[name]) if name in headers else None
        if match:
            found = match[1].decode()
    trace_id.set(found)


def read_request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """Remember the client's `X-Request-Id`, or a new id, and return it."""
    found = headers.get(b"x-request-id")
    if found is None or not _REQUEST_ID.fullmatch(found):
        text = os.urandom(16).hex()
        request_id.set(text)
        return text.encode()
    request_id.set(found.decode())
    return found
