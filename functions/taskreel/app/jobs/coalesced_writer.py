"""A writer that merges concurrent requests for a write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class CoalescedWriter:
    """Coalesces concurrent saves: callers that arrive during a write share the next one."""

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        self._write = write
        self._one_at_a_time = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return when a write that began after the call has ended. Raises what that write raises.

        The write goes on when a caller is cancelled, since other callers may share it.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._write_once())
        await asyncio.shield(self._next)

    async def _write_once(self) -> None:
        async with self._one_at_a_time:
            # From here on the write reads the state: later callers need the next one.
            self._next = None
            await self._write()
