"""The bucket as a folder: files whole or not at all, under URLs that are signed and expire."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import mimetypes
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import quote, urlencode

from taskreel.domain.errors import ForbiddenError, NotFoundError
from taskreel.ports import BlobInfo, Clock

_CHUNK = 1 << 20
_TYPE_SUFFIX = ".content-type"


class FileBlobs:
    """`Blobs` in `root`. Signed URLs point at `{base_url}/files/…` and hold for whoever knows `secret`."""

    def __init__(self, root: Path, *, base_url: str, secret: bytes, clock: Clock) -> None:
        self._root = root
        self._base_url = base_url.rstrip("/")
        self._secret = secret
        self._clock = clock

    async def put(self, path: str, source: Path | bytes, /, *, content_type: str) -> None:
        await asyncio.to_thread(self._put, path, source, content_type)

    async def read(self, path: str, /) -> AsyncIterator[bytes]:
        try:
            file = await asyncio.to_thread(self.locate(path).open, "rb")
        except (FileNotFoundError, IsADirectoryError):
            raise NotFoundError(f"There is no file {path}.") from None
        with file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk

    async def info(self, path: str, /) -> BlobInfo | None:
        file = self.locate(path)
        if not file.is_file():
            return None
        return BlobInfo(path, file.stat().st_size, self.content_type(path))

    async def signed_url(self, path: str, /, *, expires_in: timedelta) -> str:
        expires = int((self._clock.now() + expires_in).timestamp())
        query = {"expires": str(expires), "signature": self._signature(path, expires)}
        return f"{self._base_url}/files/{quote(path)}?{urlencode(query)}"

    async def delete(self, prefix: str, /) -> int:
        return await asyncio.to_thread(self._delete, prefix)

    async def close(self) -> None:
        """There is nothing to let go of."""

    def check(self, path: str, *, expires: str, signature: str) -> None:
        """Raises ForbiddenError unless a URL's signature is ours and its time has not passed."""
        until = int(expires) if expires.isdecimal() else 0
        if not hmac.compare_digest(signature.encode(), self._signature(path, until).encode()):
            raise ForbiddenError(
                "This URL's signature does not match. Read the job's result for a fresh URL."
            )
        if self._clock.now().timestamp() >= until:
            raise ForbiddenError("This URL has expired. Read the job's result for a fresh one.")

    def locate(self, path: str) -> Path:
        """Where an object lies; NotFoundError for a path that would leave the folder."""
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            raise NotFoundError(f"There is no file {path!r}.")
        return self._root.joinpath(*parts)

    def content_type(self, path: str) -> str:
        """What the object was stored as."""
        beside = self._type_file(self.locate(path))
        return beside.read_text() if beside.is_file() else _guess(path)

    def _put(self, path: str, source: Path | bytes, content_type: str) -> None:
        target = self.locate(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".incoming-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _copy(source, file)
            if content_type != _guess(path):
                self._type_file(target).write_text(content_type)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _delete(self, prefix: str) -> int:
        start = self._root / PurePosixPath(prefix).parent if prefix else self._root
        gone = 0
        for file in sorted(start.rglob("*")) if start.is_dir() else ():
            name = file.relative_to(self._root).as_posix()
            if file.is_file() and name.startswith(prefix) and not file.name.startswith("."):
                file.unlink(missing_ok=True)
                self._type_file(file).unlink(missing_ok=True)
                gone += 1
        return gone

    def _signature(self, path: str, expires: int) -> str:
        text = f"GET\n{path}\n{expires}\n"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def _type_file(target: Path) -> Path:
        return target.with_name(f".{target.name}{_TYPE_SUFFIX}")


def _copy(source: Path | bytes, file: BinaryIO) -> None:
    if isinstance(source, bytes):
        file.write(source)
        return
    with source.open("rb") as original:
        shutil.copyfileobj(original, file, _CHUNK)


def _guess(path: str) -> str:
    return mimetypes.guess_type(path)[0] or "application/octet-stream"
