"""The task queue on Cloud Tasks. Importing this loads neither gRPC nor a Google library: the first use does."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from taskreel.adapters.gcp.error_advice import Service
from taskreel.ports import LaneStats, Task

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from taskreel.adapters.gcp.tasks_rpc import TasksRpc

_MOST_AT_ONCE = 100
_SHORTEST_DEADLINE = timedelta(seconds=15)
_LONGEST_DEADLINE = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where Cloud Tasks sends every task, and how it shows who it is."""

    url: str
    headers: Mapping[str, str]
    #: The service account whose OIDC token opens the service, and the audience in it; None for no token.
    invoker: str | None
    audience: str

    @staticmethod
    def body(task: Task) -> bytes:
        """Ids only: the payload is in the store."""
        return json.dumps({"jobId": task.job_id, "delivery": task.delivery}).encode()

    @staticmethod
    def deadline(task: Task) -> timedelta:
        """As long as the task asks for, within what Cloud Tasks allows."""
        return min(max(task.deadline, _SHORTEST_DEADLINE), _LONGEST_DEADLINE)


class CloudTasks:
    """`TaskQueue` whose lanes are the queues of the same name in one project and location.

    `target_url` is the task processor's base URL, `invoker` the service account that may call it; `emulator` is the
    host:port of a local Cloud Tasks. It connects on first use, in the loop that uses it, and belongs to that loop.
    """

    def __init__(  # noqa: PLR0913 - what a queue must know to call back; all by name
        self,
        *,
        project: str,
        location: str,
        target_url: str,
        internal_key: str,
        invoker: str | None = None,
        emulator: str | None = None,
        interceptors: Sequence[ClientInterceptor] = (),
    ) -> None:
        base = target_url.rstrip("/")
        self._parent = f"projects/{project}/locations/{location}"
        self._target = Target(
            url=f"{base}/tasks/process",
            headers={"Content-Type": "application/json", "X-Internal-Api-Key": internal_key},
            invoker=invoker,
            audience=base,
        )
        self._service = Service(
            name="Cloud Tasks",
            api="cloudtasks.googleapis.com",
            role="roles/cloudtasks.enqueuer, and roles/iam.serviceAccountUser on the invoker account",
            provision="scripts/setup-cloud-tasks-queues.sh",
            emulator=emulator,
        )
        self._interceptors = interceptors
        self._connected: TasksRpc | None = None

    async def enqueue(self, task: Task, /) -> None:
        await self._rpc().create(self._queue(task.lane), task_id(task), task)

    async def enqueue_many(self, tasks: Sequence[Task], /) -> None:
        """Put many, a hundred of a lane in a call. Raises the first QueueError after all were tried."""
        lanes: dict[str, list[Task]] = defaultdict(list)
        for task in tasks:
            lanes[task.lane].append(task)
        calls = [
            self._put(lane, waiting[start : start + _MOST_AT_ONCE])
            for lane, waiting in lanes.items()
            for start in range(0, len(waiting), _MOST_AT_ONCE)
        ]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def pause(self, lane: str, /) -> None:
        await self._rpc().change("PauseQueue", self._queue(lane))

    async def resume(self, lane: str, /) -> None:
        await self._rpc().change("ResumeQueue", self._queue(lane))

    async def purge(self, lane: str, /) -> None:
        await self._rpc().change("PurgeQueue", self._queue(lane))

    async def stats(self, lane: str, /) -> LaneStats:
        return await self._rpc().stats(lane, self._queue(lane))

    async def close(self) -> None:
        """Let the connection go."""
        if self._connected is not None:
            await self._connected.close()
            self._connected = None

    async def _put(self, lane: str, batch: Sequence[Task]) -> None:
        if len(batch) == 1:
            await self.enqueue(batch[0])
        else:
            await self._rpc().create_many(
                self._queue(lane), {task_id(task): task for task in batch}
            )

    def _queue(self, lane: str) -> str:
        return f"{self._parent}/queues/{lane}"

    def _rpc(self) -> TasksRpc:
        if self._connected is None:
            from taskreel.adapters.gcp.tasks_rpc import TasksRpc

            self._connected = TasksRpc(self._service, self._target, self._interceptors)
        return self._connected


def task_id(task: Task) -> str:
    """The same for the same job and delivery, so that a doubled enqueue is one task; hashed: a sequence is slow."""
    return hashlib.blake2b(f"{task.job_id}/{task.delivery}".encode(), digest_size=16).hexdigest()
