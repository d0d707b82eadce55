"""A disk that is full for a while, for the processes of a stack whose store is a file."""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from e2e.processes import find_processes


@dataclass
class DiskOutages:
    """Outages of the disk below `data`: no process of the stack can write to a file.

    `find` names the processes, of all of the stack's those that the outage is for. The kernel
    refuses their writes by a limit on the size of files (EFBIG), which processes that are started
    meanwhile inherit. The store then ends its process, as it does on a full disk.
    """

    data: Path
    find: Callable[[Path], list[int]] = find_processes
    has_outage: bool = False
    _timer: threading.Timer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self) -> Iterator[DiskOutages]:
        """End the last outage at the end of the block."""
        try:
            yield self
        finally:
            self.end_outage()

    def begin_outage(self, seconds: float) -> None:
        """Begin an outage that ends after that time, unless it is ended before."""
        self.end_outage()
        self.has_outage = True
        self._limit_files(is_full=True)
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def end_outage(self) -> None:
        """End the outage, if there is one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None
        self._end()

    def _end(self) -> None:
        # Twice: a process that was just being started has the limit of its parent.
        for _ in range(2):
            self._limit_files(is_full=False)
        self.has_outage = False

    def _limit_files(self, *, is_full: bool) -> None:
        with self._lock:
            for process in self.find(self.data):
                with suppress(ProcessLookupError):
                    _, most = resource.prlimit(process, resource.RLIMIT_FSIZE)
                    limit = 0 if is_full else most
                    resource.prlimit(process, resource.RLIMIT_FSIZE, (limit, most))
