"""The contract of a field type, and the error for a value that does not fit its field."""

from __future__ import annotations

from typing import Any, Protocol

from taskreel_local.emulators.cloudtasks.api_errors import ApiError, invalid


class FieldValueError(ValueError):
    """A value that does not fit its field; `path` grows outwards as the error travels."""

    def __init__(self, text: str, *path: str) -> None:
        super().__init__(text)
        self.text = text
        self.path = path

    def inside(self, *outer: str) -> FieldValueError:
        """The same error seen from the message around it."""
        return FieldValueError(self.text, *outer, *self.path)

    def api_error(self) -> ApiError:
        """Google's wording: the text holds `{at}` where the path belongs."""
        path = ".".join(self.path)
        text = self.text.replace("{at}", f" at '{path}'" if path else "")
        violation = {"field": path, "description": text} if path else {"description": text}
        detail = {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [violation],
        }
        return invalid(text, detail)


class FieldType(Protocol):
    """How one kind of field is read, written and measured; `from_*` raise FieldValueError."""

    unset: Any
    """The value of a field nobody set."""

    def from_json(self, raw: Any) -> Any:
        """Read what `json.loads` made of it."""

    def to_json(self, value: Any, enum_ints: bool) -> Any:  # noqa: FBT001 (called by position, on the hot path)
        """What `json.dumps` takes."""

    def from_pb(self, raw: Any) -> Any:
        """Read what the attribute of a protobuf object holds."""

    def into_pb(self, pb: Any, name: str, value: Any) -> None:
        """Set the attribute of a protobuf object."""

    def size(self, number: int, value: Any) -> int:
        """Encoded bytes, with the field's tag."""
