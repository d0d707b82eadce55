"""The Cloud Tasks calls of the task queue, through Google's generated client.

A task has a name, so creating it again after a lost response is harmless: every call is repeatable.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, cast

import grpc
from google.api_core.exceptions import (
    AlreadyExists,
    GoogleAPICallError,
    MethodNotImplemented,
)
from google.cloud.tasks_v2.services.cloud_tasks import CloudTasksAsyncClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport
from google.cloud.tasks_v2.types import cloudtasks, target
from google.longrunning import operations_pb2

from taskreel.adapters.gcp.error_advice import Service, explain_error
from taskreel.adapters.gcp.google_client import RetryBudget, build_client, is_temporary
from taskreel.adapters.task_target import TaskTarget, await_all
from taskreel.domain.errors import QueueError
from taskreel.ports import QueueStats, Task

if TYPE_CHECKING:
    from google.cloud.tasks_v2beta3.services.cloud_tasks import CloudTasksAsyncClient as BetaClient

_CreateTask = cloudtasks.CreateTaskRequest.pb()
_BatchCreateTasks = cloudtasks.BatchCreateTasksRequest.pb()
_BatchMetadata = cloudtasks.BatchCreateTasksMetadata.pb()

_CODES = {code.value[0]: code for code in grpc.StatusCode}

#: Cloud Tasks refuses a dispatch deadline outside these.
_SHORTEST_DEADLINE = timedelta(seconds=15)
_LONGEST_DEADLINE = timedelta(minutes=30)

#: The calls under way at once where a batch is created by single calls.
_SINGLE_CALLS = 20
_OPERATION_SECONDS = 20.0
#: The limits of a hurried call: another location can do its work, within the time of a request.
_HURRIED_SECONDS = 2.5
_HURRIED_WAITS = (0.1,)
_OPERATION_POLL_SECONDS = 0.2


class TaskQueues:
    """The queues of all locations. Belongs to the event loop that built it; raises QueueError.

    A `hurried` call has a quarter of the time. `choose_target` returns the service that runs a
    queue's tasks, and `invoker` is the service account whose OIDC token it requires, if any.
    """

    def __init__(
        self,
        service: Service,
        choose_target: Callable[[str], TaskTarget],
        invoker: str | None,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    ) -> None:
        self._service = service
        self._choose_target = choose_target
        self._invoker = invoker
        self._budget = RetryBudget(service, QueueError)
        self._hurried_budget = RetryBudget(
            service, QueueError, seconds=_HURRIED_SECONDS, waits=_HURRIED_WAITS
        )
        self._client = build_client(
            CloudTasksAsyncClient,
            CloudTasksGrpcAsyncIOTransport,
            service,
            QueueError,
            interceptors,
        )
        self._beta_client: BetaClient | None = None
        #: False once Cloud Tasks has answered that it has no `BatchCreateTasks`.
        self._has_batches = True

    async def create_task(self, queue_name: str, task: Task, *, hurried: bool = False) -> None:
        """Create a task. One of the same id is the same task, so that it exists is no error."""
        request = cloudtasks.CreateTaskRequest.wrap(self._create_request(queue_name, task))

        async def create(seconds: float) -> None:
            try:
                await self._client.create_task(request, retry=None, timeout=seconds)
            except AlreadyExists:
                return

        await self._choose_budget(hurried).run_call(queue_name, create)

    async def create_tasks(
        self, queue_name: str, tasks: Sequence[Task], *, hurried: bool = False
    ) -> Mapping[int, QueueError]:
        """Create up to a hundred tasks of one queue in one call.

        Those that the call could not create are created one by one, as all are where Cloud Tasks
        has no such call. Returns the errors of tasks by their position. Raises QueueError when the
        whole call failed.
        """
        if not self._has_batches:
            return await self._create_singly(queue_name, dict(enumerate(tasks)), hurried=hurried)
        message = _BatchCreateTasks(
            parent=queue_name,
            requests=[self._create_request(queue_name, task) for task in tasks],
            request_id=str(uuid.uuid4()),
        )
        request = cloudtasks.BatchCreateTasksRequest.wrap(message)

        async def create(seconds: float) -> Any:
            try:
                operation = await self._client.batch_create_tasks(
                    request, retry=None, timeout=seconds
                )
            except MethodNotImplemented:
                return None
            return operation.operation

        operation = await self._choose_budget(hurried).run_call(queue_name, create)
        if operation is None:
            # Not every location, emulator or proxy has the call, which is newer than the others.
            self._has_batches = False
            return await self._create_singly(queue_name, dict(enumerate(tasks)), hurried=hurried)
        operation = await self._wait_for_operation(operation)
        failed = _failed_positions(operation)
        if operation.error.code and not failed:
            code = _CODES[operation.error.code].name
            raise QueueError(
                explain_error(self._service, queue_name, code, operation.error.message)
            )
        missing = {place: tasks[place] for place in failed}
        return await self._create_singly(queue_name, missing, hurried=hurried)

    async def _create_singly(
        self, queue_name: str, tasks: Mapping[int, Task], *, hurried: bool
    ) -> Mapping[int, QueueError]:
        """Create tasks by one call each, some at a time; return the errors by position.

        After a hurried call that a location did not answer no further one is begun: they would wait
        for it in turn, and another location can take all of them.
        """
        limit = asyncio.Semaphore(_SINGLE_CALLS)
        errors: dict[int, QueueError] = {}
        unanswered: list[QueueError] = []

        async def create(position: int, task: Task) -> None:
            async with limit:
                if unanswered:
                    errors[position] = unanswered[0]
                    return
                try:
                    await self.create_task(queue_name, task, hurried=hurried)
                except QueueError as error:
                    errors[position] = error
                    cause = error.__cause__
                    if hurried and isinstance(cause, GoogleAPICallError) and is_temporary(cause):
                        unanswered.append(error)

        await await_all(create(position, task) for position, task in tasks.items())
        return errors

    async def pause_queue(self, queue_name: str) -> None:
        """Stop dispatching the queue's tasks."""
        request = cloudtasks.PauseQueueRequest(name=queue_name)
        await self._change_queue(self._client.pause_queue, request, queue_name)

    async def resume_queue(self, queue_name: str) -> None:
        """Dispatch the queue's tasks again."""
        request = cloudtasks.ResumeQueueRequest(name=queue_name)
        await self._change_queue(self._client.resume_queue, request, queue_name)

    async def purge_queue(self, queue_name: str) -> None:
        """Delete all tasks of the queue that were created before now."""
        request = cloudtasks.PurgeQueueRequest(name=queue_name)
        await self._change_queue(self._client.purge_queue, request, queue_name)

    async def read_stats(self, queue: str, queue_name: str, *, hurried: bool = False) -> QueueStats:
        """Read the state and the statistics of a queue in one call.

        Version v2 of the API has no statistics, and listing tasks costs an operation a task.
        """
        from google.cloud.tasks_v2beta3.types import GetQueueRequest, Queue

        client = self._open_beta_client()
        request = GetQueueRequest(name=queue_name, read_mask={"paths": ["state", "stats"]})

        async def read(seconds: float) -> Queue:
            return await client.get_queue(request, retry=None, timeout=seconds)

        found = await self._choose_budget(hurried).run_call(queue_name, read)
        depth = found.stats.tasks_count
        oldest = found.stats.oldest_estimated_arrival_time if depth else None
        return QueueStats(
            queue=queue,
            paused=found.state == Queue.State.PAUSED,
            depth=depth,
            oldest_at=oldest and oldest.astimezone(UTC),
        )

    async def close(self) -> None:
        """End the calls that are under way and close the connection."""
        await self._client.transport.close()

    def _choose_budget(self, hurried: bool) -> RetryBudget[QueueError]:  # noqa: FBT001 - passed on
        return self._hurried_budget if hurried else self._budget

    def _open_beta_client(self) -> BetaClient:
        """Build the client of v2beta3 once, on the connection of the v2 client.

        Its transport adds an interceptor to the connection, so a client a call would add up.
        """
        if self._beta_client is None:
            from google.cloud.tasks_v2beta3.services import cloud_tasks
            from google.cloud.tasks_v2beta3.services.cloud_tasks import transports

            transport = cast("CloudTasksGrpcAsyncIOTransport", self._client.transport)
            self._beta_client = cloud_tasks.CloudTasksAsyncClient(
                transport=transports.CloudTasksGrpcAsyncIOTransport(channel=transport.grpc_channel)
            )
        return self._beta_client

    def _create_request(self, queue_name: str, task: Task) -> Any:
        task_target = self._choose_target(task.queue)
        request = _CreateTask(parent=queue_name)
        message = request.task
        message.name = f"{queue_name}/tasks/{task.id}"
        message.http_request.url = task_target.url
        message.http_request.http_method = target.HttpMethod.POST
        message.http_request.headers.update(task_target.build_headers(task))
        message.http_request.body = task.body
        deadline = min(max(task.deadline, _SHORTEST_DEADLINE), _LONGEST_DEADLINE)
        message.dispatch_deadline.FromTimedelta(deadline)
        if self._invoker is not None:
            message.http_request.oidc_token.service_account_email = self._invoker
            message.http_request.oidc_token.audience = task_target.audience
        if task.at is not None:
            message.schedule_time.FromDatetime(task.at)
        return request

    async def _change_queue(
        self, change: Callable[..., Awaitable[object]], request: object, queue_name: str
    ) -> None:
        async def call(seconds: float) -> object:
            return await change(request, retry=None, timeout=seconds)

        await self._budget.run_call(queue_name, call)

    async def _wait_for_operation(self, operation: Any) -> Any:
        """Poll a batch's operation until it is done. Cloud Tasks normally answers with it done."""
        deadline = time.monotonic() + _OPERATION_SECONDS
        while not operation.done:
            if time.monotonic() > deadline:
                raise QueueError(
                    "Cloud Tasks did not finish creating a batch of tasks within "
                    f"{_OPERATION_SECONDS:g} s; the sweep enqueues what is missing. "
                    "If this repeats, run `scripts/doctor`."
                )
            await asyncio.sleep(_OPERATION_POLL_SECONDS)
            request = operations_pb2.GetOperationRequest(name=operation.name)

            async def read(seconds: float, request: Any = request) -> Any:
                return await self._client.get_operation(request, retry=None, timeout=seconds)

            operation = await self._budget.run_call(operation.name, read)
        return operation


def _failed_positions(operation: Any) -> list[int]:
    """The positions in the batch of the tasks that do not exist."""
    metadata = _BatchMetadata()
    operation.metadata.Unpack(metadata)
    return sorted(
        position
        for position, status in metadata.failed_requests.items()
        if _CODES.get(status.code) is not grpc.StatusCode.ALREADY_EXISTS
    )
