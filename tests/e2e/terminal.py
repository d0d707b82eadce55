"""A pseudo-terminal in which a command runs, as in a person's window."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from e2e.processes import TASKREEL, environment

_CODES = re.compile(
    r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[PG_][^\x1b]*\x1b\\|[=>()].?)"
)


class Terminal:
    """The window: what was written in it, and its keys."""

    def __init__(self, window: int, process: subprocess.Popen[bytes]) -> None:
        self._window = window
        self.process = process
        self.raw = b""

    @property
    def text(self) -> str:
        """The written text, without codes."""
        return _CODES.sub("", self.raw.decode("utf-8", "replace"))

    def wait_for(self, wanted: str, seconds: float = 60, *, raw: bool = False) -> None:
        """Read until a text was written after the last call of `clear`."""

        def is_written() -> bool:
            return wanted in (self.raw.decode("utf-8", "replace") if raw else self.text)

        self.wait_until(is_written, f"{wanted!r} was not written", seconds)

    def wait_until(self, is_so: Callable[[], bool], fault: str, seconds: float = 60) -> None:
        """Read until something is so."""
        until = time.monotonic() + seconds
        while not is_so():
            if not self._read(until - time.monotonic()):
                raise AssertionError(f"{fault}:\n{self.text[-3000:]}\n{self.raw[-500:]!r}")

    def clear(self) -> None:
        """Forget what was written so far."""
        self.raw = b""

    def press(self, keys: str) -> None:
        """Type keys."""
        os.write(self._window, keys.encode())

    def wait(self, seconds: float = 60) -> int:
        """Read until the command ends; return its exit status."""
        until = time.monotonic() + seconds
        while self._read(until - time.monotonic()):
            pass
        return self.process.wait(60)

    def _read(self, seconds: float) -> bool:
        """Read what is written within so long; False at the end or when nothing was."""
        if not select.select([self._window], [], [], max(0, seconds))[0]:
            return False
        try:
            part = os.read(self._window, 65536)
        except OSError:
            return False  # the command has ended and closed it
        self.raw += part
        return bool(part)


@contextmanager
def terminal(*words: str, columns: int = 140, lines: int = 40, **more: str) -> Iterator[Terminal]:
    """Run a `taskreel` command in a window of this size."""
    window, inner = os.openpty()
    fcntl.ioctl(window, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    passed = environment(TERM="xterm-256color", **more)
    del passed["COLUMNS"]
    process = subprocess.Popen(
        # `--ctty`: it is the command's own terminal, as a window's is.
        ["setsid", "--ctty", "--wait", str(TASKREEL), *words],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env=passed,
    )
    os.close(inner)
    try:
        yield Terminal(window, process)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        os.close(window)
