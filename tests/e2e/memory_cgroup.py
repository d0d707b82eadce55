"""A memory limit of the kernel for a tree of processes: a control group, version 1 or 2."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from installed_programs import skip_or_fail

_ROOT = Path("/sys/fs/cgroup")
#: A read-only file system, a right that even root of a container lacks, and no such controller.
_FORBIDDEN = frozenset({errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT})


@dataclass(frozen=True, slots=True)
class MemoryCgroup:
    """A control group with a limit on memory, files in tmpfs included."""

    folder: Path
    is_v2: bool

    @property
    def enter_command(self) -> list[str]:
        """A command that runs, within the group, the command that is appended to it."""
        enter = f'echo $$ > {self.folder}/cgroup.procs && exec "$@"'
        return ["/bin/sh", "-c", enter, "sh"]

    @property
    def oom_kills(self) -> int:
        """The processes that the kernel has killed for the limit; failed charges with version 1."""
        file = "memory.events" if self.is_v2 else "memory.oom_control"
        words = (self.folder / file).read_text().split()
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0

    @property
    def peak_bytes(self) -> int:
        """The most memory that the group has used."""
        file = "memory.peak" if self.is_v2 else "memory.max_usage_in_bytes"
        return int((self.folder / file).read_text())


@contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[MemoryCgroup]:
    """Create a group with a limit.

    The test is skipped where the machine forbids it: an ordinary user, or a container whose
    control groups are read-only, cannot make one, and no test can change that. Where root may write
    there, CI fails instead of passing without the test.
    """
    is_v2 = (_ROOT / "cgroup.controllers").exists()
    parent = _ROOT if is_v2 else _ROOT / "memory"
    folder = parent / f"taskreel-test-{os.getpid()}"
    try:
        folder.mkdir()
        name = "memory.max" if is_v2 else "memory.limit_in_bytes"
        (folder / name).write_text(str(limit_bytes))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        reason = f"a memory cgroup cannot be made: {error}"
        if os.geteuid() == 0 and error.errno not in _FORBIDDEN:
            skip_or_fail(reason)
        pytest.skip(reason)
    try:
        yield MemoryCgroup(folder, is_v2)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
