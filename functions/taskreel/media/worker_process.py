"""Inside a worker process: its limits, and how a result, an error or progress travels back."""

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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

NICENESS = 3
_FRACTION = struct.Struct("d")


@dataclass(frozen=True, slots=True)
class Returned(Generic[T]):
    """The function's result."""

    value: T


@dataclass(frozen=True, slots=True)
class Raised:
    """The function's error taken apart: an exception whose constructor wants keywords cannot be unpickled as it is."""

    kind: type[Exception]
    args: tuple[Any, ...]
    state: dict[str, Any]

    @classmethod
    def of(cls, error: Exception) -> Raised:
        """Keep class, message, code and details, and the worker's traceback as a note."""
        error.add_note("".join(traceback.format_exception(error)))
        raised = cls(type(error), error.args, dict(error.__dict__))
        try:
            pickle.loads(pickle.dumps(raised)).error()  # noqa: S301  # our own bytes
        except Exception:  # noqa: BLE001  # anything may be wrong with a foreign exception
            return cls(
                RuntimeError, (f"{type(error).__name__}: {error}",), {"__notes__": error.__notes__}
            )
        return raised

    def error(self) -> Exception:
        """The error as it was raised."""
        error = self.kind.__new__(self.kind, *self.args)
        error.__dict__.update(self.state)
        return error


def start_worker(memory_mb: int) -> None:
    """Bind this process to its limits; every worker starts with it."""
    signal.signal(
        signal.SIGTERM, signal.SIG_DFL
    )  # a handler in Python would wait for a codec that hangs in C
    os.nice(NICENESS)  # the server that waits for us answers its callers first
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(
                "500"
            )  # out of memory: us before the server
        limit = _data_bytes() + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def run_function(
    function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any], progress: Path | None
) -> Returned[T] | Raised:
    """Call the function; MemoryError passes as it is."""
    if progress is not None:
        kwargs = {**kwargs, "on_progress": lambda fraction: _write_progress(progress, fraction)}
    try:
        return Returned(function(*args, **kwargs))
    except MemoryError:
        raise MemoryError from None
    except Exception as error:  # noqa: BLE001  # the caller sees it, whatever it is
        return Raised.of(error)


def read_progress(path: Path) -> float:
    """The fraction done that the worker wrote last, 0 before the first."""
    data = path.read_bytes()
    return float(_FRACTION.unpack(data)[0]) if len(data) == _FRACTION.size else 0.0


def _die_with_parent() -> None:
    """No orphan goes on encoding after a kill -9 of the server."""
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


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process now (VmData of proc(5), in kB)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
