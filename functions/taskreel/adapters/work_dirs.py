"""Work folders of runs on the local disk, reused while they are empty: creating one costs time.

A folder's name begins with the id of its process. Folders of processes that were killed are removed
when another process creates its first one.

On Cloud Run the disk is the instance's memory, so the bytes in all folders are bounded. Room for
downloads is reserved before they are written; what media workers write is counted as it grows.

Room is given in turn: what a refused job needs is promised to it until it has come back, so that
small jobs that arrive meanwhile cannot delay a large one for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from taskreel.domain.record import Record

#: How long room is promised to a refused job. It is tried again after at most 20 seconds, perhaps
#: in another instance, so a promise does not last much longer.
_PROMISE_SECONDS = 30.0


class _Promise(Record):
    """The room that a refused job needs, and the time until which it is promised."""

    size: int
    until: float


class WorkDirPool:
    """`WorkDirs` below `root`, with room for `max_bytes` in all folders (None: no limit).

    `clock` gives seconds, from any start.
    """

    def __init__(
        self,
        root: Path,
        max_bytes: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._clock = clock
        self._jobs: dict[Path, str] = {}
        #: By job, in the order in which they were first refused.
        self._promises: dict[str, _Promise] = {}
        #: The folders in use, and the bytes reserved in each.
        self._reserved: dict[Path, int] = {}
        self._unused: list[Path] = []
        self._is_closed = False
        self._removed_stale = False

    def acquire(self, job_id: str, /) -> Path:
        """Return an empty folder for a run of the job, until it is released."""
        folder = self._unused.pop() if self._unused else self._create_folder()
        self._reserved[folder] = 0
        self._jobs[folder] = job_id
        return folder

    def reserve(self, folder: Path, size: int, /, *, required: bool = False) -> bool:
        """Reserve room for `size` more bytes in a folder; False when there is none."""
        wanted = self._reserved[folder] + size
        if not required and not self._has_room(folder, size):
            until = self._clock() + _PROMISE_SECONDS
            self._promises[self._jobs[folder]] = _Promise(wanted, until)
            return False
        self._reserved[folder] = wanted
        return True

    def _has_room(self, folder: Path, size: int) -> bool:
        if self._max_bytes is None:
            return True
        taken = sum(map(self._count_taken, self._reserved))
        # A job that has begun goes on: its room is free again when it ends.
        if not self._reserved[folder]:
            taken += self._count_promised_before(self._jobs[folder])
        return taken + size <= self._max_bytes

    def _count_promised_before(self, job_id: str) -> int:
        """The bytes promised to the jobs that were refused before this one was."""
        now = self._clock()
        self._promises = {job: one for job, one in self._promises.items() if one.until > now}
        running = {self._jobs[folder] for folder, size in self._reserved.items() if size}
        earlier = itertools.takewhile(lambda job: job != job_id, self._promises)
        return sum(self._promises[job].size for job in earlier if job not in running)

    async def release(self, folder: Path, /) -> None:
        """End the use of a folder: an empty one is reused, any other is deleted with its files.

        A thread does it, and makes the folder of a later run in its place: on a disk that is busy
        each of these calls may take as long as a hundred requests. It goes on if the caller is
        cancelled: files that nothing deletes would take room that is counted as free.
        """
        await asyncio.shield(self._release(folder))

    async def _release(self, folder: Path) -> None:
        is_reusable = False
        try:
            is_reusable = await asyncio.to_thread(self._renew_folder, folder)
        finally:
            # Only now: until its files are deleted, the room is taken.
            wanted = self._reserved.pop(folder, 0)
            job_id = self._jobs.pop(folder, "")
            promise = self._promises.get(job_id)
            if promise is not None and wanted >= promise.size:
                del self._promises[job_id]  # it had its turn
            if is_reusable:
                self._unused.append(folder)

    def close(self) -> None:
        """Delete the folders that wait for reuse."""
        self._is_closed = True
        while self._unused:
            shutil.rmtree(self._unused.pop(), ignore_errors=True)

    def _renew_folder(self, folder: Path) -> bool:
        """True if the folder may be reused; else it is deleted, and another waits for use."""
        with contextlib.suppress(OSError):  # a full disk: the run that needs one reports it
            if not self._is_closed and next(folder.iterdir(), None) is None:
                return True
            shutil.rmtree(folder, ignore_errors=True)
            if not self._is_closed:
                self._unused.append(self._create_folder())
        return False

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
