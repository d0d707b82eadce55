"""The bucket as a folder. Files are stored whole or not at all, under signed URLs that expire."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import mimetypes
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote, urlencode

from taskreel.domain.errors import ForbiddenError, NotFoundError
from taskreel.ports import BlobInfo, Clock

_CHUNK_BYTES = 1 << 20
_TYPE_SUFFIX = ".content-type"


#: Names of files that are being written begin with it.
PARTIAL_PREFIX = ".incoming-"


class FileBlobs:
    """`Blobs` in the folder `root`.

    Signed URLs begin with `{base_url}/files/` and are signed with `secret`. A content type that the
    file's name does not show is stored in a hidden file beside it.
    """

    def __init__(self, root: Path, *, base_url: str, secret: bytes, clock: Clock) -> None:
        self._root = root
        self._base_url = base_url.rstrip("/")
        self._secret = secret
        self._clock = clock

    async def put(
        self,
        path: str,
        source: Path | bytes,
        /,
        *,
        content_type: str,
        age_from: datetime | None = None,  # noqa: ARG002 - files are removed with their job
    ) -> None:
        await asyncio.to_thread(self._write_file, path, source, content_type)

    async def read(self, path: str, /) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread(self.find_path(path).open, "rb")
        except (FileNotFoundError, IsADirectoryError):
            raise NotFoundError(f"There is no file {path}.") from None
        with file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield chunk

    async def info(self, path: str, /) -> BlobInfo | None:
        file = self.find_path(path)
        if not file.is_file():
            return None
        return BlobInfo(path, file.stat().st_size, self.read_content_type(path))

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        expires = int((self._clock.now() + expires_in).timestamp())
        query = {"expires": str(expires), "signature": self._sign(path, expires)}
        return f"{self._base_url}/files/{quote(path)}?{urlencode(query)}"

    async def open_upload(
        self,
        path: str,
        /,
        *,
        content_type: str,
        size: int,
        expires_in: timedelta,
        origin: str | None = None,  # noqa: ARG002 - the server answers pages of any origin
    ) -> str:
        expires = int((self._clock.now() + expires_in).timestamp())
        query = {"expires": str(expires), "size": str(size), "type": content_type}
        query["signature"] = self._sign_upload(path, expires, str(size), content_type)
        return f"{self._base_url}/files/{quote(path)}?{urlencode(query)}"

    def check_upload(self, path: str, query: Mapping[str, str]) -> tuple[int, str]:
        """The size and content type that an upload's URL allows.

        Raises ForbiddenError unless its signature is ours, its time has not passed, and the file
        is not there.
        """
        expires, size, content_type = (query.get(name, "") for name in ("expires", "size", "type"))
        until = int(expires) if expires.isdecimal() and len(expires) <= 12 else 0
        expected = self._sign_upload(path, until, size, content_type)
        if not hmac.compare_digest(query.get("signature", "").encode(), expected.encode()):
            raise ForbiddenError("This upload URL's signature does not match. Create another one.")
        if self._clock.now().timestamp() >= until:
            raise ForbiddenError("This upload URL has expired. Create another one.")
        if self.find_path(path).exists():
            raise ForbiddenError("This file has been uploaded already. Create another upload.")
        return int(size), content_type

    async def renew(self, paths: Sequence[str], at: datetime, /) -> None:
        """Do nothing: files have no age here, and are removed with the jobs that use them."""

    async def list_paths(self, prefix: str, /) -> AsyncIterator[str]:
        for path in await asyncio.to_thread(lambda: list(self._find_paths(prefix))):
            yield path

    async def delete(self, prefix: str, /) -> int:
        return await asyncio.to_thread(self._delete_files, prefix)

    async def close(self) -> None:
        """Do nothing: no connection is open."""

    def check_url(self, path: str, *, expires: str, signature: str) -> None:
        """Raise ForbiddenError unless a URL's signature is ours and its time has not passed."""
        until = int(expires) if expires.isdecimal() and len(expires) <= 12 else 0
        if not hmac.compare_digest(signature.encode(), self._sign(path, until).encode()):
            raise ForbiddenError(
                "This URL's signature does not match. Read the job's result for a fresh URL."
            )
        if self._clock.now().timestamp() >= until:
            raise ForbiddenError("This URL has expired. Read the job's result for a fresh one.")

    def find_path(self, path: str) -> Path:
        """The file of an object. Raises NotFoundError for a path that leads out of the folder."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            raise NotFoundError(f"There is no file {path!r}.")
        return self._root.joinpath(*parts)

    def read_content_type(self, path: str) -> str:
        """The content type that the object was stored with."""
        type_file = self._type_file(self.find_path(path))
        return type_file.read_text() if type_file.is_file() else _guess_type(path)

    def _write_file(self, path: str, source: Path | bytes, content_type: str) -> None:
        """Write beside the target, then rename: a reader never sees half a file."""
        target = self.find_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=PARTIAL_PREFIX)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _copy_into(source, file)
            if content_type != _guess_type(path):
                self._type_file(target).write_text(content_type)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _find_paths(self, prefix: str) -> Iterator[str]:
        # The folder alone where a prefix is one: beside it are those of all other jobs.
        start = self._root / (prefix if prefix.endswith("/") else PurePosixPath(prefix).parent)
        for file in sorted(start.rglob("*")) if start.is_dir() else ():
            path = file.relative_to(self._root).as_posix()
            if file.is_file() and path.startswith(prefix) and not file.name.startswith("."):
                yield path

    def _delete_files(self, prefix: str) -> int:
        deleted = 0
        for path in self._find_paths(prefix):
            file = self._root / path
            file.unlink(missing_ok=True)
            self._type_file(file).unlink(missing_ok=True)
            deleted += 1
        start = self._root / prefix
        if prefix.endswith("/") and start.is_dir():
            _remove_empty_folders(start)
        return deleted

    def _sign(self, path: str, expires: int) -> str:
        text = f"GET\n{path}\n{expires}\n"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def _sign_upload(self, path: str, expires: int, size: str, content_type: str) -> str:
        text = f"PUT\n{path}\n{expires}\n{size}\n{content_type}\n"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def _type_file(target: Path) -> Path:
        return target.with_name(f".{target.name}{_TYPE_SUFFIX}")


def _copy_into(source: Path | bytes, file: BinaryIO) -> None:
    if isinstance(source, bytes):
        file.write(source)
        return
    with source.open("rb") as original:
        shutil.copyfileobj(original, file, _CHUNK_BYTES)


def _remove_empty_folders(folder: Path) -> None:
    """Remove the folder and those below it, unless a file is being written there."""
    for inner in [*sorted(folder.rglob("*"), reverse=True), folder]:
        if inner.is_dir():
            with contextlib.suppress(OSError):
                inner.rmdir()


def _guess_type(path: str) -> str:
    return mimetypes.guess_type(path)[0] or "application/octet-stream"
