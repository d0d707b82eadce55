"""What Cloud Storage answers when it refuses, as JSON to API calls and as XML to signed URLs."""

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
    """A refusal; `code` is the XML API's name of it."""

    def __init__(self, status: int, message: str, code: str = "InvalidArgument") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code

    def as_json(self) -> dict[str, Any]:
        """The JSON API's form."""
        reason = _REASONS.get(self.status, "invalid")
        detail = {"message": self.message, "domain": "global", "reason": reason}
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}

    def as_xml(self) -> str:
        """The XML API's form."""
        body = f"<Code>{self.code}</Code><Message>{escape(self.message)}</Message>"
        return f"<?xml version='1.0' encoding='UTF-8'?><Error>{body}</Error>"


def no_object(bucket: str, name: str) -> StorageError:
    """There is no such object."""
    return StorageError(404, f"No such object: {bucket}/{name}", "NoSuchKey")


def no_bucket() -> StorageError:
    """There is no such bucket."""
    return StorageError(404, "The specified bucket does not exist.", "NoSuchBucket")


def condition_failed(status: int = 412) -> StorageError:
    """A precondition does not hold."""
    return StorageError(
        status,
        "At least one of the pre-conditions you specified did not hold.",
        "PreconditionFailed",
    )
