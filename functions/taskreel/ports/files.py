"""The ports of files: those in a bucket, and the work on those of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from taskreel.domain.record import Record

T = TypeVar("T")


class BlobInfo(Record):
    """An object's size and type."""

    path: str
    bytes: int
    content_type: str


class Blobs(Protocol):
    """Files in a bucket."""

    async def put(
        self,
        path: str,
        source: Path | bytes,
        /,
        *,
        content_type: str,
        age_from: datetime | None = None,
    ) -> None:
        """Store a file whole or not at all, replacing an earlier one of that path.

        Where the bucket removes files by their age, it counts from `age_from`; without, from now.
        """

    def read(self, path: str, /) -> AsyncIterator[bytes]:
        """Yield the content in chunks. Raises NotFoundError when there is no such file."""

    async def info(self, path: str, /) -> BlobInfo | None:
        """Read size and type; None if there is no such file."""

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        """Create a URL that anyone can GET until it expires."""

    async def open_upload(
        self,
        path: str,
        /,
        *,
        content_type: str,
        size: int,
        expires_in: timedelta,
        origin: str | None = None,
    ) -> str:
        """Create a URL to which anyone can PUT exactly `size` bytes, once, until it expires.

        `origin` is that of the web page that will send them, if one will.
        """

    async def renew(self, paths: Sequence[str], at: datetime, /) -> None:
        """Let files that exist be removed by their age as if they had been stored at `at`.

        What is gone already is omitted.
        """

    def list_paths(self, prefix: str, /) -> AsyncIterator[str]:
        """Yield the path of every file that starts with `prefix`, in no order."""

    async def delete(self, prefix: str, /) -> int:
        """Delete every file whose path starts with `prefix`; return their number."""

    async def close(self) -> None:
        """Close all connections."""


class Fetch(Protocol):
    """Downloads URLs that users name. Raises RunErrors."""

    async def __call__(
        self,
        url: str,
        target: Path,
        /,
        *,
        max_bytes: int,
        seconds: float,
        admit: Callable[[int], None] | None = None,
    ) -> str:
        """Download `url` to `target`; return its content type.

        `admit` is called with a number of bytes before they are written: the length that the
        server announces, else each piece as it comes. An error that it raises ends the download.
        """


class FileFacts(Record, kw_only=True):
    """Type, size and checksum of a media file; pixels and seconds where they apply."""

    content_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


class ProbeFile(Protocol):
    """Reads the facts of a media file from its content."""

    async def __call__(self, file: Path, /, *, every_packet: bool = False) -> FileFacts:
        """Probe `file`. Raises PermanentError when it is not a readable media file.

        With `every_packet` its length is no less than what is in it, whatever its header states.
        """


class MediaWorkers(Protocol):
    """A pool of worker processes for CPU-heavy media work, with limits on time and memory."""

    async def run(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        timeout_seconds: float,
        on_progress: Callable[[float], None] | None = None,
        **kwargs: Any,
    ) -> T:
        """Return `function(*args, **kwargs)`; function, arguments and result must pickle.

        Raises what the function raises; TemporaryError when the worker hangs, dies or is closed;
        PermanentError when the work needs more memory than a worker has.
        """

    def close(self) -> None:
        """Kill all workers; running work ends with TemporaryError."""


class WorkDirs(Protocol):
    """Temporary folders for runs to write into."""

    def acquire(self, job_id: str, /) -> Path:
        """Return an empty folder for a run of the job, until it is released."""

    def reserve(self, folder: Path, size: int, /, *, required: bool = False) -> bool:
        """Reserve room for `size` more bytes in a folder, until the folder is released.

        Return False, and reserve nothing, when this instance has no such room now, or has promised
        it to jobs that were refused before. With `required`
        the bytes are counted all the same: work that has been paid for is stored.
        """

    async def release(self, folder: Path, /) -> None:
        """End the use of a folder; files in it are deleted."""

    def close(self) -> None:
        """Delete the folders that wait for reuse."""
