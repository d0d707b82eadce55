"""`Clock` of the services over the engine's virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from taskreel.ports import Timer
from taskreel_cloud_tasks.clock import SECOND, VirtualClock


class LoopTimer:
    """A call on the event loop, as the machine's clock makes it, at a time of the virtual clock.

    A test may move the clock from outside the loop.
    """

    def __init__(self, clock: VirtualClock, seconds: float, callback: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._callback = callback
        self._cancelled = False
        self._timer = clock.call_at(clock.now() + round(seconds * SECOND), self._ring)

    def cancel(self) -> None:
        self._cancelled = True
        self._timer.cancel()

    def _ring(self) -> None:
        self._loop.call_soon(self._call)

    def _call(self) -> None:
        if not self._cancelled:
            self._callback()


class VirtualTime:
    """`Clock` of the services over the engine's virtual clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now() / SECOND, UTC)

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
        return LoopTimer(self.clock, seconds, callback)
