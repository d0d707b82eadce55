"""Storage of objects: in memory, or in a folder that a later server opens again."""
# ruff: noqa: D102 - the protocol states each method's contract once

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from taskreel_local.emulators.storage.stored_object import StoredObject


class ObjectStore(Protocol):
    """Stores objects by generation and buckets by name."""

    def save_object(self, obj: StoredObject, content: bytes | None) -> None:
        """Store an object; `content` is None if only its metadata changed."""

    def read_content(self, obj: StoredObject) -> bytes:
        """Return the stored content."""

    def delete_object(self, obj: StoredObject) -> None:
        """Delete an object."""

    def save_bucket(self, name: str, resource: dict[str, Any] | None) -> None:
        """Store a bucket's resource; None deletes it."""

    def load_all(self) -> tuple[dict[str, dict[str, Any]], list[StoredObject]]:
        """Return all buckets and objects."""


class MemoryObjectStore:
    """Stores objects until the process ends."""

    def __init__(self) -> None:
        self._contents: dict[int, bytes] = {}

    def save_object(self, obj: StoredObject, content: bytes | None) -> None:
        if content is not None:
            self._contents[obj.generation] = content

    def read_content(self, obj: StoredObject) -> bytes:
        return self._contents[obj.generation]

    def delete_object(self, obj: StoredObject) -> None:
        self._contents.pop(obj.generation, None)

    def save_bucket(self, name: str, resource: dict[str, Any] | None) -> None:
        """Do nothing."""

    def load_all(self) -> tuple[dict[str, dict[str, Any]], list[StoredObject]]:
        return {}, []


class FolderObjectStore:
    """Stores a content file and a JSON file for each generation.

    The JSON file is written last: a content without it is ignored.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def save_object(self, obj: StoredObject, content: bytes | None) -> None:
        if content is not None:
            _write_atomically(self._content_path(obj), content)
        _write_atomically(self._record_path(obj), json.dumps(dataclasses.asdict(obj)).encode())

    def read_content(self, obj: StoredObject) -> bytes:
        return self._content_path(obj).read_bytes()

    def delete_object(self, obj: StoredObject) -> None:
        self._record_path(obj).unlink(missing_ok=True)
        self._content_path(obj).unlink(missing_ok=True)

    def save_bucket(self, name: str, resource: dict[str, Any] | None) -> None:
        file = self._root / f"{name}.bucket.json"
        if resource is None:
            file.unlink(missing_ok=True)
        else:
            _write_atomically(file, json.dumps(resource).encode())

    def load_all(self) -> tuple[dict[str, dict[str, Any]], list[StoredObject]]:
        buckets = {resource["name"]: resource for resource in self._read_records("*.bucket.json")}
        return buckets, [StoredObject(**record) for record in self._read_records("*.object.json")]

    def _read_records(self, pattern: str) -> Iterator[dict[str, Any]]:
        return (json.loads(file.read_bytes()) for file in sorted(self._root.glob(pattern)))

    def _content_path(self, obj: StoredObject) -> Path:
        return self._root / f"{obj.generation}.content"

    def _record_path(self, obj: StoredObject) -> Path:
        return self._root / f"{obj.generation}.object.json"


def _write_atomically(target: Path, content: bytes) -> None:
    """Replace the file as a whole or not at all."""
    temporary = target.with_name(f".{target.name}.new")
    temporary.write_bytes(content)
    temporary.replace(target)
