"""Folders for runs to write into. One that a run has left empty serves the next: making and removing is what costs.

A folder's name begins with the process it belongs to; those of processes that were killed are removed by the next.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path


class Scratch:
    """Folders under `root`, this process's own."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._free: list[Path] = []
        self._swept = False

    def take(self) -> Path:
        """An empty folder."""
        if self._free:
            return self._free.pop()
        self._root.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            self._sweep()
        return Path(tempfile.mkdtemp(dir=self._root, prefix=f"{os.getpid()}-"))

    def _sweep(self) -> None:
        for folder in self._root.iterdir():
            owner = folder.name.partition("-")[0]
            if owner.isdecimal() and not _alive(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)

    async def give_back(self, folder: Path) -> None:
        """The run has ended: whatever it left there goes."""
        if next(folder.iterdir(), None) is None:  # noqa: ASYNC240 - takes microseconds
            self._free.append(folder)
        else:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    def clear(self) -> None:
        """Remove the folders that wait for another run."""
        while self._free:
            shutil.rmtree(self._free.pop(), ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
