"""Errors as RFC 9457 problem+json: one table from error to status, one shape."""

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

from taskreel.domain import errors

log = logging.getLogger(__name__)

STATUS: Mapping[type[errors.TaskreelError], HTTPStatus] = {
    errors.InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.MalformedError: HTTPStatus.BAD_REQUEST,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.TooFewCreditsError: HTTPStatus.PAYMENT_REQUIRED,
    errors.IdempotencyMismatchError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.QueueError: HTTPStatus.SERVICE_UNAVAILABLE,
}

_HEADERS: Mapping[HTTPStatus, dict[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
}

#: What callers are told of faults that are ours. What happened, and what mends it, is in the log alone.
_OURS: Mapping[HTTPStatus, str] = {
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong on our side; nothing about your request needs to change.",
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "A service that this one needs cannot be reached; nothing was lost. Try again in 5 seconds."
    ),
}


def problem(
    status: HTTPStatus, code: str, detail: str, more: Mapping[str, Any] | None = None
) -> Response:
    """One problem; `more` are extension members."""
    body = {
        **(more or {}),
        "type": f"urn:taskreel:problem:{code}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
    }
    return Response(
        to_json(body), status.value, _HEADERS.get(status), media_type="application/problem+json"
    )


def status_of(error: errors.TaskreelError) -> HTTPStatus:
    """The table, by the nearest class."""
    return next(
        (STATUS[cls] for cls in type(error).__mro__ if cls in STATUS),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def install(app: Starlette) -> None:
    """Answer every error of the app as a problem."""
    app.add_exception_handler(errors.TaskreelError, answer_error)
    app.add_exception_handler(HTTPException, _theirs)
    app.add_exception_handler(Exception, _unknown)


async def answer_error(_request: Request, error: Exception) -> Response:
    """One of our errors, as its problem."""
    assert isinstance(error, errors.TaskreelError)  # noqa: S101 - it is registered for these alone
    status = status_of(error)
    if status not in _OURS:
        return problem(status, error.code, error.message, error.details)
    # Where an outage struck is the same for every request, and long; the advice says what it was.
    where = None if status is HTTPStatus.SERVICE_UNAVAILABLE else error
    known = {"action": "request_failed", "code": error.code, "advice": error.message}
    log.error("request failed", exc_info=where, extra=known)
    return problem(status, error.code, _OURS[status])


async def _theirs(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these alone
    status = HTTPStatus(error.status_code)
    answer = problem(
        status, status.name.lower(), f"{error.detail}. See /api/docs for what there is."
    )
    answer.headers.update(error.headers or {})
    return answer


async def _unknown(_request: Request, error: Exception) -> Response:
    log.error("request crashed", exc_info=error, extra={"action": "request_crashed"})
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return problem(status, "internal_error", _OURS[status])
