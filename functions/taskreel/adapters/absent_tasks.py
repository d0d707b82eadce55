"""The queues of a process that sends no tasks: the gateway has no key to put on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from taskreel.domain.errors import QueueError
from taskreel.ports import QueueStats, Task


class AbsentTasks:
    """`TaskQueue` of `TASKS_URL=none:`, which refuses every call."""

    def list_locations(self) -> Sequence[str]:
        return ()

    async def enqueue(self, _task: Task, /) -> None:
        _refuse_call()

    async def enqueue_many(self, _tasks: Sequence[Task], /) -> None:
        _refuse_call()

    async def pause(self, _queue: str, /) -> None:
        _refuse_call()

    async def resume(self, _queue: str, /) -> None:
        _refuse_call()

    async def purge(self, _queue: str, /) -> None:
        _refuse_call()

    async def stats(self, _queue: str, /) -> QueueStats:
        _refuse_call()

    async def close(self) -> None:
        """Nothing is open."""


def _refuse_call() -> NoReturn:
    raise QueueError(
        "This process has no queues: TASKS_URL is `none:`, which is for the gateway alone."
    )
