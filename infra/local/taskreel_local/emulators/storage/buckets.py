"""Buckets and their objects: every operation of the API, independent of HTTP."""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskreel_local.emulators.storage.object_store import ObjectStore
from taskreel_local.emulators.storage.storage_errors import (
    StorageError,
    bucket_not_found,
    object_not_found,
)
from taskreel_local.emulators.storage.stored_object import (
    WRITABLE,
    Checksums,
    Preconditions,
    StoredObject,
    current_timestamp,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of a bucket."""

    objects: Sequence[StoredObject]
    prefixes: Sequence[str]
    next_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingRequest:
    """The names to list."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    limit: int = 1000
    token: str = ""

    def includes(self, name: str) -> bool:
        """Return True if the name has the prefix and is within the range."""
        in_range = name >= self.start and (not self.end or name < self.end)
        return in_range and name.startswith(self.prefix)


class Buckets:
    """All buckets. Every method is one atomic step: none awaits."""

    def __init__(self, store: ObjectStore, names: Sequence[str] = ()) -> None:
        self._store = store
        self._resources, objects = store.load_all()
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
        """Create an empty bucket. Raises StorageError 409 if it exists."""
        if name in self._resources:
            raise StorageError(
                409,
                "Your previous request to create the named bucket succeeded "
                "and you already own it.",
            )
        now = current_timestamp()
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
        self._store.save_bucket(name, self._resources[name])
        return self._resources[name]

    def get_bucket(self, name: str) -> dict[str, Any]:
        """Return a bucket's resource. Raises StorageError 404."""
        if name not in self._resources:
            raise bucket_not_found()
        return self._resources[name]

    def patch_bucket(self, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change a bucket's settings: lifecycle, labels, CORS."""
        before = self.get_bucket(name)
        after = {
            **before,
            **changes,
            "name": name,
            "metageneration": str(int(before["metageneration"]) + 1),
        }
        self._resources[name] = {key: value for key, value in after.items() if value is not None}
        self._store.save_bucket(name, self._resources[name])
        return self._resources[name]

    def delete_bucket(self, name: str) -> None:
        """Delete an empty bucket. Raises StorageError 409 if it has objects."""
        self.get_bucket(name)
        if self._objects[name]:
            raise StorageError(
                409, "The bucket you tried to delete is not empty.", "BucketNotEmpty"
            )
        del self._resources[name], self._objects[name]
        self._store.save_bucket(name, None)

    def list_buckets(self) -> list[dict[str, Any]]:
        """Return the resources of all buckets."""
        return list(self._resources.values())

    # Objects

    def find_object(self, bucket: str, name: str, generation: int | None = None) -> StoredObject:
        """Return the live object, if it has the given generation. Raises StorageError 404."""
        self.get_bucket(bucket)
        obj = self._objects[bucket].get(name)
        if obj is None or generation not in {None, obj.generation}:
            raise object_not_found(bucket, name)
        return obj

    def read_content(self, obj: StoredObject) -> bytes:
        """Return an object's bytes."""
        return self._store.read_content(obj)

    def check_write(self, bucket: str, name: str, conditions: Preconditions) -> None:
        """Raise StorageError if a write with these preconditions would fail now."""
        self.get_bucket(bucket)
        conditions.require(self._objects[bucket].get(name))

    def put_object(
        self,
        bucket: str,
        name: str,
        content: bytes,
        fields: Mapping[str, Any],
        conditions: Preconditions,
        *,
        components: int | None = None,
    ) -> StoredObject:
        """Store a new generation if the preconditions are met.

        The content must have the checksums that `fields` may contain. Raises StorageError.
        """
        self.check_write(bucket, name, conditions)
        if not name or len(name.encode()) > 1024:
            raise StorageError(400, "The object name must be 1 to 1024 bytes long.")
        checksums = Checksums.of(content)
        checksums.require(fields)
        now = current_timestamp()
        obj = StoredObject(
            bucket=bucket,
            name=name,
            generation=next(self._generations),
            size=len(content),
            crc32c=checksums.crc32c,
            md5=None if components else checksums.md5,
            created=now,
            updated=now,
            components=components,
            fields={
                key: value for key, value in fields.items() if key in WRITABLE and value is not None
            },
        )
        before = self._objects[bucket].get(name)
        self._store.save_object(obj, content)
        self._objects[bucket][name] = obj
        if before is not None:
            self._store.delete_object(before)
        return obj

    def patch_object(
        self,
        bucket: str,
        name: str,
        changes: Mapping[str, Any],
        conditions: Preconditions,
        *,
        whole: bool,
    ) -> StoredObject:
        """Change the metadata of an object; the content stays."""
        obj = self.find_object(bucket, name)
        conditions.require(obj)
        self._objects[bucket][name] = obj.with_metadata(changes, whole=whole)
        self._store.save_object(self._objects[bucket][name], None)
        return self._objects[bucket][name]

    def delete_object(
        self, bucket: str, name: str, generation: int | None, conditions: Preconditions
    ) -> None:
        """Delete the live object."""
        obj = self.find_object(bucket, name, generation)
        conditions.require(obj)
        del self._objects[bucket][name]
        self._store.delete_object(obj)

    def list_objects(self, bucket: str, request: ListingRequest) -> Listing:
        """Return a page of objects and common prefixes, ordered by name."""
        self.get_bucket(bucket)
        objects: list[StoredObject] = []
        prefixes: list[str] = []
        last = ""
        for key, obj in self._list_entries(bucket, request):
            if len(objects) + len(prefixes) == request.limit:
                return Listing(
                    objects=objects, prefixes=prefixes, next_token=_encode_page_token(last)
                )
            last = key
            if obj is None:
                prefixes.append(key)
            else:
                objects.append(obj)
        return Listing(objects=objects, prefixes=prefixes, next_token=None)

    def _list_entries(
        self, bucket: str, request: ListingRequest
    ) -> Iterator[tuple[str, StoredObject | None]]:
        """Yield the entries after the page token.

        An entry is an object, or a prefix, once for all names below it.
        """
        after = _decode_page_token(request.token)
        shown = ""
        for name in sorted(self._objects[bucket]):
            if not request.includes(name):
                continue
            head, found, _ = name[len(request.prefix) :].partition(request.delimiter or "\0")
            folder = bool(request.delimiter and found)
            key = f"{request.prefix}{head}{request.delimiter}" if folder else name
            if key == shown or (after and key <= after):
                continue
            shown = key
            yield key, None if folder else self._objects[bucket][name]


def _encode_page_token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _decode_page_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        raise StorageError(400, "Invalid page token.") from None
