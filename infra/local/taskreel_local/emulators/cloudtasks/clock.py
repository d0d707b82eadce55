"""Time as the engine sees it: the machine's, or one that a test moves."""

# ruff: noqa: D102 - what `now` and `call_at` do is said once, at `Clock`
from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol

SECOND = 1_000_000
"""Microseconds."""

_LONGEST_S = 86_400.0
"""An event loop counts milliseconds in few bits; a longer wait is taken in days."""


class Timer(Protocol):
    """A pending call."""

    def cancel(self) -> None:
        """Do not call; harmless when it was called."""


class Clock(Protocol):
    """The engine's only source of time."""

    def now(self) -> int:
        """Microseconds since 1970."""

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call at a time; it may come early or late, so whoever is called looks at the clock again."""


class RealClock:
    """The machine's time; timers are the running loop's and cost nothing while they wait."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        delay = min(max(0.0, (when - self.now()) / SECOND), _LONGEST_S)
        return asyncio.get_running_loop().call_later(delay, callback)


class VirtualTimer:
    """An entry of the virtual clock's heap."""

    __slots__ = ("_order", "callback", "cancelled", "when")

    def __init__(self, when: int, order: int, callback: Callable[[], None]) -> None:
        self.when = when
        self._order = order
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def __lt__(self, other: VirtualTimer) -> bool:
        return (self.when, self._order) < (other.when, other._order)


class VirtualClock:
    """Stands still until `run_next` moves it to its next timer; the same calls give the same order."""

    def __init__(self, start: int = 1_767_225_600 * SECOND) -> None:
        self._now = start
        self._timers: list[VirtualTimer] = []
        self._count = 0

    def now(self) -> int:
        return self._now

    def call_at(self, when: int, callback: Callable[[], None]) -> VirtualTimer:
        self._count += 1
        timer = VirtualTimer(when, self._count, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def next_at(self) -> int | None:
        """When the next timer is due, if any waits."""
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0].when if self._timers else None

    def run_next(self, until: int) -> bool:
        """Move to the next timer due by `until` and call it; without one, move to `until` and say False."""
        due = self.next_at()
        if due is None or due > until:
            self._now = max(self._now, until)
            return False
        timer = heapq.heappop(self._timers)
        self._now = max(self._now, timer.when)
        timer.callback()
        return True
