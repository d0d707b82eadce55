"""Pages of list results, and the tokens that continue them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from taskreel_cloud_tasks.api_errors import invalid_argument
from taskreel_cloud_tasks.clock import SECOND

T = TypeVar("T")

_TOKEN_LIFETIME = 7200 * SECOND
"""A token is valid for two hours (ListQueues and ListTasks, client 2.26)."""


def page_size(asked: int, most: int) -> int:
    """Return the page size; zero and values above `most` mean `most`.

    Raises ApiError if negative.
    """
    if asked < 0:
        raise invalid_argument("The page size cannot be negative.")
    return min(asked or most, most)


def take_page(
    items: Iterable[T], size: int, place: Callable[[T], str | int], scope: str, now: int
) -> tuple[list[T], str]:
    """Return the next `size` items, and the token of the next page or an empty string."""
    page = list(islice(items, size + 1))
    if len(page) <= size:
        return page, ""
    page.pop()
    return page, _encode_token(place(page[-1]), scope, now)


def _encode_token(place: str | int, scope: str, now: int) -> str:
    text = json.dumps([place, scope, now + _TOKEN_LIFETIME], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def decode_position(token: str, scope: str, start: T, now: int) -> T:
    """Return the position a token continues at, `start` without one. Raises ApiError.

    `scope` (parent and filter) must be the one the token was issued for.
    """
    if not token:
        return start
    try:
        place, given, until = json.loads(
            base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        )
    except (ValueError, TypeError, binascii.Error):
        raise invalid_argument("The page token is invalid.") from None
    if given != scope or type(place) is not type(start) or not isinstance(until, int):
        raise invalid_argument(
            "The page token is for another request: parent and filter must stay the same."
        )
    if until < now:
        raise invalid_argument("The page token has expired.")
    return place
