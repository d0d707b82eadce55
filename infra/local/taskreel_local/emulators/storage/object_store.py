"""Where contents lie: in memory, or in a folder that a later server opens again."""
# ruff: noqa: D102 - the protocol states each method's contract, once

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from taskreel_local.emulators.storage.stored_object import StoredObject


class Shelf(Protocol):
    """Keeps objects by generation and buckets by name."""

    def keep(self, obj: StoredObject, content: bytes | None) -> None:
        """Keep an object, and its content unless only its metadata is new."""

    def content(self, obj: StoredObject) -> bytes:
        """What was kept."""

    def drop(self, obj: StoredObject) -> None:
        """Forget an object."""

    def keep_bucket(self, name: str, resource: dict[str, Any] | None) -> None:
        """Keep a bucket's resource; None forgets it."""

    def load(self) -> tuple[dict[str, dict[str, Any]], list[StoredObject]]:
        """All buckets and objects kept so far."""


class MemoryShelf:
    """Gone with the process."""

    def __init__(self) -> None:
        self._contents: dict[int, bytes] = {}

    def keep(self, obj: StoredObject, content: bytes | None) -> None:
        if content is not None:
            self._contents[obj.generation] = content

    def content(self, obj: StoredObject) -> bytes:
        return self._contents[obj.generation]

    def drop(self, obj: StoredObject) -> None:
        self._contents.pop(obj.generation, None)

    def keep_bucket(self, name: str, resource: dict[str, Any] | None) -> None:
        """Nothing to do."""

    def load(self) -> tuple[dict[str, dict[str, Any]], list[StoredObject]]:
        return {}, []


class FolderShelf:
    """A content file and a JSON file a generation. The JSON file comes last: without it the content does not count."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def keep(self, obj: StoredObject, content: bytes | None) -> None:
        if content is not None:
            _write(self._content(obj), content)
        _write(self._record(obj), json.dumps(dataclasses.asdict(obj)).encode())

    def content(self, obj: StoredObject) -> bytes:
        return self._content(obj).read_bytes()

    def drop(self, obj: StoredObject) -> None:
        self._record(obj).unlink(missing_ok=True)
        self._content(obj).unlink(missing_ok=True)

    def keep_bucket(self, name: str, resource: dict[str, Any] | None) -> None:
        file = self._root / f"{name}.bucket.json"
        if resource is None:
            file.unlink(missing_ok=True)
        else:
            _write(file, json.dumps(resource).encode())

    def load(self) -> tuple[dict[str, dict[str, Any]], list[StoredObject]]:
        buckets = {resource["name"]: resource for resource in self._read("*.bucket.json")}
        return buckets, [StoredObject(**record) for record in self._read("*.object.json")]

    def _read(self, pattern: str) -> Iterator[dict[str, Any]]:
        return (json.loads(file.read_bytes()) for file in sorted(self._root.glob(pattern)))

    def _content(self, obj: StoredObject) -> Path:
        return self._root / f"{obj.generation}.content"

    def _record(self, obj: StoredObject) -> Path:
        return self._root / f"{obj.generation}.object.json"


def _write(target: Path, content: bytes) -> None:
    """Whole or not at all."""
    temporary = target.with_name(f".{target.name}.new")
    temporary.write_bytes(content)
    temporary.replace(target)
