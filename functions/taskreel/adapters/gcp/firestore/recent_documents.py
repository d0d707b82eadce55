"""The documents that this process has leased, as it wrote them last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from taskreel.adapters.gcp.firestore.buffer import Document, Key
from taskreel.adapters.gcp.firestore.group_overlay import KnownResult

#: Tells by collection and content if only this process is expected to write a document.
IsLeased = Callable[[str, Mapping[str, Any]], bool]

#: The most documents that are remembered, and the largest.
_MOST_REMEMBERED = 500
_LARGEST_REMEMBERED_BYTES = 64 * 1024


class RecentDocuments:
    """The documents that this process has leased, as it wrote them last.

    A run writes its job again and again, and normally no other writer does: with the version that
    each commit returns, its next write needs no read.
    """

    def __init__(self, is_leased: IsLeased) -> None:
        self._is_leased = is_leased
        self._results: dict[Key, KnownResult] = {}

    def recall(self, key: Key) -> Document | None:
        """The document, if it is remembered."""
        result = self._results.get(key)
        return None if result is None else result.decode()

    def remember(self, key: Key, result: KnownResult | None) -> None:
        """Replace what is remembered of a document. The least recently written is dropped."""
        self._results.pop(key, None)
        if result is None or result.encoded.bytes > _LARGEST_REMEMBERED_BYTES:
            return
        if self._is_leased(key[0], result.fields):
            self._results[key] = result
            while len(self._results) > _MOST_REMEMBERED:
                del self._results[next(iter(self._results))]

    def forget(self, keys: Iterable[Key]) -> None:
        """Remember nothing of these documents."""
        for key in keys:
            self._results.pop(key, None)
