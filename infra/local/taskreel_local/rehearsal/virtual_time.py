"""Virtual time for the services: it passes from event to event, as fast as the machine can."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from taskreel.ports import Timer

START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday


class _VirtualTimer:
    __slots__ = ("callback", "cancelled")

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class VirtualTime:
    """`Clock` whose time passes only in `run_next`."""

    def __init__(self) -> None:
        #: Seconds since START.
        self.seconds = 0.0
        self._timers: list[tuple[float, int, _VirtualTimer]] = []
        self._numbers = itertools.count()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float, /) -> None:
        woken = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not woken.done():
                woken.set_result(None)

        timer = self.call_later(seconds, wake)
        try:
            await woken
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], None], /) -> Timer:
        timer = _VirtualTimer(callback)
        at = self.seconds + max(seconds, 0.0)
        heapq.heappush(self._timers, (at, next(self._numbers), timer))
        return timer

    def run_next(self, until: float) -> bool:
        """Move to the next timer that is due by `until` and run it; else to `until`, and False."""
        while self._timers and self._timers[0][0] <= until:
            at, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self.seconds = max(self.seconds, at)
                timer.callback()
                return True
        self.seconds = max(self.seconds, until)
        return False
