"""The process's file descriptors: the limit, and errors that only say that this machine ran out.

A shortage of ours is no answer of a handler: an attempt that it ends is not counted and is made
again (`QueueDispatcher`), so that no task uses up its attempts without reaching its handler.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_UNKNOWN_LIMIT = 4096
"""Descriptors to count on where the system has no limit, or does not tell it (Windows)."""


def raise_limit() -> None:
    """Raise the process's limit of open files to the most that the system allows it."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS reports no hard limit, but accepts no more than OPEN_MAX.
    for wanted in (hard, 65_536, 10_240):
        if wanted != resource.RLIM_INFINITY and soft < wanted:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return


def connection_limit() -> int:
    """Return how many connections to handlers may be open at once.

    A quarter of the limit, at least 48, stays free for callers, the servers and files.
    """
    limit = _current_limit()
    return max(limit - max(limit // 4, 48), 1)


def _current_limit() -> int:
    if sys.platform == "win32":
        return _UNKNOWN_LIMIT
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNKNOWN_LIMIT if soft == resource.RLIM_INFINITY else soft


def is_own_shortage(error: BaseException, *, reachable: bool) -> bool:
    """Return True if a connection failed because this process or machine has run out of something.

    `reachable` says that the address took connections before: "cannot assign requested address"
    then means that no local port is free, and otherwise that there is no way to the address.
    """
    number = getattr(error, "errno", None)
    if number in _SHORTAGES:
        return True
    if number == errno.EADDRNOTAVAIL:
        return reachable
    # A name that cannot be resolved, or several addresses that failed: the error has no number of
    # the system, so check if there is a descriptor now.
    named = isinstance(error, socket.gaierror) or str(error).startswith("Multiple exceptions")
    return named and not _has_free_descriptor()


def _has_free_descriptor() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in _SHORTAGES
    return True
