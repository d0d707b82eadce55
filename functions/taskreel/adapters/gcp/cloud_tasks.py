"""The task queue on Cloud Tasks. Importing this loads no Google library: the first call does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from taskreel.adapters.gcp.error_advice import Service
from taskreel.adapters.task_target import TaskTarget, await_all
from taskreel.ports import QueueStats, Task

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from taskreel.adapters.gcp.task_queues import TaskQueues

#: Cloud Tasks takes no more tasks in one `BatchCreateTasks`.
_BATCH_SIZE = 100


class CloudTasks:
    """`TaskQueue` over the queues of one project and location.

    `target_url` is the task processor's base URL, `invoker` the service account that may call it.
    Tasks of the queues for which `is_media_queue` is true go to `media_target_url` instead.
    `emulator` is the host:port of a local Cloud Tasks, `endpoint` a host to use instead of Cloud
    Tasks' own. It connects on first use, in the running event loop, and belongs to that loop.
    """

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        project: str,
        location: str,
        target_url: str,
        internal_key: str,
        media_target_url: str | None = None,
        is_media_queue: Callable[[str], bool] = lambda _queue: True,
        invoker: str | None = None,
        emulator: str | None = None,
        endpoint: str | None = None,
        interceptors: Sequence[ClientInterceptor] = (),
    ) -> None:
        self._parent = f"projects/{project}/locations/{location}"
        self._target = TaskTarget(target_url, internal_key)
        self._media_target = media_target_url and TaskTarget(media_target_url, internal_key)
        self._is_media_queue = is_media_queue
        self._invoker = invoker
        self._service = Service(
            name="Cloud Tasks",
            api="cloudtasks.googleapis.com",
            role=(
                "roles/cloudtasks.enqueuer, and roles/iam.serviceAccountUser on the invoker account"
            ),
            provision="scripts/setup-cloud-tasks-queues.sh",
            emulator=emulator,
            endpoint=endpoint,
        )
        self._interceptors = interceptors
        self._queues: TaskQueues | None = None

    async def enqueue(self, task: Task, /) -> None:
        await self._connect().create_task(self._queue_name(task.queue), task)

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        """Put many tasks on their queues, a hundred of one queue in a call.

        Raises the first QueueError, after all were tried.
        """
        by_queue: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            by_queue[task.queue].append(task)
        await await_all(
            self._enqueue_batch(waiting[start : start + _BATCH_SIZE])
            for waiting in by_queue.values()
            for start in range(0, len(waiting), _BATCH_SIZE)
        )

    async def pause(self, queue: str, /) -> None:
        await self._connect().pause_queue(self._queue_name(queue))

    async def resume(self, queue: str, /) -> None:
        await self._connect().resume_queue(self._queue_name(queue))

    async def purge(self, queue: str, /) -> None:
        await self._connect().purge_queue(self._queue_name(queue))

    async def stats(self, queue: str, /) -> QueueStats:
        return await self._connect().read_stats(queue, self._queue_name(queue))

    async def close(self) -> None:
        """Close the connection."""
        if self._queues is not None:
            await self._queues.close()
            self._queues = None

    async def _enqueue_batch(self, batch: Sequence[Task]) -> None:
        """Create the tasks of one queue; a single one without the detour of an operation."""
        if len(batch) == 1:
            await self.enqueue(batch[0])
        else:
            await self._connect().create_tasks(self._queue_name(batch[0].queue), batch)

    def _queue_name(self, queue: str) -> str:
        return f"{self._parent}/queues/{queue}"

    def _choose_target(self, queue: str) -> TaskTarget:
        """The service that runs the queue's tasks."""
        if self._media_target and self._is_media_queue(queue):
            return self._media_target
        return self._target

    def _connect(self) -> TaskQueues:
        if self._queues is None:
            from taskreel.adapters.gcp.task_queues import TaskQueues

            self._queues = TaskQueues(
                self._service, self._choose_target, self._invoker, self._interceptors
            )
        return self._queues
