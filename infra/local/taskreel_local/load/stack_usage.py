"""Memory, descriptors and processor time of a stack's processes on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import psutil

from taskreel_local.load.load_samples import Usage

_MEGABYTE = 1 << 20


class StackUsage:
    """The processes of the stack on a data folder, however it was started."""

    def __init__(self, data: Path) -> None:
        self._data = str(data.absolute())
        self._found: Sequence[psutil.Process] = ()
        #: The newest times of every process, those that have ended too: else the sum would fall
        #: when a media worker ends.
        self._seconds: dict[psutil.Process, float] = {}

    def measure(self, at: float) -> Usage | None:
        """Measure them now; None if none is found. Google's emulators are not counted."""
        roots = [process for process in self._found if process.is_running()]
        if not roots:
            roots = self._found = self._find_roots()
        if not roots:
            return None
        processes = {process.pid: process for process in roots}
        for root in roots:
            with contextlib.suppress(psutil.Error):
                processes |= {child.pid: child for child in root.children(recursive=True)}
        megabytes, descriptors = 0.0, 0
        for process in processes.values():
            with contextlib.suppress(psutil.Error):
                if process.name() == "java":
                    continue
                times = process.cpu_times()
                self._seconds[process] = times.user + times.system
                megabytes += process.memory_info().rss / _MEGABYTE
                descriptors += process.num_fds()
        seconds = sum(self._seconds.values())
        return Usage(at=at, megabytes=megabytes, descriptors=descriptors, cpu_seconds=seconds)

    def _find_roots(self) -> list[psutil.Process]:
        """The processes of `taskreel dev --data FOLDER`."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if "dev" in words and self._names_data(process, words):
                    found.append(process)
        return found

    def _names_data(self, process: psutil.Process, words: Sequence[str]) -> bool:
        """True if the command runs on this folder: named, or the default of its own folder."""
        here = Path(process.cwd())
        if "--data" in words[:-1]:
            return str(here / words[words.index("--data") + 1]) == self._data
        return str(here / ".taskreel") == self._data
