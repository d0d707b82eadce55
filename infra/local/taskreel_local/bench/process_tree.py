"""The processes of one contender: started, measured and stopped as one."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

_STOP_SECONDS = 15.0
_LEAVE_SECONDS = 2.0
_SAMPLE_SECONDS = 0.25
_MEGABYTE = 1 << 20


class BenchmarkError(Exception):
    """This benchmark cannot run; the message says why, or what to install. Others continue."""


class NoAnswerError(BenchmarkError):
    """A server has not answered, or says that it cannot at this time: another try may succeed."""


class ProcessTree:
    """The processes started with `start`, and their children. Their output goes to `log`."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._log: IO[bytes] = log.open("ab")
        self._started: list[psutil.Popen] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(
        self, command: Sequence[str], *, folder: Path | None = None, environ: Mapping[str, str]
    ) -> None:
        """Start `command` with exactly the environment `environ`."""
        process = psutil.Popen(
            list(command),
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._started.append(process)

    def check_running(self) -> None:
        """Raise BenchmarkError if a started process has ended."""
        for process in self._started:
            if process.poll() is not None:
                raise BenchmarkError(
                    f"a server ended with status {process.returncode}{self.last_log_line()}"
                )

    def last_log_line(self) -> str:
        """Return the last line of the log, to append to a message."""
        said = self.log.read_text(errors="replace").strip()
        return f": {said.splitlines()[-1][-300:]}" if said else ", and logged nothing"

    def cpu_seconds(self) -> float:
        """Return user and system time of all processes, including children that have ended."""
        return self._sum_over_processes(lambda process: sum(process.cpu_times()[:4]))

    def live_cpu_ms(self) -> float:
        """Return the processor time of the processes that run now, to the microsecond."""
        return self._sum_over_processes(_read_cpu_ms)

    def memory_mb(self) -> float:
        """Return the resident memory of all processes; shared pages count repeatedly."""
        return self._sum_over_processes(lambda process: process.memory_info().rss) / _MEGABYTE

    def stop(self) -> None:
        """Terminate the processes in reverse order, then their remaining children; then kill."""
        everything = list(self._list_processes())
        for started in reversed(self._started):
            with contextlib.suppress(psutil.NoSuchProcess):
                started.terminate()
        psutil.wait_procs(self._started, timeout=_STOP_SECONDS)
        for end in (psutil.Process.terminate, psutil.Process.kill):
            _, remaining = psutil.wait_procs(everything, timeout=_LEAVE_SECONDS)
            for process in remaining:
                with contextlib.suppress(psutil.NoSuchProcess):
                    end(process)
        # A killed process may still write into the folder that its caller removes.
        psutil.wait_procs(everything, timeout=_LEAVE_SECONDS)
        self._log.close()

    def _list_processes(self) -> Iterator[psutil.Process]:
        for process in self._started:
            with contextlib.suppress(psutil.NoSuchProcess):
                yield process
                yield from process.children(recursive=True)

    def _sum_over_processes(self, read: Callable[[psutil.Process], float]) -> float:
        total = 0.0
        for process in self._list_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() != "java":  # Google's emulator stands for a managed service
                    total += read(process)
        return total


def _read_cpu_ms(process: psutil.Process) -> float:
    """The processor time of all threads: `cpu_times` knows it to ten milliseconds."""
    total = 0
    for file in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has ended
            total += int(file.read_text().split()[0])
    return total / 1e6


class PeakMemory:
    """The highest memory use during the block, in `megabytes`."""

    def __init__(self, tree: ProcessTree) -> None:
        self.megabytes = 0.0
        self._tree = tree
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.megabytes = max(self.megabytes, self._tree.memory_mb())
            if self._over.wait(_SAMPLE_SECONDS):
                return


def clean_environ(**more: str) -> dict[str, str]:
    """Return an environment without variables that would change a contender."""
    reused = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
        if name in os.environ
    }
    return {**reused, **more}


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(seconds: float, what: str, tree: ProcessTree) -> Iterator[None]:
    """Yield every few milliseconds until the caller stops.

    Raises BenchmarkError when the time is up or a server ends.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tree.check_running()
        yield
        time.sleep(0.01)
    raise BenchmarkError(f"{what} took longer than {seconds:.0f} s{tree.last_log_line()}")
