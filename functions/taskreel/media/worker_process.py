"""The inside of a worker process: its limits, and the way back of results, errors and progress."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import signal
import struct
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from taskreel.domain.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

NICENESS = 3
_FRACTION = struct.Struct("d")


class Returned(Record, Generic[T]):
    """The function's result."""

    value: T


class Raised(Record):
    """A function's error in parts: pickle cannot rebuild one whose constructor takes keywords."""

    kind: type[Exception]
    args: tuple[Any, ...]
    state: dict[str, Any]

    @classmethod
    def from_error(cls, error: Exception) -> Raised:
        """Take class, message, code and details, with the worker's traceback as a note."""
        error.add_note("".join(traceback.format_exception(error)))
        raised = cls(type(error), error.args, dict(error.__dict__))
        try:
            pickle.loads(pickle.dumps(raised)).rebuild_error()  # noqa: S301  # our own bytes
        except Exception:  # noqa: BLE001  # anything may be wrong with a foreign exception
            return cls(
                RuntimeError, (f"{type(error).__name__}: {error}",), {"__notes__": error.__notes__}
            )
        return raised

    def rebuild_error(self) -> Exception:
        """Return the error as it was raised."""
        error = self.kind.__new__(self.kind, *self.args)
        error.__dict__.update(self.state)
        return error


def start_worker(memory_mb: int) -> None:
    """Set the limits of this process; every worker starts with it."""
    # A handler in Python would run only after a codec that hangs in C returns: never.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(NICENESS)  # requests to the server come before media work
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            # Where the machine runs out of memory, the kernel kills a worker, not the server.
            Path("/proc/self/oom_score_adj").write_text("500")
        # RLIMIT_DATA and not RLIMIT_AS: threads reserve address space that they never use.
        limit = _read_data_bytes() + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def run_function(
    function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], progress: Path | None
) -> Returned[T] | Raised:
    """Call the function and return its result or error; MemoryError is raised."""
    if progress is not None:
        kwargs = {**kwargs, "on_progress": lambda fraction: _write_progress(progress, fraction)}
    try:
        return Returned(function(*args, **kwargs))
    except MemoryError:
        raise MemoryError from None  # without a traceback: its frames hold the memory
    except Exception as error:  # noqa: BLE001  # the caller sees it, whatever it is
        return Raised.from_error(error)


def read_progress(path: Path) -> float:
    """Return the last fraction that the worker has written, 0 before the first."""
    data = path.read_bytes()
    return float(_FRACTION.unpack(data)[0]) if len(data) == _FRACTION.size else 0.0


def _die_with_parent() -> None:
    """End this process with its server: after a kill -9 of that, no worker goes on encoding."""
    from multiprocessing import (  # the server imports this module: cold start
        connection,
        parent_process,
    )

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def _write_progress(path: Path, fraction: float) -> None:
    with path.open("r+b") as file:
        file.write(_FRACTION.pack(fraction))


def _read_data_bytes() -> int:
    """Return the memory that RLIMIT_DATA counts now (VmData of proc(5), in kB)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
