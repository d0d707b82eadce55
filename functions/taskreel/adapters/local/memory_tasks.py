"""The queues of the dev stack: in the memory of the process that owns the store.

No task is written down. A job that is not finished is the record of its task: at its start the
process puts each of them back on its queue (`app/worker/recovery.py`), so nothing is lost with the
memory. A pause is lost, too; the process restores those that an administrator has ordered
(`app/queues/pause_queue.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from taskreel.adapters.local.memory_queue import Deliver, MemoryQueue
from taskreel.adapters.local.queue_settings import QueueSettings
from taskreel.domain.errors import QueueError
from taskreel.ports import Clock, QueueStats, Task

#: Cloud Tasks refuses tasks that are due later.
_FARTHEST = timedelta(days=30)


_UNTHROTTLED_CONCURRENCY = 100


class MemoryTasks:
    """`TaskQueue` of this process: `deliver` processes a delivery, without a socket in between.

    A queue that is not in `settings` does not exist. `unthrottled` ignores the rates, and lets each
    queue deliver a hundred tasks at once at the least.
    """

    def __init__(
        self,
        settings: Mapping[str, QueueSettings],
        clock: Clock,
        deliver: Deliver,
        *,
        unthrottled: bool = False,
    ) -> None:
        self._clock = clock
        self._queues = {
            name: MemoryQueue(
                name, _widen(each) if unthrottled else each, clock, deliver, unthrottled=unthrottled
            )
            for name, each in settings.items()
        }

    def list_locations(self) -> Sequence[str]:
        return ()

    async def enqueue(self, task: Task, /) -> None:
        self._add_task(task)

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        """Put many tasks on their queues. Raises the first QueueError, after all were tried."""
        errors: list[QueueError] = []
        for task in tasks:
            try:
                self._add_task(task)
            except QueueError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    async def pause(self, queue: str, /) -> None:
        self._find_queue(queue).pause()

    async def resume(self, queue: str, /) -> None:
        self._find_queue(queue).resume()

    async def purge(self, queue: str, /) -> None:
        self._find_queue(queue).purge_tasks()

    async def stats(self, queue: str, /) -> QueueStats:
        return self._find_queue(queue).read_stats()

    async def close(self) -> None:
        """Deliver nothing more. The jobs of the tasks that wait are in the store."""
        for queue in self._queues.values():
            queue.close()

    def _add_task(self, task: Task) -> None:
        queue = self._find_queue(task.queue)
        if task.at is not None and task.at > self._clock.now() + _FARTHEST:
            raise QueueError(
                f"The task of {task.job_id} is due at {task.at:%Y-%m-%d}, which is too far in the "
                f"future: a queue takes tasks up to {_FARTHEST.days} days ahead."
            )
        queue.add_task(task)

    def _find_queue(self, name: str) -> MemoryQueue:
        queue = self._queues.get(name)
        if queue is None:
            raise QueueError(
                f"Queue does not exist: {name!r} is not in infra/queues.yaml. "
                "scripts/declare-queues writes the queues of all job types into it."
            )
        return queue


def _widen(settings: QueueSettings) -> QueueSettings:
    most = max(settings.max_concurrent_dispatches, _UNTHROTTLED_CONCURRENCY)
    return replace(settings, max_concurrent_dispatches=most)
