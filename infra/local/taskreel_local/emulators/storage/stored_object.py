"""Objects and their generations: the rules of a bucket, without HTTP."""

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

from taskreel_local.emulators.storage.storage_errors import StorageError, condition_failed

#: What a caller may say of an object; everything else the service says.
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


def timestamp() -> str:
    """Now, as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One live generation of an object; its content lies on the shelf under the generation."""

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
        """What it is served as."""
        return str(self.fields.get("contentType") or "application/octet-stream")

    @property
    def etag(self) -> str:
        """Changes with the content and with the metadata."""
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode()

    def resource(self, base_url: str) -> dict[str, Any]:
        """The object as the JSON API shows it."""
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

    def patched(self, changes: Mapping[str, Any], *, whole: bool) -> StoredObject:
        """The object with other metadata; `whole` drops what is not named."""
        fields = {} if whole else dict(self.fields)
        for name, value in changes.items():
            if name == "metadata" and value is not None and not whole:
                merged = {**fields.get("metadata", {}), **value}
                fields["metadata"] = {key: one for key, one in merged.items() if one is not None}
            elif name in WRITABLE:
                fields[name] = value
        kept = {name: value for name, value in fields.items() if value is not None}
        return replace(
            self, fields=kept, metageneration=self.metageneration + 1, updated=timestamp()
        )


@dataclass(frozen=True, slots=True)
class Checksums:
    """Of some content, in base64 as the API carries them."""

    crc32c: str
    md5: str

    @classmethod
    def of(cls, content: bytes) -> Checksums:
        """Both sums."""
        crc = base64.b64encode(struct.pack(">I", google_crc32c.value(content))).decode()
        return cls(
            crc, base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        )

    def require(self, said_of_it: Mapping[str, Any]) -> None:
        """Refuse content that is not what its sender says in `crc32c` and `md5Hash`."""
        for name, field_name in (("crc32c", "crc32c"), ("md5", "md5Hash")):
            said = said_of_it.get(field_name)
            if said and said != getattr(self, name):
                raise StorageError(
                    400,
                    f"Provided {name} hash {said!r} doesn't match calculated {getattr(self, name)!r}.",
                    "BadDigest",
                )


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold of the object that is there now; None asks for nothing."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    @classmethod
    def of(cls, params: Mapping[str, str], prefix: str = "if") -> Preconditions:
        """As query parameters carry them."""

        def number(name: str) -> int | None:
            value = params.get(f"{prefix}{name}")
            return None if value is None else whole_number(value, f"{prefix}{name}")

        return cls(
            number("GenerationMatch"),
            number("GenerationNotMatch"),
            number("MetagenerationMatch"),
            number("MetagenerationNotMatch"),
        )

    def require(self, now: StoredObject | None, *, reading: bool = False) -> None:
        """Raise 412, or 304 to a reader who wants only what is new."""
        generation = now.generation if now else 0
        metageneration = now.metageneration if now else None
        if self.generation not in {None, generation} or self.metageneration not in {
            None,
            metageneration,
        }:
            raise condition_failed()
        if self.not_generation == generation or (
            self.not_metageneration is not None and self.not_metageneration == metageneration
        ):
            raise condition_failed(304 if reading else 412)


def whole_number(text: str, name: str) -> int:
    """A number in a request, or 400."""
    try:
        return int(text)
    except ValueError:
        raise StorageError(400, f"Invalid value for {name}: {text!r}") from None
