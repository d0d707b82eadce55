"""`Clock` of the services over the engine's virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from taskreel.ports import Timer
from taskreel_cloud_tasks.clock import SECOND, VirtualClock


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
        return self.clock.call_at(self.clock.now() + round(seconds * SECOND), callback)
