"""Pages of lists: their size, and tokens that say where to go on."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from taskreel_local.emulators.cloudtasks.api_errors import invalid
from taskreel_local.emulators.cloudtasks.clock import SECOND

T = TypeVar("T")

_TOKEN_LIFETIME = 7200 * SECOND
"""A token is good for two hours (ListQueues and ListTasks, client 2.26)."""


def page_size(asked: int, most: int) -> int:
    """Zero is the maximum, as is anything above it."""
    if asked < 0:
        raise invalid("The page size cannot be negative.")
    return min(asked or most, most)


def cut(
    items: Iterable[T], size: int, place: Callable[[T], str | int], scope: str, now: int
) -> tuple[list[T], str]:
    """The next `size` items and the token for those behind them, empty at the end."""
    page = list(islice(items, size + 1))
    if len(page) <= size:
        return page, ""
    page.pop()
    return page, _token(place(page[-1]), scope, now)


def _token(place: str | int, scope: str, now: int) -> str:
    text = json.dumps([place, scope, now + _TOKEN_LIFETIME], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def resume(token: str, scope: str, start: T, now: int) -> T:
    """Where a token says to go on; `scope` (parent, filter) must be what the token was given for."""
    if not token:
        return start
    try:
        place, given, until = json.loads(
            base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        )
    except (ValueError, TypeError, binascii.Error):
        raise invalid("The page token is invalid.") from None
    if given != scope or type(place) is not type(start) or not isinstance(until, int):
        raise invalid(
            "The page token is for another request: parent and filter must stay the same."
        )
    if until < now:
        raise invalid("The page token has expired.")
    return place
