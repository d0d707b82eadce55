"""The Cloud Tasks calls that the queue makes, each with a deadline and bounded tries: the client library has neither.

A task has a name, so creating it again after a lost answer is harmless.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.tasks_v2.types import cloudtasks, queue
from google.cloud.tasks_v2.types import target as target_types
from google.cloud.tasks_v2.types import task as task_types
from google.longrunning import operations_pb2

from taskreel.adapters.gcp.channel import GoogleChannel, routed
from taskreel.adapters.gcp.error_advice import Service, advice
from taskreel.domain.errors import QueueError
from taskreel.ports import LaneStats, Task

if TYPE_CHECKING:
    from taskreel.adapters.gcp.cloud_tasks import Target

_Stub = Callable[..., Awaitable[Any]]

_Create = cloudtasks.CreateTaskRequest.pb()
_CreateMany = cloudtasks.BatchCreateTasksRequest.pb()
_CreateManyMetadata = cloudtasks.BatchCreateTasksMetadata.pb()
_CHANGES = {
    "PauseQueue": cloudtasks.PauseQueueRequest.pb(),
    "ResumeQueue": cloudtasks.ResumeQueueRequest.pb(),
    "PurgeQueue": cloudtasks.PurgeQueueRequest.pb(),
}
_ALREADY_EXISTS = grpc.StatusCode.ALREADY_EXISTS
_CODES = {code.value[0]: code for code in grpc.StatusCode}

_OPERATION_SECONDS = 20.0
_POLL_SECONDS = 0.2


class TasksRpc:
    """One channel; built in the loop that uses it. Raises QueueError with what mends it."""

    def __init__(
        self,
        service: Service,
        target: Target,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    ) -> None:
        self._target = target
        self._channel = GoogleChannel(service, QueueError, interceptors)
        prefix = "/google.cloud.tasks.v2.CloudTasks"
        self._create = self._channel.unary(f"{prefix}/CreateTask", _Create, task_types.Task.pb())
        self._create_many = self._channel.unary(
            f"{prefix}/BatchCreateTasks", _CreateMany, operations_pb2.Operation
        )
        self._changes = {
            name: self._channel.unary(f"{prefix}/{name}", request, queue.Queue.pb())
            for name, request in _CHANGES.items()
        }
        self._operation = self._channel.unary(
            "/google.longrunning.Operations/GetOperation",
            operations_pb2.GetOperationRequest,
            operations_pb2.Operation,
        )

    async def create(self, queue_name: str, id_: str, task: Task) -> None:
        """Create a task; one of that name is the same task."""
        request = self._request(queue_name, id_, task)
        await self._call(self._create, request, parent=queue_name, fine=_ALREADY_EXISTS)

    async def create_many(self, queue_name: str, tasks: Mapping[str, Task]) -> None:
        """Create up to a hundred tasks of one queue in one call, by their ids.

        Those that the call could not create are tried one by one; raises the first refusal after all were tried.
        """
        requests = [self._request(queue_name, id_, task) for id_, task in tasks.items()]
        request = _CreateMany(parent=queue_name, requests=requests, request_id=str(uuid.uuid4()))
        operation = await self._call(self._create_many, request, parent=queue_name)
        operation = await self._finished(operation)
        failed = _failed(operation)
        if operation.error.code and not failed:
            code = _CODES[operation.error.code].name
            raise QueueError(
                advice(self._channel.service, queue_name, code, operation.error.message)
            )
        again = [
            self.create(queue_name, id_, task)
            for place, (id_, task) in enumerate(tasks.items())
            if place in failed
        ]
        for result in await asyncio.gather(*again, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def change(self, method: str, queue_name: str) -> None:
        """Pause, resume or purge a queue."""
        await self._call(self._changes[method], _CHANGES[method](name=queue_name), name=queue_name)

    async def stats(self, lane: str, queue_name: str) -> LaneStats:
        """State and statistics in one call: v2 has no statistics, and listing tasks is billed by the task."""
        from google.cloud.tasks_v2beta3.types import cloudtasks as beta
        from google.cloud.tasks_v2beta3.types import queue as beta_queue

        request_type = beta.GetQueueRequest.pb()
        get = self._channel.unary(
            "/google.cloud.tasks.v2beta3.CloudTasks/GetQueue", request_type, beta_queue.Queue.pb()
        )
        request = request_type(name=queue_name)
        request.read_mask.paths.extend(["state", "stats"])
        found = await self._call(get, request, name=queue_name)
        stats = found.stats
        oldest = (
            stats.oldest_estimated_arrival_time.ToDatetime(tzinfo=UTC)
            if stats.tasks_count
            else None
        )
        paused = found.state == beta_queue.Queue.State.PAUSED
        return LaneStats(lane=lane, paused=paused, depth=stats.tasks_count, oldest_at=oldest)

    async def close(self) -> None:
        """Let the connection go."""
        await self._channel.close()

    def _request(self, queue_name: str, id_: str, task: Task) -> Any:
        request = _Create(parent=queue_name)
        message = request.task
        message.name = f"{queue_name}/tasks/{id_}"
        message.http_request.url = self._target.url
        message.http_request.http_method = target_types.HttpMethod.POST
        message.http_request.headers.update(self._target.headers)
        message.http_request.body = self._target.body(task)
        message.dispatch_deadline.FromTimedelta(self._target.deadline(task))
        if self._target.invoker is not None:
            message.http_request.oidc_token.service_account_email = self._target.invoker
            message.http_request.oidc_token.audience = self._target.audience
        if task.at is not None:
            message.schedule_time.FromDatetime(task.at)
        return request

    async def _finished(self, operation: Any) -> Any:
        until = time.monotonic() + _OPERATION_SECONDS
        while not operation.done:
            if time.monotonic() > until:
                raise QueueError(
                    "Cloud Tasks has not finished creating a batch of tasks; the sweep will send them."
                )
            await asyncio.sleep(_POLL_SECONDS)
            request = operations_pb2.GetOperationRequest(name=operation.name)
            operation = await self._call(self._operation, request, name=operation.name)
        return operation

    async def _call(
        self, stub: _Stub, request: Any, *, fine: grpc.StatusCode | None = None, **what: str
    ) -> Any:
        """The answer; None when it is `fine`. `what` is the resource, under the name of the request's field for it."""

        async def call(seconds: float) -> Any:
            try:
                return await stub(request, timeout=seconds, metadata=routed(**what))
            except grpc.aio.AioRpcError as error:
                if error.code() is not fine:
                    raise
                return None

        return await self._channel.repeated(next(iter(what.values())), call)


def _failed(operation: Any) -> set[int]:
    """The places in the batch whose tasks were not created; one that exists already is."""
    metadata = _CreateManyMetadata()
    operation.metadata.Unpack(metadata)
    return {
        place
        for place, status in metadata.failed_requests.items()
        if _CODES.get(status.code) is not _ALREADY_EXISTS
    }
