"""The queues of a server that owns store and queues: recovered at the start, then swept."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import datetime, timedelta

from taskreel import wiring
from taskreel.adapters.local.memory_tasks import MemoryTasks
from taskreel.app.queues.pause_queue import restore_pauses
from taskreel.app.worker.expiry import remove_expired
from taskreel.app.worker.recovery import recover_deliveries, recover_jobs
from taskreel.app.worker.sweep import sweep_jobs
from taskreel.domain.errors import StoreError

log = logging.getLogger(__name__)

#: In the cloud, Cloud Scheduler calls the sweep every minute.
SWEEP_SECONDS = 5.0
#: In the cloud, the time to live of documents and the lifecycle of the bucket do this.
REMOVAL_INTERVAL = timedelta(hours=1)
_RETRY_SECONDS = 0.5


class OwnQueues:
    """Recovers and sweeps beside the server, until it is stopped."""

    def __init__(self) -> None:
        self._work: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if the queues are in this process; do nothing if they are Cloud Tasks'."""
        services = wiring.services()
        if not isinstance(services.tasks, MemoryTasks):
            return
        # Imports the processor, and releases the leases when the server has to stop.
        wiring.processor()
        started_at = services.clock.now()
        self._work = asyncio.create_task(self._recover_and_sweep(started_at))

    async def stop(self) -> None:
        """End the sweep."""
        if self._work is not None:
            self._work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._work
            self._work = None

    async def _recover_and_sweep(self, started_at: datetime) -> None:
        services = wiring.services()
        while True:
            try:
                # Before any task: a queue that an administrator has paused starts paused.
                await restore_pauses(services)
                recovered = await recover_jobs(services, started_at)
                await recover_deliveries(services, started_at)
                break
            except StoreError as error:
                log.warning(
                    "the unfinished jobs cannot be read; trying again",
                    extra={"action": "recovery_failed", "error": error.message},
                )
                await asyncio.sleep(_RETRY_SECONDS)
        if recovered:
            log.info(
                "unfinished jobs are back on their queues",
                extra={"action": "recovered", "jobs": recovered},
            )
        next_removal = services.clock.now()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await sweep_jobs(services)
                if services.clock.now() >= next_removal:
                    next_removal = services.clock.now() + REMOVAL_INTERVAL
                    await remove_expired(services)
            except StoreError as error:
                log.warning(
                    "the sweep could not use the store; the next one tries again",
                    extra={"action": "sweep_failed", "error": error.message},
                )
            except Exception:
                log.exception("the sweep crashed", extra={"action": "sweep_crashed"})
