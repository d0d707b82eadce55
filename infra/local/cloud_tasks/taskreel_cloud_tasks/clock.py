"""The engine's time: the machine's clock, or a virtual clock that a test moves."""

# ruff: noqa: D102 - the contract of `now` and `call_at` is stated once, at `Clock`
from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Protocol

SECOND = 1_000_000
"""Microseconds."""

_LONGEST_S = 86_400.0
"""Longest timer in seconds: event loops limit the delay, so longer waits are split into days."""


class Timer(Protocol):
    """A pending call."""

    def cancel(self) -> None:
        """Cancel the call; harmless after it was made."""


class Clock(Protocol):
    """The engine's only source of time, in microseconds since 1970."""

    def now(self) -> int:
        """Return microseconds since 1970."""

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` at `when`.

        It may come early or late: the callee checks the clock again.
        """


class RealClock:
    """The machine's time, with timers of the running event loop."""

    def now(self) -> int:
        return time.time_ns() // 1000

    def call_at(self, when: int, callback: Callable[[], None]) -> Timer:
        delay = min(max(0.0, (when - self.now()) / SECOND), _LONGEST_S)
        return asyncio.get_running_loop().call_later(delay, callback)


class VirtualTimer:
    """A timer of the virtual clock."""

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
    """A clock that stands still until `run_next` moves it to its next timer. Deterministic."""

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
        """Return the time of the next timer, None if there is none."""
        while self._timers and self._timers[0].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0].when if self._timers else None

    def run_next(self, until: int) -> bool:
        """Move to the next timer due by `until`, call it and return True.

        Without one, move to `until` and return False.
        """
        due = self.next_at()
        if due is None or due > until:
            self._now = max(self._now, until)
            return False
        timer = heapq.heappop(self._timers)
        self._now = max(self._now, timer.when)
        timer.callback()
        return True
