"""Errors of Cloud Storage, as JSON for API calls and as XML for signed URLs."""

from __future__ import annotations

from html import escape
from typing import Any

_REASONS = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "conflict",
    412: "conditionNotMet",
    416: "requestedRangeNotSatisfiable",
    501: "notImplemented",
}


class StorageError(Exception):
    """A refused request; `code` is the name of the error in the XML API."""

    def __init__(self, status: int, message: str, code: str = "InvalidArgument") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code

    def as_json(self) -> dict[str, Any]:
        """Return the body of the JSON API."""
        reason = _REASONS.get(self.status, "invalid")
        detail = {"message": self.message, "domain": "global", "reason": reason}
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}

    def as_xml(self) -> str:
        """Return the body of the XML API."""
        body = f"<Code>{self.code}</Code><Message>{escape(self.message)}</Message>"
        return f"<?xml version='1.0' encoding='UTF-8'?><Error>{body}</Error>"


def object_not_found(bucket: str, name: str) -> StorageError:
    """Return the error for an object that does not exist."""
    return StorageError(404, f"No such object: {bucket}/{name}", "NoSuchKey")


def bucket_not_found() -> StorageError:
    """Return the error for a bucket that does not exist."""
    return StorageError(404, "The specified bucket does not exist.", "NoSuchBucket")


def precondition_failed(status: int = 412) -> StorageError:
    """Return the error for a precondition that is not met."""
    return StorageError(
        status,
        "At least one of the pre-conditions you specified did not hold.",
        "PreconditionFailed",
    )
