"""All buckets: what a request may do to them, one step at a time."""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskreel_local.emulators.storage.object_store import Shelf
from taskreel_local.emulators.storage.storage_errors import StorageError, no_bucket, no_object
from taskreel_local.emulators.storage.stored_object import (
    WRITABLE,
    Checksums,
    Preconditions,
    StoredObject,
    timestamp,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of a bucket."""

    objects: Sequence[StoredObject]
    prefixes: Sequence[str]
    next_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRequest:
    """Which names to show."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    limit: int = 1000
    token: str = ""


class Buckets:
    """Every method is one atomic step: nothing here waits."""

    def __init__(self, shelf: Shelf, names: Sequence[str] = ()) -> None:
        self._shelf = shelf
        self._resources, objects = shelf.load()
        self._objects: dict[str, dict[str, StoredObject]] = {name: {} for name in self._resources}
        for obj in sorted(objects, key=lambda one: one.generation):
            self._objects.setdefault(obj.bucket, {})[obj.name] = obj
        newest = max((obj.generation for obj in objects), default=0)
        self._generations = itertools.count(max(newest + 1, time.time_ns() // 1000))
        for name in names:
            if name not in self._resources:
                self.create_bucket(name, {})

    # Buckets

    def create_bucket(self, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A new, empty bucket."""
        if name in self._resources:
            raise StorageError(
                409,
                "Your previous request to create the named bucket succeeded and you already own it.",
            )
        now = timestamp()
        fixed = {
            "kind": "storage#bucket",
            "id": name,
            "name": name,
            "projectNumber": "1",
            "timeCreated": now,
        }
        resource = {
            "location": "US",
            "storageClass": "STANDARD",
            **fields,
            **fixed,
            "updated": now,
            "metageneration": "1",
        }
        self._resources[name] = {**resource, "etag": "CAE="}
        self._objects[name] = {}
        self._shelf.keep_bucket(name, self._resources[name])
        return self._resources[name]

    def bucket(self, name: str) -> dict[str, Any]:
        """A bucket's resource."""
        if name not in self._resources:
            raise no_bucket()
        return self._resources[name]

    def patch_bucket(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """A bucket with other settings: lifecycle, labels, CORS."""
        before = self.bucket(name)
        after = {
            **before,
            **changes,
            "name": name,
            "metageneration": str(int(before["metageneration"]) + 1),
        }
        self._resources[name] = {key: value for key, value in after.items() if value is not None}
        self._shelf.keep_bucket(name, self._resources[name])
        return self._resources[name]

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket."""
        self.bucket(name)
        if self._objects[name]:
            raise StorageError(
                409, "The bucket you tried to delete is not empty.", "BucketNotEmpty"
            )
        del self._resources[name], self._objects[name]
        self._shelf.keep_bucket(name, None)

    def all(self) -> list[dict[str, Any]]:
        """Every bucket's resource."""
        return list(self._resources.values())

    # Objects

    def find(self, bucket: str, name: str, generation: int | None = None) -> StoredObject:
        """The live object, if it is the generation asked for."""
        self.bucket(bucket)
        obj = self._objects[bucket].get(name)
        if obj is None or generation not in {None, obj.generation}:
            raise no_object(bucket, name)
        return obj

    def content(self, obj: StoredObject) -> bytes:
        """An object's bytes."""
        return self._shelf.content(obj)

    def check(self, bucket: str, name: str, conditions: Preconditions) -> None:
        """Refuse a write that could not be carried out now."""
        self.bucket(bucket)
        conditions.require(self._objects[bucket].get(name))

    def put(
        self,
        bucket: str,
        name: str,
        content: bytes,
        fields: Mapping[str, Any],
        conditions: Preconditions,
        *,
        components: int | None = None,
    ) -> StoredObject:
        """A new generation, if the conditions hold and the content has the sums that `fields` may name."""
        self.check(bucket, name, conditions)
        if not name or len(name.encode()) > 1024:
            raise StorageError(400, "The object name must be 1 to 1024 bytes long.")
        sums = Checksums.of(content)
        sums.require(fields)
        now = timestamp()
        obj = StoredObject(
            bucket=bucket,
            name=name,
            generation=next(self._generations),
            size=len(content),
            crc32c=sums.crc32c,
            md5=None if components else sums.md5,
            created=now,
            updated=now,
            components=components,
            fields={
                key: value for key, value in fields.items() if key in WRITABLE and value is not None
            },
        )
        before = self._objects[bucket].get(name)
        self._shelf.keep(obj, content)
        self._objects[bucket][name] = obj
        if before is not None:
            self._shelf.drop(before)
        return obj

    def patch(
        self,
        bucket: str,
        name: str,
        changes: Mapping[str, Any],
        conditions: Preconditions,
        *,
        whole: bool,
    ) -> StoredObject:
        """Other metadata of the same content."""
        obj = self.find(bucket, name)
        conditions.require(obj)
        self._objects[bucket][name] = obj.patched(changes, whole=whole)
        self._shelf.keep(self._objects[bucket][name], None)
        return self._objects[bucket][name]

    def delete(
        self, bucket: str, name: str, generation: int | None, conditions: Preconditions
    ) -> None:
        """Remove the live object."""
        obj = self.find(bucket, name, generation)
        conditions.require(obj)
        del self._objects[bucket][name]
        self._shelf.drop(obj)

    def list(self, bucket: str, request: ListingRequest) -> Listing:
        """Objects and common prefixes in the order of their names."""
        self.bucket(bucket)
        objects: list[StoredObject] = []
        prefixes: list[str] = []
        last = ""
        for key, obj in self._entries(bucket, request):
            if len(objects) + len(prefixes) == request.limit:
                return Listing(objects=objects, prefixes=prefixes, next_token=_token(last))
            last = key
            if obj is None:
                prefixes.append(key)
            else:
                objects.append(obj)
        return Listing(objects=objects, prefixes=prefixes, next_token=None)

    def _entries(
        self, bucket: str, request: ListingRequest
    ) -> Iterator[tuple[str, StoredObject | None]]:
        """What a listing shows after its token: an object, or a prefix once for all names below it."""
        behind = _untoken(request.token)
        shown = ""
        for name in sorted(self._objects[bucket]):
            if (
                not name.startswith(request.prefix)
                or name < request.start
                or (request.end and name >= request.end)
            ):
                continue
            head, found, _ = name[len(request.prefix) :].partition(request.delimiter or "\0")
            folder = bool(request.delimiter and found)
            key = f"{request.prefix}{head}{request.delimiter}" if folder else name
            if key == shown or (behind and key <= behind):
                continue
            shown = key
            yield key, None if folder else self._objects[bucket][name]


def _token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _untoken(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        raise StorageError(400, "Invalid page token.") from None
