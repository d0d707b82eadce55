"""Media workers of the tests' worlds: real processes, whose work virtual time waits for."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from taskreel.media.workers import WorkerPool

if TYPE_CHECKING:
    from pebble import ProcessPool

T = TypeVar("T")
#: No work in these tests takes that long; a worker that hangs fails the test.
WORKER_SECONDS = 120.0


class WatchedWorkers(WorkerPool):
    """The real worker processes, watched, since virtual time must wait for their work.

    A world that ends leaves its idle ones to the next with the same limits: starting and stopping
    one takes longer than most tests. Those that were busy are killed, as everywhere.
    """

    #: The idle workers of ended worlds, by the limits of a worker; pebble ends them at exit.
    _spare: ClassVar[dict[tuple[int, int], list[ProcessPool]]] = defaultdict(list)

    busy = 0
    _done: asyncio.Event | None = None

    def __init__(self, **limits: Any) -> None:
        super().__init__(**limits)
        self._idle = self._spare.pop(self._limits, [])
        self._started = set(self._idle)

    @property
    def _limits(self) -> tuple[int, int]:
        return self._tasks_per_worker, self._memory_mb

    async def run(self, function: Callable[..., T], /, *args: Any, **options: Any) -> T:
        self.busy += 1
        try:
            return await super().run(function, *args, **options)
        finally:
            self.busy -= 1
            if self._done is not None:
                self._done.set()

    def close(self) -> None:
        self._spare[self._limits] += self._idle
        self._started -= set(self._idle)
        self._idle = []
        super().close()

    async def one_done(self) -> None:
        self._done = asyncio.Event()
        async with asyncio.timeout(WORKER_SECONDS):
            await self._done.wait()
