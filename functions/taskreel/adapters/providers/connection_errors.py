"""Causes of a request without an answer: the provider's, this instance's, or unknown."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from datetime import timedelta

import httpx

from taskreel.domain.errors import RateLimitedError

#: This process or its machine has no more sockets, ports or memory: no fault of the provider's.
_SHORTAGES = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.EADDRNOTAVAIL,
    }
)
#: An instance without a free connection tries again after this time, or another does.
_SHORTAGE_WAIT = timedelta(seconds=10)


def build_shortage_error(provider: str) -> RateLimitedError:
    """The error of a request that was not sent for want of a connection: a wait, without blame."""
    return RateLimitedError(
        f"No connection to {provider} is free on this instance; nothing was sent",
        code="no_connection_free",
        retry_after=_SHORTAGE_WAIT,
        provider=provider,
    )


def is_shortage(error: BaseException) -> bool:
    """True if this instance had no connection left for the request, which was not sent."""
    return any(
        isinstance(one, httpx.PoolTimeout) or (isinstance(one, OSError) and one.errno in _SHORTAGES)
        for one in _list_causes(error)
    )


def is_refusal(error: BaseException) -> bool:
    """True if the provider's machine refused the connection: that is an answer of its own."""
    return any(isinstance(one, ConnectionRefusedError) for one in _list_causes(error))


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it; httpx and anyio wrap the socket's own."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        pending += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
