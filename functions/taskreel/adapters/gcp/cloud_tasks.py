"""The task queue on Cloud Tasks. Importing this loads no Google library: the first call does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from taskreel.adapters.gcp.error_advice import Service
from taskreel.adapters.task_target import TaskTarget, await_all
from taskreel.domain.errors import QueueError
from taskreel.ports import QueueStats, Task

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from taskreel.adapters.gcp.queue_locations import Locations, ReadDrained
    from taskreel.adapters.gcp.task_queues import TaskQueues

#: Cloud Tasks takes no more tasks in one `BatchCreateTasks`.
_BATCH_SIZE = 100
#: The time after which the tasks that wait do not wait any longer for the calls under way.
_SLOW_SECONDS = 1.0

#: A task, and the future of the caller that waits until it is created.
_WaitingTask = tuple[Task, asyncio.Future[None]]


@dataclass(slots=True)
class _QueueBuffer:
    """The tasks of one queue that wait for a call, what sends them, and the calls under way."""

    waiting: list[_WaitingTask] = field(default_factory=list)
    sender: asyncio.Task[None] | None = None
    calls: set[asyncio.Task[None]] = field(default_factory=set)


class CloudTasks:
    """`TaskQueue` over the queues of one project, in a location or several.

    Tasks that are enqueued while a queue's calls are under way share the next one, up to a hundred
    in `BatchCreateTasks`: a call costs the same whatever it carries. A task alone waits for nothing
    and is created by `CreateTask`.

    `target_url` is the task processor's base URL, `invoker` the service account that may call it.
    With `signs_tasks` a task carries a signature in place of the internal key.
    Tasks of the queues for which `is_media_queue` is true go to `media_target_url` instead.
    `shards` has the number of Cloud Tasks queues of each queue that has more than one.
    `further_locations` have the same queues as `location`, and get its tasks while it takes none
    or is one of those that `read_drained` returns.
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
        signs_tasks: bool = False,
        media_target_url: str | None = None,
        is_media_queue: Callable[[str], bool] = lambda _queue: True,
        invoker: str | None = None,
        shards: Mapping[str, int] | None = None,
        further_locations: Sequence[str] = (),
        read_drained: ReadDrained | None = None,
        emulator: str | None = None,
        endpoint: str | None = None,
        interceptors: Sequence[ClientInterceptor] = (),
    ) -> None:
        self._project = project
        self._location_names = (location, *further_locations)
        self._locations: Locations | None = None
        if further_locations:
            from taskreel.adapters.gcp.queue_locations import Locations  # of few deployments

            self._locations = Locations(self._location_names, read_drained)
        self._target = TaskTarget(target_url, internal_key, signs_tasks)
        self._media_target = media_target_url and TaskTarget(
            media_target_url, internal_key, signs_tasks
        )
        self._is_media_queue = is_media_queue
        self._invoker = invoker
        self._shards = shards or {}
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
        self._buffers: dict[str, _QueueBuffer] = {}

    def list_locations(self) -> Sequence[str]:
        return self._location_names

    async def enqueue(self, task: Task, /) -> None:
        shard = self._choose_shard(task)
        buffer = self._buffers.setdefault(shard, _QueueBuffer())
        created = asyncio.get_running_loop().create_future()
        buffer.waiting.append((task, created))
        if buffer.sender is None:
            buffer.sender = asyncio.create_task(self._send_waiting(shard, buffer))
        await created

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        """Put many tasks on their queues, a hundred of one queue in a call.

        Raises the first QueueError, after all were tried.
        """
        await await_all(map(self.enqueue, tasks))

    async def pause(self, queue: str, /) -> None:
        await await_all(map(self._connect().pause_queue, self._list_paths(queue)))

    async def resume(self, queue: str, /) -> None:
        await await_all(map(self._connect().resume_queue, self._list_paths(queue)))

    async def purge(self, queue: str, /) -> None:
        await await_all(map(self._connect().purge_queue, self._list_paths(queue)))

    async def stats(self, queue: str, /) -> QueueStats:
        if self._locations is None:
            return await self._read_stats(queue, self._location_names[0])
        return await self._locations.read_stats(queue, partial(self._read_stats, queue))

    async def close(self) -> None:
        """Let the calls under way end, and close the connection."""
        for buffer in self._buffers.values():
            tasks = [*buffer.calls, *([buffer.sender] if buffer.sender else [])]
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._queues is not None:
            await self._queues.close()
            self._queues = None

    async def _send_waiting(self, queue: str, buffer: _QueueBuffer) -> None:
        """Send batches until no task of the queue waits."""
        try:
            await asyncio.sleep(0)  # the callers that are ready now share the first call
            while buffer.waiting:
                waiting, buffer.waiting = buffer.waiting, []
                calls = {
                    asyncio.create_task(
                        self._send_batch(queue, waiting[start : start + _BATCH_SIZE])
                    )
                    for start in range(0, len(waiting), _BATCH_SIZE)
                }
                buffer.calls |= calls
                for call in calls:
                    call.add_done_callback(buffer.calls.discard)
                await asyncio.wait(calls, timeout=_SLOW_SECONDS)
        finally:
            buffer.sender = None

    async def _send_batch(self, queue: str, batch: Sequence[_WaitingTask]) -> None:
        """Create the tasks of one call; a single one without the detour of an operation.

        A refused task fails its own caller only. Every caller gets an answer, whatever happens
        here: one that waited for ever would hold its request until the instance is killed.
        """
        tasks = [task for task, _ in batch]
        create = partial(self._create_tasks, queue)
        try:
            if self._locations is None:
                errors = await create(self._location_names[0], tasks)
            else:
                errors = await self._locations.create_tasks(tasks, create)
            _resolve(batch, errors)
        except QueueError as error:
            _resolve(batch, dict.fromkeys(range(len(batch)), error))
        finally:
            unfinished = QueueError("The call to Cloud Tasks was not completed.")
            _resolve(batch, dict.fromkeys(range(len(batch)), unfinished))

    def _choose_shard(self, task: Task) -> str:
        count = self._shards.get(task.queue, 1)
        if count == 1:
            return task.queue
        from taskreel.adapters.gcp.queue_shards import choose_shard  # few deployments have any

        return choose_shard(task.queue, task.id, count)

    async def _create_tasks(
        self,
        queue: str,
        location: str,
        tasks: Sequence[Task],
        hurried: bool = False,  # noqa: FBT001, FBT002 - of CreateTasks
    ) -> Mapping[int, QueueError]:
        """Create the tasks of one call in a location; return the errors by position."""
        name = self._name_queue(location, queue)
        if len(tasks) == 1:
            await self._connect().create_task(name, tasks[0], hurried=hurried)
            return {}
        return await self._connect().create_tasks(name, tasks, hurried=hurried)

    async def _read_stats(self, queue: str, location: str) -> QueueStats:
        """Read the state of a queue in one location; quickly, where others answer too."""
        read = partial(self._connect().read_stats, queue, hurried=self._locations is not None)
        found = await asyncio.gather(*map(read, self._list_shards(queue, location)))
        if len(found) == 1:
            return found[0]
        from taskreel.adapters.gcp.queue_shards import add_stats

        return add_stats(queue, found)

    def _list_paths(self, queue: str) -> list[str]:
        return [
            path for location in self._location_names for path in self._list_shards(queue, location)
        ]

    def _list_shards(self, queue: str, location: str) -> list[str]:
        count = self._shards.get(queue, 1)
        if count == 1:
            return [self._name_queue(location, queue)]
        from taskreel.adapters.gcp.queue_shards import list_shard_names

        return [self._name_queue(location, name) for name in list_shard_names(queue, count)]

    def _name_queue(self, location: str, queue: str) -> str:
        return f"projects/{self._project}/locations/{location}/queues/{queue}"

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


def _resolve(batch: Sequence[_WaitingTask], errors: Mapping[int, QueueError]) -> None:
    """Tell each caller that still waits if its task exists now."""
    for position, (_, created) in enumerate(batch):
        if created.done():
            continue
        if position in errors:
            error = QueueError(errors[position].message)
            error.__cause__ = errors[position]
            created.set_exception(error)
        else:
            created.set_result(None)
