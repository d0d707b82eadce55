"""Errors as RFC 9457 problem+json: one table from error to status, one function to write it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from taskreel.domain import errors
from taskreel.domain.rate_limit import count_seconds

log = logging.getLogger(__name__)

STATUS: Mapping[type[errors.TaskreelError], HTTPStatus] = {
    errors.InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.MalformedError: HTTPStatus.BAD_REQUEST,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.TooSlowError: HTTPStatus.REQUEST_TIMEOUT,
    errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.UnknownJobTypeError: HTTPStatus.CONFLICT,
    errors.TooManyConnectionsError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.RateExceededError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnknownRequestError: HTTPStatus.CONFLICT,
    errors.UnreadableDocumentError: HTTPStatus.CONFLICT,
    errors.TooFewCreditsError: HTTPStatus.PAYMENT_REQUIRED,
    # Not 429: clients repeat that by themselves, and a cap may be reached for weeks.
    errors.SpendCapError: HTTPStatus.PAYMENT_REQUIRED,
    errors.IdempotencyMismatchError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.QueueError: HTTPStatus.SERVICE_UNAVAILABLE,
}

#: The types that IANA has registered; all other problems have a type of their own.
_REGISTERED_TYPES = {
    errors.RateExceededError.code: "https://iana.org/assignments/http-problem-types#quota-exceeded"
}

_HEADERS: Mapping[HTTPStatus, dict[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
}

#: Those that a route can have, in the order of an Allow header.
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")

#: The texts for faults of the service. The cause and its remedy go to the log alone.
_SERVER_FAULTS: Mapping[HTTPStatus, str] = {
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "The service failed unexpectedly. Your request is not at fault; it may be sent again."
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "A service that this one needs cannot be reached; nothing was lost. Try again in 5 seconds."
    ),
}


def build_problem(
    status: HTTPStatus, code: str, detail: str, extensions: Mapping[str, Any] | None = None
) -> Response:
    """The response with this problem; no extension member replaces a standard one."""
    body = {
        **(extensions or {}),
        "type": _REGISTERED_TYPES.get(code, f"urn:taskreel:problem:{code}"),
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
    }
    return Response(
        to_json(body), status.value, _HEADERS.get(status), media_type="application/problem+json"
    )


def find_status(error: errors.TaskreelError) -> HTTPStatus:
    """The status of the error's nearest class in the table; 500 if none is there."""
    return next(
        (STATUS[cls] for cls in type(error).__mro__ if cls in STATUS),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def install_handlers(app: Starlette) -> None:
    """Have the application answer every error with a problem."""
    app.add_exception_handler(errors.TaskreelError, answer_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, answer_crash)


async def answer_error(_request: Request, error: Exception) -> Response:
    """Answer a TaskreelError with its problem, and log faults of the service."""
    assert isinstance(error, errors.TaskreelError)  # noqa: S101 - it is registered for these alone
    status = find_status(error)
    fault = log_server_fault(error, status)
    if fault is None:
        response = build_problem(status, error.code, error.message, error.details)
        response.headers.update(find_headers(error))
        return response
    response = build_problem(status, error.code, fault)
    if isinstance(error, errors.EncryptionKeyError):
        # Another try in some seconds changes nothing: an operator must set the key.
        del response.headers["Retry-After"]
    return response


def find_headers(error: errors.TaskreelError) -> dict[str, str]:
    """The headers that an error has beside those of its status."""
    if isinstance(error, errors.RateExceededError):
        return {"Retry-After": str(count_seconds(error.retry_after))}
    return {}


def log_server_fault(error: errors.TaskreelError, status: HTTPStatus) -> str | None:
    """Log a fault of the service, and return the text for its caller; None for other errors."""
    if status not in _SERVER_FAULTS:
        return None
    # An outage has the same long traceback in every request; its advice alone says enough.
    cause = None if status is HTTPStatus.SERVICE_UNAVAILABLE else error
    fields = {"action": "request_failed", "code": error.code, "advice": error.message}
    log.error("request failed", exc_info=cause, extra=fields)
    if isinstance(error, errors.StoreError) and error.caller_text is not None:
        return error.caller_text
    return _SERVER_FAULTS[status]


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these alone
    status = HTTPStatus(error.status_code)
    response = build_problem(
        status, status.name.lower(), f"{error.detail}. See /api/docs for the routes."
    )
    response.headers.update(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        # Starlette lists those of the first route alone; GET and DELETE of a job are two.
        response.headers["Allow"] = ", ".join(_list_methods(request))
    return response


def _list_methods(request: Request) -> list[str]:
    """The methods that any route with the request's path takes."""
    return [method for method in _METHODS if _has_route(request, method)]


def _has_route(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


async def answer_crash(_request: Request, error: Exception) -> Response:
    """Answer an exception that no code expected, and log it."""
    log.error("request crashed", exc_info=error, extra={"action": "request_crashed"})
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return build_problem(status, "internal_error", _SERVER_FAULTS[status])
