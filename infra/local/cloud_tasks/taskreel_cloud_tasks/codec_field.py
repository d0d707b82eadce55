"""The contract of field types, and the error for a value that does not fit its field."""

from __future__ import annotations

from typing import Any, Protocol

from taskreel_cloud_tasks.api_errors import ApiError, invalid_argument


class FieldValueError(ValueError):
    """A value that does not fit its field. `path` is extended while the error propagates."""

    def __init__(self, text: str, *path: str) -> None:
        super().__init__(text)
        self.text = text
        self.path = path

    def prefixed_with(self, *outer: str) -> FieldValueError:
        """Return the same error, as seen from the enclosing message."""
        return FieldValueError(self.text, *outer, *self.path)

    def to_api_error(self) -> ApiError:
        """Return the error in Google's wording; `{at}` in the text is replaced by the path."""
        path = ".".join(self.path)
        text = self.text.replace("{at}", f" at '{path}'" if path else "")
        violation = {"field": path, "description": text} if path else {"description": text}
        detail = {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [violation],
        }
        return invalid_argument(text, detail)


class FieldType(Protocol):
    """Reads, writes and measures one type of field. `from_*` raise FieldValueError."""

    unset: Any
    """The value of an unset field."""
    same_in_pb: bool
    """True if protobuf has the same values, so that there is nothing to convert or to check."""

    def from_json(self, raw: Any) -> Any:
        """Read a value as `json.loads` returns it."""

    def to_json(self, value: Any, enum_ints: bool) -> Any:  # noqa: FBT001 - a hot path
        """Return a value for `json.dumps`."""

    def from_pb(self, raw: Any) -> Any:
        """Read the value of a protobuf object's attribute."""

    def to_pb(self, value: Any) -> Any:
        """Return a value for the constructor of a protobuf class; a dict for a message."""

    def encoded_size(self, number: int, value: Any) -> int:
        """Return the encoded length in bytes, with the field's tag."""
