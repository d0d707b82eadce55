"""What every handler reads from a request: the caller, a bounded JSON body, and standard headers."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from taskreel.app.jobs.dependencies import refers_to_jobs
from taskreel.app.services import Services
from taskreel.domain.errors import InvalidError, MalformedError, TooLargeError
from taskreel.domain.validation_messages import invalid_model
from taskreel.jobtypes.job_type import JobType, Submission, Waiting

M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES = 1 << 20
MAX_WAIT_SECONDS = 60.0
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d+(?:\.\d+)?)\"?", re.IGNORECASE)


def answer(
    body: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    """A JSON response."""
    return Response(to_json(body), status.value, headers, media_type="application/json")


async def read_model(request: Request, model: type[M], *, absent: bytes = b"") -> M:
    """The body as `model`, `absent` where there is none.

    TooLargeError over 1 MiB, MalformedError for what is not JSON, InvalidError with paths.
    """
    return _parsed(await read_body(request) or absent, model)


async def read_submission(request: Request, job_type: JobType[Any]) -> Submission:
    """The body as the type's request; as Waiting where it refers to jobs that it depends on."""
    raw = await read_body(request)
    submission: Submission = _parsed(raw, Waiting if _waits(raw) else job_type.submission)
    return submission


def _waits(raw: bytes) -> bool:
    if b"{{" not in raw or b"depends" not in raw:
        return False
    try:
        payload = from_json(raw)
    except ValueError:
        return False
    return isinstance(payload, dict) and refers_to_jobs(payload)


def _parsed(raw: bytes, model: type[M]) -> M:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise MalformedError(f"The body is not JSON: {first['ctx']['error']}.") from None
        raise invalid_model(error, model) from None


async def read_body(request: Request) -> bytes:
    """The body; TooLargeError over 1 MiB."""
    declared = request.headers.get("content-length", "")
    chunks: list[bytes] = []
    size = int(declared) if declared.isdecimal() else 0
    received = 0
    while size <= MAX_BODY_BYTES and received <= MAX_BODY_BYTES:
        message = await request.receive()
        chunk = message.get("body", b"")
        received += len(chunk)
        chunks.append(chunk)
        if not message.get("more_body", False):
            break
    if max(size, received) > MAX_BODY_BYTES:
        raise TooLargeError("The body is over 1 MiB; give large files by URL.")
    return b"".join(chunks)


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key header (draft-ietf-httpapi-idempotency-key-header): a quoted string, or bare."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    key = given.strip()
    if key.startswith('"'):
        try:
            key = json.loads(key)
        except ValueError:
            key = ""
    if not key or len(key) > 255 or not key.isprintable():
        raise _header("Idempotency-Key", "must have 1 to 255 characters that can be printed")
    return key


def wait_seconds(request: Request) -> float:
    """`Prefer: wait=N` (RFC 7240), at most a minute."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(float(found[1]), MAX_WAIT_SECONDS) if found else 0.0


def validate_only(request: Request) -> bool:
    """`?validateOnly=true`; InvalidError for another word or parameter, so that no slip of the pen buys anything."""
    check_query(request, "validateOnly")
    given = request.query_params.get("validateOnly", "false").lower()
    if given not in {"true", "1", "false", "0"}:
        raise InvalidError.at("validateOnly", "must be true or false")
    return given in {"true", "1"}


def check_query(request: Request, *known: str) -> None:
    """InvalidError for a query parameter that the route does not have."""
    for name in request.query_params:
        if name not in known:
            has = f"it has: {', '.join(known)}" if known else "it has none"
            raise InvalidError.at(name, f"this route has no such parameter; {has}")


def _header(name: str, message: str) -> InvalidError:
    return InvalidError.at(name, message, text=f"{name} {message}")


def services_of(request: Request) -> Services:
    """The services that the app was built with."""
    services: Services = request.app.state.services
    return services
