"""The processes of one contender: started together, their CPU time and memory read as one, stopped together."""

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


class BenchError(Exception):
    """This measurement cannot be made; the message says why, or what to install. The others go on."""


class Tree:
    """What `start` starts, and whatever those processes start in turn. Their output goes to `log`."""

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
        """Run `command` with `environ` and nothing else set."""
        process = psutil.Popen(
            list(command),
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._started.append(process)

    def check(self) -> None:
        """Raises BenchError when a started process has ended."""
        for process in self._started:
            if process.poll() is not None:
                raise BenchError(
                    f"a server ended with status {process.returncode}{self.last_words()}"
                )

    def last_words(self) -> str:
        """The end of the log, to go behind a message."""
        said = self.log.read_text(errors="replace").strip()
        return f": {said.splitlines()[-1][-300:]}" if said else ", and said nothing"

    def cpu_seconds(self) -> float:
        """User and system time of all of them, children that have ended included."""
        return self._sum(lambda process: sum(process.cpu_times()[:4]))

    def memory_mb(self) -> float:
        """Resident memory of all of them; a page that two share counts twice."""
        return self._sum(lambda process: process.memory_info().rss) / _MEGABYTE

    def stop(self) -> None:
        """Ask each to end, the last started first; then those that they left behind; insist with the rest."""
        everything = list(self._processes())
        for started in reversed(self._started):
            with contextlib.suppress(psutil.NoSuchProcess):
                started.terminate()
        psutil.wait_procs(self._started, timeout=_STOP_SECONDS)
        for end in (psutil.Process.terminate, psutil.Process.kill):
            _, left = psutil.wait_procs(everything, timeout=_LEAVE_SECONDS)
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    end(process)
        self._log.close()

    def _processes(self) -> Iterator[psutil.Process]:
        for process in self._started:
            with contextlib.suppress(psutil.NoSuchProcess):
                yield process
                yield from process.children(recursive=True)

    def _sum(self, read: Callable[[psutil.Process], float]) -> float:
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() != "java":  # Google's emulator stands for what somebody else runs
                    total += read(process)
        return total


class Peak:
    """`with Peak(tree) as peak:` the most memory seen meanwhile, in `peak.megabytes`."""

    def __init__(self, tree: Tree) -> None:
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
    """The environment without what would change a contender: settings of Taskreel, bytecode switched off."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
        if name in os.environ
    }
    return {**kept, **more}


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(seconds: float, what: str, tree: Tree) -> Iterator[None]:
    """Yields every few milliseconds until the caller breaks off; BenchError when the time is up or a server ends."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        tree.check()
        yield
        time.sleep(0.01)
    raise BenchError(f"{what} took longer than {seconds:.0f} s{tree.last_words()}")
