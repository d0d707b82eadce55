"""The attempts that are due or running: run them, wait for them, end them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from taskreel_cloud_tasks.clock import VirtualClock
from taskreel_cloud_tasks.dispatcher import QueueDispatcher


async def advance_clock(
    clock: VirtualClock, by: int, dispatchers: Collection[QueueDispatcher], grace_s: float
) -> None:
    """Move the clock by `by` microseconds; run what is due at each stop.

    `dispatchers` is a view: handlers may create and delete queues meanwhile.
    """
    until = clock.now() + by
    await run_due_work(dispatchers, grace_s)
    while clock.run_next(until):
        await run_due_work(dispatchers, grace_s)


async def run_due_work(dispatchers: Collection[QueueDispatcher], grace_s: float) -> None:
    """Run everything that is due now; wait at most `grace_s` seconds for each attempt."""
    while True:
        for _ in range(3):  # a dispatch is started a turn after what makes it due
            await asyncio.sleep(0)
        waiting = await _wait_for_attempts(dispatchers, grace_s)
        if not waiting and not any(each.has_pending_dispatch for each in dispatchers):
            return


async def finish_attempts(dispatchers: Collection[QueueDispatcher], grace_s: float) -> None:
    """Wait `grace_s` seconds for the running attempts, then cancel those that still run."""
    running = [run.task for dispatcher in dispatchers for run in dispatcher.runs if run.task]
    if running:
        _, late = await asyncio.wait(running, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _wait_for_attempts(dispatchers: Collection[QueueDispatcher], grace_s: float) -> bool:
    """Wait once for each running attempt; return False if there was none to wait for."""
    runs = {
        run.task: run
        for dispatcher in dispatchers
        for run in dispatcher.runs
        if run.task is not None and not run.had_grace
    }
    if not runs:
        return False
    _, pending = await asyncio.wait(runs, timeout=grace_s)
    for task, run in runs.items():
        run.had_grace = task in pending
    return True
