"""Objects, generations, checksums and preconditions, independent of HTTP."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import google_crc32c

from taskreel_local.emulators.storage.storage_errors import StorageError, precondition_failed

#: The fields of an object that a caller may set.
WRITABLE = frozenset(
    {
        "contentType",
        "cacheControl",
        "contentDisposition",
        "contentEncoding",
        "contentLanguage",
        "customTime",
        "metadata",
        "storageClass",
        "temporaryHold",
        "eventBasedHold",
        "acl",
    }
)


def current_timestamp() -> str:
    """Return the current time in the API's format."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A live generation of an object; its content is in the object store."""

    bucket: str
    name: str
    generation: int
    size: int
    crc32c: str
    #: None for a composed object, as in the service.
    md5: str | None
    created: str
    updated: str
    metageneration: int = 1
    components: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def content_type(self) -> str:
        """The content type, for downloads."""
        return str(self.fields.get("contentType") or "application/octet-stream")

    @property
    def etag(self) -> str:
        """Changes with content and metadata."""
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    def to_resource(self, base_url: str) -> dict[str, Any]:
        """Return the object as the JSON API shows it."""
        path = f"storage/v1/b/{self.bucket}/o/{quote(self.name, safe='')}"
        shown = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": f"{base_url}/{path}",
            "mediaLink": f"{base_url}/download/{path}?generation={self.generation}&alt=media",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": "STANDARD",
            "size": str(self.size),
            "md5Hash": self.md5,
            "crc32c": self.crc32c,
            "componentCount": self.components,
            "etag": self.etag,
            "timeCreated": self.created,
            "updated": self.updated,
            **self.fields,
        }
        return {name: value for name, value in shown.items() if value is not None}

    def with_metadata(self, changes: Mapping[str, Any], *, whole: bool) -> StoredObject:
        """Return the object with other metadata; `whole` drops fields that are not in `changes`."""
        fields = {} if whole else dict(self.fields)
        for name, value in changes.items():
            if name == "metadata" and value is not None and not whole:
                merged = {**fields.get("metadata", {}), **value}
                fields["metadata"] = {key: one for key, one in merged.items() if one is not None}
            elif name in WRITABLE:
                fields[name] = value
        present = {name: value for name, value in fields.items() if value is not None}
        return replace(
            self,
            fields=present,
            metageneration=self.metageneration + 1,
            updated=current_timestamp(),
        )


@dataclass(frozen=True, slots=True)
class Checksums:
    """Checksums of a content, in base64 as the API writes them."""

    crc32c: str
    md5: str

    @classmethod
    def of(cls, content: bytes) -> Checksums:
        """Compute both checksums."""
        crc = base64.b64encode(struct.pack(">I", google_crc32c.value(content))).decode()
        return cls(
            crc, base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        )

    def require(self, given: Mapping[str, Any]) -> None:
        """Raise StorageError 400 if `crc32c` or `md5Hash` of the sender differ."""
        for name, field_name in (("crc32c", "crc32c"), ("md5", "md5Hash")):
            expected = given.get(field_name)
            if expected and expected != getattr(self, name):
                raise StorageError(
                    400,
                    f"Provided {name} hash {expected!r} doesn't match "
                    f"calculated {getattr(self, name)!r}.",
                    "BadDigest",
                )


@dataclass(frozen=True, slots=True)
class Preconditions:
    """Required generations of the current object; None requires nothing."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    @classmethod
    def of(cls, params: Mapping[str, str], prefix: str = "if") -> Preconditions:
        """Read preconditions from query parameters."""

        def read_parameter(name: str) -> int | None:
            value = params.get(f"{prefix}{name}")
            return None if value is None else parse_integer(value, f"{prefix}{name}")

        return cls(
            read_parameter("GenerationMatch"),
            read_parameter("GenerationNotMatch"),
            read_parameter("MetagenerationMatch"),
            read_parameter("MetagenerationNotMatch"),
        )

    def require(self, now: StoredObject | None, *, reading: bool = False) -> None:
        """Raise StorageError 412, or 304 for a conditional read, if they are not met."""
        generation = now.generation if now else 0
        metageneration = now.metageneration if now else None
        if self.generation not in {None, generation} or self.metageneration not in {
            None,
            metageneration,
        }:
            raise precondition_failed()
        if self.not_generation == generation or (
            self.not_metageneration is not None and self.not_metageneration == metageneration
        ):
            raise precondition_failed(304 if reading else 412)


def parse_integer(text: str, name: str) -> int:
    """Return a number from a request. Raises StorageError 400."""
    try:
        return int(text)
    except ValueError:
        raise StorageError(400, f"Invalid value for {name}: {text!r}") from None
