"""Errors of the API: a google.rpc code, a message and details."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Code(IntEnum):
    """google.rpc.Code, with the numbers on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS: dict[Code, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
"""HTTP status of each code, from google/rpc/code.proto."""


class ApiError(Exception):
    """A refused call; `details` are messages in their JSON form, each with an `@type`."""

    def __init__(self, code: Code, message: str, *details: dict[str, Any]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details

    @property
    def http_status(self) -> int:
        """The HTTP status of the REST API for this error."""
        return HTTP_STATUS[self.code]


def invalid_argument(message: str, *details: dict[str, Any]) -> ApiError:
    """Return an INVALID_ARGUMENT error, the most common one."""
    return ApiError(Code.INVALID_ARGUMENT, message, *details)


def help_link(description: str, url: str) -> dict[str, Any]:
    """Return the google.rpc.Help detail of an error about a malformed name."""
    links = [{"description": description, "url": url}]
    return {"@type": "type.googleapis.com/google.rpc.Help", "links": links}


def queue_not_found() -> ApiError:
    """Return the error of calls on a missing queue, except DeleteQueue.

    From golden files, 2026-08.
    """
    return ApiError(
        Code.NOT_FOUND,
        "Queue does not exist. "
        "If you just created the queue, wait at least a minute for the queue to initialize.",
    )


def entity_not_found() -> ApiError:
    """Return the error of DeleteQueue, and of calls on a task that never existed.

    These are GetTask, DeleteTask and RunTask (golden files, 2026-08).
    """
    return ApiError(Code.NOT_FOUND, "Requested entity was not found.")


def task_no_longer_exists() -> ApiError:
    """Return the error for a task that ended within the de-duplication window.

    From golden files, 2026-08.
    """
    text = "The task no longer exists, though a task with this name existed recently. "
    return ApiError(Code.NOT_FOUND, text + "The task either successfully completed or was deleted.")
