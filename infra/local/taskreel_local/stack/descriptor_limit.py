"""The limit on open files of a process that has many connections."""

from __future__ import annotations

import resource

_MOST_DESCRIPTORS = 65_536


def raise_descriptor_limit() -> int:
    """Raise this process's limit on open files as far as it may; return the new limit.

    A shell's usual limit is 1,024, which as many connections exhaust.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
