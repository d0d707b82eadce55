"""The reserved names of finished tasks, for the de-duplication window."""

from __future__ import annotations

from collections.abc import Callable

_MAX_NAMED = 1_000_000
_MAX_RANDOM = 10_000


class Tombstones:
    """Reserves names given by callers for the whole window, random ones among the last 10,000.

    Google's window is "up to" 24 hours, an upper bound, so an early release is allowed (quotas
    page, 2026-04-08).
    """

    def __init__(self, window: int, forget: Callable[[str], None], most: int = _MAX_NAMED) -> None:
        self.window = window
        """Length of new reservations; the dispatcher changes it with the queue's settings."""
        self._forget = forget
        self._most = most
        self._named: dict[str, int] = {}
        self._random: dict[str, int] = {}

    def add_name(self, task_id: str, now: int, *, named: bool) -> int | None:
        """Reserve a name; return the end of the reservation if it must be persisted."""
        until = now + self.window
        if not named:
            self._random[task_id] = until
            if len(self._random) > _MAX_RANDOM:
                del self._random[next(iter(self._random))]
            return None
        self._named[task_id] = until
        self._drop_oldest(now)
        return until if self.window else None

    def _drop_oldest(self, now: int) -> None:
        """Release names that expired or exceed the limit, in the journal too.

        `_named` is ordered by the end of the reservation.
        """
        while self._named:
            oldest = next(iter(self._named))
            if len(self._named) <= self._most and self._named[oldest] > now:
                return
            del self._named[oldest]
            self._forget(oldest)

    def restore_name(self, task_id: str, until: int) -> None:
        """Reserve a name that was loaded from the journal."""
        self._named[task_id] = until

    def is_taken(self, task_id: str, now: int) -> bool:
        """Return True if the name is reserved."""
        until = self._named.get(task_id) or self._random.get(task_id) or 0
        return until > now

    def release_names(self) -> None:
        """Release all names, in the journal too."""
        for task_id in self._named:
            self._forget(task_id)
        self.clear()

    def clear(self) -> None:
        """Forget all names; the journal still has them."""
        self._named.clear()
        self._random.clear()
