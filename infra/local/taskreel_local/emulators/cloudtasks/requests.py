"""What the methods take and give, beside queues and tasks: the request, list, IAM and operation messages."""

# ruff: noqa: RUF009 - `wire` declares a field, as `dataclasses.field` does
from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from taskreel_local.emulators.cloudtasks.codec import wire
from taskreel_local.emulators.cloudtasks.codec_messages import (
    FieldMask,
    Message,
    MessageMap,
    Repeated,
    StringMap,
)
from taskreel_local.emulators.cloudtasks.codec_scalars import Bytes, Enum, Int, String, Timestamp
from taskreel_local.emulators.cloudtasks.messages import Queue, Status, Task, View

_STRING, _STRINGS, _INT32, _TIMESTAMP = String(), Repeated(String()), Int(32), Timestamp()
_VIEW, _TASK, _QUEUE, _MASK = Enum(View, "Task.View"), Message(Task), Message(Queue), FieldMask()


class CreatesState(IntEnum):
    """BatchCreateTasksMetadata.State."""

    STATE_UNSPECIFIED = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4
    PARTIALLY_SUCCEEDED = 5


class DeletesState(IntEnum):
    """BatchDeleteTasksMetadata.State."""

    STATE_UNSPECIFIED = 0
    RUNNING = 1
    SUCCEEDED = 2
    PARTIALLY_SUCCEEDED = 3
    FAILED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """Nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByName:
    """Get, delete, pause, resume and purge, of whatever has the name."""

    name: str = wire(1, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetQueueRequest:
    """GetQueue; the mask is v2beta3's and asks for `stats`."""

    name: str = wire(1, _STRING)
    read_mask: tuple[str, ...] = wire(2, _MASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateQueueRequest:
    """CreateQueue."""

    parent: str = wire(1, _STRING)
    queue: Queue | None = wire(2, _QUEUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateQueueRequest:
    """UpdateQueue."""

    queue: Queue | None = wire(1, _QUEUE)
    update_mask: tuple[str, ...] = wire(2, _MASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQueuesRequest:
    """ListQueues."""

    parent: str = wire(1, _STRING)
    filter: str = wire(2, _STRING)
    page_size: int = wire(3, _INT32)
    page_token: str = wire(4, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQueuesResponse:
    """A page of queues."""

    queues: tuple[Queue, ...] = wire(1, Repeated(_QUEUE))
    next_page_token: str = wire(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTaskRequest:
    """CreateTask."""

    parent: str = wire(1, _STRING)
    task: Task | None = wire(2, _TASK)
    response_view: View = wire(3, _VIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """GetTask and RunTask."""

    name: str = wire(1, _STRING)
    response_view: View = wire(2, _VIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTasksRequest:
    """ListTasks."""

    parent: str = wire(1, _STRING)
    response_view: View = wire(2, _VIEW)
    page_size: int = wire(3, _INT32)
    page_token: str = wire(4, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTasksResponse:
    """A page of tasks."""

    tasks: tuple[Task, ...] = wire(1, Repeated(_TASK))
    next_page_token: str = wire(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCreateTasksRequest:
    """BatchCreateTasks: at most 100, all for one queue."""

    parent: str = wire(1, _STRING)
    requests: tuple[CreateTaskRequest, ...] = wire(2, Repeated(Message(CreateTaskRequest)))
    request_id: str = wire(3, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCreateTasksResponse:
    """The tasks that were created."""

    tasks: tuple[Task, ...] = wire(1, Repeated(_TASK))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCreateTasksMetadata:
    """How a batch of creates went; the keys are places in the request."""

    start_time: int | None = wire(1, _TIMESTAMP)
    end_time: int | None = wire(2, _TIMESTAMP)
    state: CreatesState = wire(3, Enum(CreatesState, "BatchCreateTasksMetadata.State"))
    failed_requests: dict[int, Status] | None = wire(4, MessageMap(Status))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDeleteTasksRequest:
    """BatchDeleteTasks: at most 1000."""

    parent: str = wire(1, _STRING)
    names: tuple[str, ...] = wire(2, _STRINGS)
    request_id: str = wire(3, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDeleteTasksMetadata:
    """How a batch of deletes went; the keys are places in the request."""

    start_time: int | None = wire(1, _TIMESTAMP)
    end_time: int | None = wire(2, _TIMESTAMP)
    state: DeletesState = wire(3, Enum(DeletesState, "BatchDeleteTasksMetadata.State"))
    failed_requests: dict[int, Status] | None = wire(4, MessageMap(Status))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """google.longrunning.Operation; a batch is done when it is answered."""

    name: str
    metadata: BatchCreateTasksMetadata | BatchDeleteTasksMetadata
    response: BatchCreateTasksResponse | Empty | None
    error: Status | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferTaskRequest:
    """BufferTask, REST only: the body of the call is the body of the task."""

    queue: str
    task_id: str
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferTaskResponse:
    """The created task."""

    task: Task | None = wire(1, _TASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmekConfig:
    """A location's encryption key; kept and returned."""

    name: str = wire(1, _STRING)
    kms_key: str = wire(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCmekConfigRequest:
    """UpdateCmekConfig."""

    cmek_config: CmekConfig | None = wire(1, Message(CmekConfig))
    update_mask: tuple[str, ...] = wire(2, _MASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expr:
    """google.type.Expr: a binding's condition."""

    expression: str = wire(1, _STRING)
    title: str = wire(2, _STRING)
    description: str = wire(3, _STRING)
    location: str = wire(4, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Who has a role."""

    role: str = wire(1, _STRING)
    members: tuple[str, ...] = wire(2, _STRINGS)
    condition: Expr | None = wire(3, Message(Expr))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """google.iam.v1.Policy without audit settings."""

    version: int = wire(1, _INT32)
    etag: bytes = wire(3, Bytes())
    bindings: tuple[Binding, ...] = wire(4, Repeated(Message(Binding)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """google.iam.v1.GetPolicyOptions."""

    requested_policy_version: int = wire(1, _INT32)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetIamPolicyRequest:
    """GetIamPolicy."""

    resource: str = wire(1, _STRING)
    options: PolicyOptions | None = wire(2, Message(PolicyOptions))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetIamPolicyRequest:
    """SetIamPolicy."""

    resource: str = wire(1, _STRING)
    policy: Policy | None = wire(2, Message(Policy))
    update_mask: tuple[str, ...] = wire(3, _MASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestIamPermissionsRequest:
    """TestIamPermissions."""

    __test__ = False

    resource: str = wire(1, _STRING)
    permissions: tuple[str, ...] = wire(2, _STRINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestIamPermissionsResponse:
    """Those of the asked that the caller has: here all of them."""

    __test__ = False

    permissions: tuple[str, ...] = wire(1, _STRINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """google.cloud.location.Location."""

    name: str = wire(1, _STRING)
    labels: dict[str, str] | None = wire(2, StringMap())
    location_id: str = wire(4, _STRING)
    display_name: str = wire(5, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLocationsRequest:
    """ListLocations; `name` is the project's."""

    name: str = wire(1, _STRING)
    filter: str = wire(2, _STRING)
    page_size: int = wire(3, _INT32)
    page_token: str = wire(4, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLocationsResponse:
    """A page of locations."""

    locations: tuple[Location, ...] = wire(1, Repeated(Message(Location)))
    next_page_token: str = wire(2, _STRING)
