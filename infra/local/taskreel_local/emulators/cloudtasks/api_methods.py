"""The methods of google.cloud.tasks.v2, of Locations, Operations and IAM: messages in, messages out, for any door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from taskreel_local.emulators.cloudtasks.api_errors import ApiError, Code, invalid
from taskreel_local.emulators.cloudtasks.batches import BatchOperations
from taskreel_local.emulators.cloudtasks.engine import LOCATIONS, Engine
from taskreel_local.emulators.cloudtasks.iam_policies import QueuePolicies
from taskreel_local.emulators.cloudtasks.messages import (
    HttpMethod,
    HttpRequest,
    Queue,
    QueueStats,
    Task,
    View,
)
from taskreel_local.emulators.cloudtasks.method_messages import (
    BatchCreateTasksRequest,
    BatchDeleteTasksRequest,
    BufferTaskRequest,
    BufferTaskResponse,
    CmekConfig,
    CreateQueueRequest,
    CreateTaskRequest,
    Empty,
    GetIamPolicyRequest,
    GetQueueRequest,
    ListLocationsRequest,
    ListLocationsResponse,
    ListQueuesRequest,
    ListQueuesResponse,
    ListTasksRequest,
    ListTasksResponse,
    Location,
    NameRequest,
    SetIamPolicyRequest,
    TaskRequest,
    TestIamPermissionsRequest,
    UpdateCmekConfigRequest,
    UpdateQueueRequest,
)
from taskreel_local.emulators.cloudtasks.page_tokens import cut, page_size, resume
from taskreel_local.emulators.cloudtasks.queue_filter import parse
from taskreel_local.emulators.cloudtasks.resource_names import split_location

_QUEUES_PAGE, _TASKS_PAGE = 9800, 1000
"""Largest and default page (ListQueues and ListTasks, client 2.26)."""


@dataclass(frozen=True, slots=True)
class Method:
    """What a method takes, and what does it."""

    request: type
    call: Callable[[Any], Awaitable[Any]]


class Api:
    """One engine behind Google's method names; every refusal is an ApiError."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.batches = BatchOperations(engine)
        self._policies = QueuePolicies()
        self._cmek: dict[str, CmekConfig] = {}
        policies, batches = self._policies, self.batches
        self.methods: dict[str, Method] = {
            "ListQueues": Method(ListQueuesRequest, self._list_queues),
            "GetQueue": Method(GetQueueRequest, self._get_queue),
            "CreateQueue": Method(CreateQueueRequest, self._create_queue),
            "UpdateQueue": Method(UpdateQueueRequest, self._update_queue),
            "DeleteQueue": Method(NameRequest, self._delete_queue),
            "PurgeQueue": Method(NameRequest, lambda request: engine.purge_queue(request.name)),
            "PauseQueue": Method(NameRequest, lambda request: engine.pause_queue(request.name)),
            "ResumeQueue": Method(NameRequest, lambda request: engine.resume_queue(request.name)),
            "ListTasks": Method(ListTasksRequest, self._list_tasks),
            "GetTask": Method(TaskRequest, self._get_task),
            "CreateTask": Method(CreateTaskRequest, self._create_task),
            "DeleteTask": Method(NameRequest, self._delete_task),
            "RunTask": Method(TaskRequest, self._run_task),
            "BatchCreateTasks": Method(BatchCreateTasksRequest, batches.create),
            "BatchDeleteTasks": Method(BatchDeleteTasksRequest, batches.delete),
            "BufferTask": Method(BufferTaskRequest, self._buffer_task),
            "GetOperation": Method(NameRequest, batches.get),
            "GetCmekConfig": Method(NameRequest, self._get_cmek),
            "UpdateCmekConfig": Method(UpdateCmekConfigRequest, self._update_cmek),
            "GetIamPolicy": Method(GetIamPolicyRequest, self._guarded(policies.get)),
            "SetIamPolicy": Method(SetIamPolicyRequest, self._guarded(policies.set)),
            "TestIamPermissions": Method(TestIamPermissionsRequest, self._guarded(policies.test)),
            "ListLocations": Method(ListLocationsRequest, self._list_locations),
            "GetLocation": Method(NameRequest, self._get_location),
        }

    def forget(self) -> None:
        """Drop policies, keys and operations: a reset's part beside the engine's."""
        self.batches.forget()
        self._policies.forget_all()
        self._cmek.clear()

    def queue_stats(self, name: str) -> QueueStats:
        """The `stats` of v2beta3's GetQueue."""
        return self.engine.lane(name).stats()

    async def _list_queues(self, request: ListQueuesRequest) -> ListQueuesResponse:
        now = self.engine.clock.now()
        wanted = parse(request.filter)
        scope = f"{request.parent}?{request.filter}"
        after = resume(request.page_token, scope, "", now)
        queues = self.engine.list_queues(request.parent)
        rest = (queue for queue in queues if queue.name > after and wanted(queue))
        page, token = cut(rest, page_size(request.page_size, _QUEUES_PAGE), _queue_name, scope, now)
        return ListQueuesResponse(queues=tuple(page), next_page_token=token)

    async def _get_queue(self, request: GetQueueRequest) -> Queue:
        return self.engine.get_queue(request.name)

    async def _create_queue(self, request: CreateQueueRequest) -> Queue:
        return await self.engine.create_queue(request.parent, request.queue or Queue())

    async def _update_queue(self, request: UpdateQueueRequest) -> Queue:
        return await self.engine.update_queue(request.queue or Queue(), request.update_mask)

    async def _delete_queue(self, request: NameRequest) -> Empty:
        await self.engine.delete_queue(request.name)
        self._policies.forget(request.name)
        return Empty()

    async def _list_tasks(self, request: ListTasksRequest) -> ListTasksResponse:
        now = self.engine.clock.now()
        after = resume(request.page_token, request.parent, 0, now)
        entries = self.engine.list_tasks(request.parent, after)
        size = page_size(request.page_size, _TASKS_PAGE)
        page, token = cut(entries, size, lambda entry: entry.number, request.parent, now)
        tasks = tuple(entry.task(request.parent, request.response_view) for entry in page)
        return ListTasksResponse(tasks=tasks, next_page_token=token)

    async def _get_task(self, request: TaskRequest) -> Task:
        return _shown(self.engine.get_task(request.name), request)

    async def _create_task(self, request: CreateTaskRequest) -> Task:
        entry = await self.engine.create_task(request.parent, request.task or Task())
        return entry.task(request.parent, request.response_view)

    async def _delete_task(self, request: NameRequest) -> Empty:
        await self.engine.delete_task(request.name)
        return Empty()

    async def _run_task(self, request: TaskRequest) -> Task:
        return _shown(self.engine.run_task(request.name), request)

    async def _buffer_task(self, request: BufferTaskRequest) -> BufferTaskResponse:
        """REST only, and only for a queue whose `http_target` says where to (BufferTask, discovery 20261005)."""
        target = self.engine.get_queue(request.queue).http_target
        if target is None or target.uri_override is None or not target.uri_override.host:
            text = "The queue must have an httpTarget with a uriOverride that names a host to buffer tasks."
            raise ApiError(Code.FAILED_PRECONDITION, text)
        task = Task(
            name=f"{request.queue}/tasks/{request.task_id}" if request.task_id else "",
            http_request=HttpRequest(
                http_method=target.http_method or HttpMethod.POST,
                headers={"Content-Type": request.content_type or "application/json"},
                body=request.body,
            ),
        )
        entry = await self.engine.create_task(request.queue, task)
        return BufferTaskResponse(task=entry.task(request.queue, View.BASIC))

    async def _get_cmek(self, request: NameRequest) -> CmekConfig:
        self.engine.check_location(request.name.removesuffix("/cmekConfig"))
        return self._cmek.get(request.name, CmekConfig(name=request.name))

    async def _update_cmek(self, request: UpdateCmekConfigRequest) -> CmekConfig:
        config = request.cmek_config or CmekConfig()
        self.engine.check_location(config.name.removesuffix("/cmekConfig"))
        self._cmek[config.name] = config
        return config

    async def _list_locations(self, request: ListLocationsRequest) -> ListLocationsResponse:
        if not request.name.startswith("projects/"):
            raise invalid('Project name must be formatted: "projects/<PROJECT_ID>".')
        known = self.engine.config.locations or LOCATIONS
        self.engine.check_location(f"{request.name}/locations/{known[0]}")
        return ListLocationsResponse(
            locations=tuple(_location(request.name, place) for place in known)
        )

    async def _get_location(self, request: NameRequest) -> Location:
        self.engine.check_location(request.name)
        _, place = split_location(request.name)
        return _location(request.name.partition("/locations/")[0], place)

    def _guarded(self, call: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
        """An IAM call on a queue that must exist."""

        async def checked(request: Any) -> Any:
            self.engine.get_queue(request.resource)
            return call(request)

        return checked


def _shown(entry: Any, request: TaskRequest) -> Task:
    shown: Task = entry.task(request.name.partition("/tasks/")[0], request.response_view)
    return shown


def _queue_name(queue: Queue) -> str:
    return queue.name


def _location(project: str, place: str) -> Location:
    labels = {"cloud.googleapis.com/region": place}
    return Location(name=f"{project}/locations/{place}", location_id=place, labels=labels)
