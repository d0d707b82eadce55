"""Work folders of runs on the local disk, reused while they are empty: creating one costs time.

A folder's name begins with the id of its process. Folders of processes that were killed are removed
when another process creates its first one.

On Cloud Run the disk is the instance's memory, so the bytes in all folders are bounded. Room for
downloads is reserved before they are written; what media workers write is counted as it grows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from pathlib import Path


class WorkDirPool:
    """`WorkDirs` below `root`, with room for `max_bytes` in all folders (None: no limit)."""

    def __init__(self, root: Path, max_bytes: int | None = None) -> None:
        self._root = root
        self._max_bytes = max_bytes
        #: The folders in use, and the bytes reserved in each.
        self._reserved: dict[Path, int] = {}
        self._unused: list[Path] = []
        self._removed_stale = False

    def acquire(self) -> Path:
        """Return an empty folder that nobody else uses until it is released."""
        folder = self._unused.pop() if self._unused else self._create_folder()
        self._reserved[folder] = 0
        return folder

    def reserve(self, folder: Path, size: int, /, *, required: bool = False) -> bool:
        """Reserve room for `size` more bytes in a folder; False when there is none."""
        if not required and self._max_bytes is not None:
            taken = sum(map(self._count_taken, self._reserved))
            if taken + size > self._max_bytes:
                return False
        self._reserved[folder] = self._reserved.get(folder, 0) + size
        return True

    async def release(self, folder: Path, /) -> None:
        """End the use of a folder: an empty one is reused, any other is deleted with its files."""
        try:
            if next(folder.iterdir(), None) is None:  # noqa: ASYNC240 - takes microseconds
                self._unused.append(folder)
            else:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        finally:
            # Only now: until its files are deleted, the room is taken.
            self._reserved.pop(folder, None)

    def close(self) -> None:
        """Delete the folders that wait for reuse."""
        while self._unused:
            shutil.rmtree(self._unused.pop(), ignore_errors=True)

    def _create_folder(self) -> Path:
        self._root.mkdir(parents=True, exist_ok=True)
        if not self._removed_stale:
            self._removed_stale = True
            self._remove_stale_dirs()
        return Path(tempfile.mkdtemp(dir=self._root, prefix=f"{os.getpid()}-"))

    def _count_taken(self, folder: Path) -> int:
        """The bytes reserved in a folder, or those that its files have if that is more.

        They have more while a media worker writes files, for which nothing can be reserved before.
        """
        return max(self._reserved[folder], _measure_files(folder))

    def _remove_stale_dirs(self) -> None:
        for folder in self._root.iterdir():
            owner = folder.name.partition("-")[0]
            if owner.isdecimal() and not _is_process_alive(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)


def _measure_files(folder: Path) -> int:
    size = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # a worker has removed it meanwhile
                size += os.lstat(os.path.join(at, name)).st_size  # noqa: PTH118 - as os.walk has it
    return size


def _is_process_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
