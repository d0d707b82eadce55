"""Methods of google.cloud.tasks.v2, Locations, Operations and IAM, independent of a transport."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from taskreel_cloud_tasks.api_errors import ApiError, Code, invalid_argument
from taskreel_cloud_tasks.api_versions import V2, ApiVersion
from taskreel_cloud_tasks.batches import BatchOperations
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.engine_config import LOCATIONS
from taskreel_cloud_tasks.iam_policies import QueuePolicies
from taskreel_cloud_tasks.message_codec import from_json, to_json
from taskreel_cloud_tasks.messages import (
    HttpMethod,
    HttpRequest,
    Queue,
    QueueStats,
    Task,
    View,
)
from taskreel_cloud_tasks.method_messages import (
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
    TestIamPermissionsResponse,
    UpdateCmekConfigRequest,
    UpdateQueueRequest,
)
from taskreel_cloud_tasks.page_tokens import decode_position, page_size, take_page
from taskreel_cloud_tasks.queue_filter import parse_filter
from taskreel_cloud_tasks.resource_names import split_location

_CMEK_DOCUMENT = "cmek/"
_QUEUES_PAGE, _TASKS_PAGE = 9800, 1000
"""Largest and default page sizes (ListQueues and ListTasks, client 2.26)."""


@dataclass(frozen=True, slots=True)
class Method:
    """The request message of a method, and its implementation."""

    request: type
    call: Callable[[Any], Awaitable[Any]]


class ApiMethods:
    """Google's method names over one engine. Every refusal is an ApiError."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.batches = BatchOperations(engine)
        self._policies = QueuePolicies(engine)
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
            "BatchCreateTasks": Method(BatchCreateTasksRequest, batches.create_tasks),
            "BatchDeleteTasks": Method(BatchDeleteTasksRequest, batches.delete_tasks),
            "BufferTask": Method(BufferTaskRequest, self._buffer_task),
            "GetOperation": Method(NameRequest, batches.get_operation),
            "GetCmekConfig": Method(NameRequest, self._get_cmek),
            "UpdateCmekConfig": Method(UpdateCmekConfigRequest, self._update_cmek),
            "GetIamPolicy": Method(GetIamPolicyRequest, self._require_queue(policies.get_policy)),
            "SetIamPolicy": Method(SetIamPolicyRequest, self._require_queue(policies.set_policy)),
            "TestIamPermissions": Method(TestIamPermissionsRequest, self._test_permissions),
            "ListLocations": Method(ListLocationsRequest, self._list_locations),
            "GetLocation": Method(NameRequest, self._get_location),
        }

    def reset_state(self) -> None:
        """Remove policies, keys and operations; `Engine.reset` removes the rest."""
        self.batches.clear()
        self._policies.forget_all()
        self._cmek.clear()

    async def call(self, name: str, request: Any, version: ApiVersion = V2) -> Any:
        """Call a method with a request of `version`; return that version's result."""
        version.check_method(name)
        result = await self.methods[name].call(version.from_request(request))
        return version.to_response(result, request, self.get_queue_stats)

    def request_type(self, name: str, version: ApiVersion) -> type:
        """Return the request message of a method in `version`. Raises ApiError UNIMPLEMENTED."""
        version.check_method(name)
        return version.requests.get(name) or self.methods[name].request

    def load(self) -> None:
        """Take over policies, keys and operations of the journal, after `Engine.start`."""
        self._policies.load()
        self.batches.load()
        for name, saved in self.engine.documents.items():
            if name.startswith(_CMEK_DOCUMENT):
                config = from_json(CmekConfig, saved)
                self._cmek[config.name] = config

    def get_queue_stats(self, name: str) -> QueueStats:
        """Return the `stats` of v2beta3's GetQueue."""
        return self.engine.get_dispatcher(name).compute_stats()

    async def _list_queues(self, request: ListQueuesRequest) -> ListQueuesResponse:
        now = self.engine.clock.now()
        wanted = parse_filter(request.filter)
        scope = f"{request.parent}?{request.filter}"
        after = decode_position(request.page_token, scope, "", now)
        queues = self.engine.list_queues(request.parent)
        rest = (queue for queue in queues if queue.name > after and wanted(queue))
        page, token = take_page(
            rest, page_size(request.page_size, _QUEUES_PAGE), _queue_name, scope, now
        )
        return ListQueuesResponse(queues=tuple(page), next_page_token=token)

    async def _get_queue(self, request: GetQueueRequest) -> Queue:
        return self.engine.get_queue(request.name)

    async def _create_queue(self, request: CreateQueueRequest) -> Queue:
        return await self.engine.create_queue(request.parent, request.queue or Queue())

    async def _update_queue(self, request: UpdateQueueRequest) -> Queue:
        return await self.engine.update_queue(
            request.queue or Queue(), request.update_mask, request.cleared
        )

    async def _delete_queue(self, request: NameRequest) -> Empty:
        await self.engine.delete_queue(request.name)
        self._policies.forget_policy(request.name)
        return Empty()

    async def _list_tasks(self, request: ListTasksRequest) -> ListTasksResponse:
        now = self.engine.clock.now()
        after = decode_position(request.page_token, request.parent, 0, now)
        stored_tasks = self.engine.list_tasks(request.parent, after)
        size = page_size(request.page_size, _TASKS_PAGE)
        page, token = take_page(
            stored_tasks, size, lambda stored: stored.number, request.parent, now
        )
        tasks = tuple(stored.to_message(request.parent, request.response_view) for stored in page)
        return ListTasksResponse(tasks=tasks, next_page_token=token)

    async def _get_task(self, request: TaskRequest) -> Task:
        return _task_response(self.engine.get_task(request.name), request)

    async def _create_task(self, request: CreateTaskRequest) -> Task:
        return await self._add_task(request.parent, request.task or Task(), request.response_view)

    async def _add_task(self, queue: str, task: Task, view: View) -> Task:
        """Create a task; return it as created, though an attempt may begin during the wait."""
        stored = self.engine.add_task(queue, task)
        created = stored.to_message(queue, view)
        await self.engine.wait_until_created(stored)
        return created

    async def _delete_task(self, request: NameRequest) -> Empty:
        await self.engine.delete_task(request.name)
        return Empty()

    async def _run_task(self, request: TaskRequest) -> Task:
        return _task_response(self.engine.run_task(request.name), request)

    async def _buffer_task(self, request: BufferTaskRequest) -> BufferTaskResponse:
        """BufferTask (discovery 20261005): REST only, for queues whose `http_target` has a host."""
        target = self.engine.get_queue(request.queue).http_target
        if target is None or target.uri_override is None or not target.uri_override.host:
            raise ApiError(
                Code.FAILED_PRECONDITION,
                "The queue must have an httpTarget with a uriOverride that names a host "
                "to buffer tasks.",
            )
        task = Task(
            name=f"{request.queue}/tasks/{request.task_id}" if request.task_id else "",
            http_request=HttpRequest(
                http_method=target.http_method or HttpMethod.POST,
                headers={"Content-Type": request.content_type or "application/json"},
                body=request.body,
            ),
        )
        return BufferTaskResponse(task=await self._add_task(request.queue, task, View.BASIC))

    async def _get_cmek(self, request: NameRequest) -> CmekConfig:
        self.engine.config.check_location(request.name.removesuffix("/cmekConfig"))
        return self._cmek.get(request.name, CmekConfig(name=request.name))

    async def _update_cmek(self, request: UpdateCmekConfigRequest) -> CmekConfig:
        config = request.cmek_config or CmekConfig()
        self.engine.config.check_location(config.name.removesuffix("/cmekConfig"))
        self._cmek[config.name] = config
        self.engine.journal.put_document(_CMEK_DOCUMENT + config.name, to_json(config))
        return config

    async def _list_locations(self, request: ListLocationsRequest) -> ListLocationsResponse:
        if not request.name.startswith("projects/"):
            raise invalid_argument('Project name must be formatted: "projects/<PROJECT_ID>".')
        known = self.engine.config.locations or LOCATIONS
        self.engine.config.check_location(f"{request.name}/locations/{known[0]}")
        return ListLocationsResponse(
            locations=tuple(_make_location(request.name, place) for place in known)
        )

    async def _get_location(self, request: NameRequest) -> Location:
        self.engine.config.check_location(request.name)
        _, place = split_location(request.name)
        return _make_location(request.name.partition("/locations/")[0], place)

    async def _test_permissions(
        self, request: TestIamPermissionsRequest
    ) -> TestIamPermissionsResponse:
        return self._policies.test_permissions(request)

    def _require_queue(self, call: Callable[[Any], Any]) -> Callable[[Any], Awaitable[Any]]:
        """Wrap an IAM method so that its queue must exist."""

        async def check_and_call(request: Any) -> Any:
            self.engine.get_queue(request.resource)
            return call(request)

        return check_and_call


def _task_response(stored: Any, request: TaskRequest) -> Task:
    shown: Task = stored.to_message(request.name.partition("/tasks/")[0], request.response_view)
    return shown


def _queue_name(queue: Queue) -> str:
    return queue.name


def _make_location(project: str, place: str) -> Location:
    labels = {"cloud.googleapis.com/region": place}
    return Location(name=f"{project}/locations/{place}", location_id=place, labels=labels)
