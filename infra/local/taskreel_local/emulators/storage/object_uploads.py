"""The three ways to upload an object: media, multipart, and resumable in chunks."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from taskreel_local.emulators.storage.buckets import Buckets
from taskreel_local.emulators.storage.storage_errors import StorageError
from taskreel_local.emulators.storage.stored_object import Preconditions, StoredObject

_CHUNK = 256 * 1024
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass
class Session:
    """A resumable upload; `done` is set once the object is stored."""

    bucket: str
    name: str
    fields: Mapping[str, Any]
    conditions: Preconditions
    received: bytearray = field(default_factory=bytearray)
    done: StoredObject | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a session's bytes; `total` is None while the sender does not know it."""

    content: bytes
    start: int | None
    total: int | None

    @classmethod
    def from_request(cls, content: bytes, content_range: str | None) -> Chunk:
        """Read a chunk from a PUT; without Content-Range it is the whole object."""
        if content_range is None:
            return cls(content, 0, len(content))
        match = _RANGE.fullmatch(content_range)
        if match is None:
            raise StorageError(400, f"Invalid Content-Range: {content_range!r}")
        first, last, total = match.groups()
        if first is not None and int(last) - int(first) + 1 != len(content):
            raise StorageError(
                400, f"Content-Range {content_range!r} does not fit a body of {len(content)} bytes."
            )
        return cls(
            content, None if first is None else int(first), None if total == "*" else int(total)
        )


class UploadSessions:
    """The resumable uploads of one server, in memory only."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._sessions: dict[str, Session] = {}

    def begin_session(
        self, bucket: str, name: str, fields: Mapping[str, Any], conditions: Preconditions
    ) -> str:
        """Return the id of a new session.

        Preconditions are checked now, and again when the upload ends.
        """
        self._buckets.check_write(bucket, name, conditions)
        upload_id = secrets.token_urlsafe(24)
        self._sessions[upload_id] = Session(bucket, name, fields, conditions)
        return upload_id

    def cancel_session(self, upload_id: str) -> None:
        """Remove a session."""
        self._get_session(upload_id)
        del self._sessions[upload_id]

    def receive_chunk(
        self, upload_id: str, chunk: Chunk, expected: Mapping[str, str]
    ) -> tuple[StoredObject | None, int]:
        """Return the object once it is complete, and the number of bytes received."""
        session = self._get_session(upload_id)
        if session.done is not None:
            return session.done, session.done.size
        _append_chunk(session, chunk)
        if chunk.total is None or len(session.received) < chunk.total:
            return None, len(session.received)
        content = bytes(session.received)
        fields = {**session.fields, **expected}
        session.done = self._buckets.put_object(
            session.bucket, session.name, content, fields, session.conditions
        )
        session.received = bytearray()
        return session.done, len(content)

    def _get_session(self, upload_id: str) -> Session:
        if upload_id not in self._sessions:
            raise StorageError(404, "There is no such upload session.", "NoSuchUpload")
        return self._sessions[upload_id]


def _append_chunk(session: Session, chunk: Chunk) -> None:
    """Append the new bytes of a chunk.

    A sender may repeat bytes, not skip any; of a chunk that is not the last, only whole 256 KiB
    count.
    """
    if chunk.start is None:
        return
    received = len(session.received)
    if chunk.start > received:
        raise StorageError(503, f"Bytes {received} to {chunk.start} are missing.")
    session.received += chunk.content[received - chunk.start :]
    if chunk.total is None or len(session.received) < chunk.total:
        del session.received[len(session.received) // _CHUNK * _CHUNK :]
    elif len(session.received) > chunk.total:
        del session.received[received:]
        raise StorageError(400, f"More than the {chunk.total} bytes that were announced.")


def parse_multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Return resource and content of a multipart/related upload."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    if boundary is None:
        raise StorageError(400, "A multipart upload needs a boundary.")
    mark = b"--" + boundary[1].strip().strip("'").encode()
    try:
        _, first, rest = body.split(mark, 2)
        second = rest[: rest.rindex(mark)]
        resource = json.loads(_HEAD_END.split(first.lstrip(b"\r\n"), maxsplit=1)[1])
        head, content = _HEAD_END.split(second.lstrip(b"\r\n"), maxsplit=1)
    except (ValueError, IndexError):
        resource = None
    if not isinstance(resource, dict):
        raise StorageError(400, "This is not a multipart upload of a resource and a content.")
    given = re.search(rb"(?i)content-type:\s*([^\r\n]+)", head)
    if given is not None:
        resource.setdefault("contentType", given[1].decode("latin-1"))
    return resource, content.removesuffix(b"\n").removesuffix(b"\r")


def expected_checksums(header: str | None) -> dict[str, str]:
    """Return an `X-Goog-Hash` header as the fields `crc32c` and `md5Hash`."""
    pairs = (part.strip().partition("=") for part in (header or "").split(",") if "=" in part)
    fields = {"crc32c": "crc32c", "md5": "md5Hash"}
    return {fields[name]: value for name, _, value in pairs if name in fields}
