"""Servers and folders that all processes of a test run share: each takes seconds to make."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import pytest

T = TypeVar("T")


@contextmanager
def share_in_run(
    factory: pytest.TempPathFactory, name: str, start: Callable[[], AbstractContextManager[T]]
) -> Iterator[T]:
    """Yield what `start` yields, a value that JSON holds, in each process that asks for the name.

    The first one starts it, and at the end of its own block waits until no other uses it. A process
    that dies uses it no longer: the system takes its locks away.
    """
    folder = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent  # each process has a part of the run's folder
    found = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("wb") as lock, (folder / f"{name}.used").open("wb") as used:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fcntl.flock(used, fcntl.LOCK_SH)  # while the process that started it ends it, this waits
        if found.exists():
            fcntl.flock(lock, fcntl.LOCK_UN)
            yield json.loads(found.read_text("utf-8"))
            return
        with start() as value:
            found.write_text(json.dumps(value), "utf-8")
            fcntl.flock(lock, fcntl.LOCK_UN)
            try:
                yield value
            finally:
                fcntl.flock(used, fcntl.LOCK_EX)
                found.unlink()
