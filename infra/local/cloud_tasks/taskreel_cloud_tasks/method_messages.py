"""Request and response messages of the methods, except queues and tasks."""

# ruff: noqa: RUF009 - `proto_field` declares a field, as `dataclasses.field` does
from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from taskreel_cloud_tasks.codec_messages import (
    FieldMask,
    Message,
    MessageMap,
    Repeated,
    StringMap,
)
from taskreel_cloud_tasks.codec_scalars import Bytes, Enum, Int, String, Timestamp
from taskreel_cloud_tasks.message_codec import proto_field
from taskreel_cloud_tasks.messages import Queue, Status, Task, View

_STRING, _STRINGS, _INT32, _TIMESTAMP = String(), Repeated(String()), Int(32), Timestamp()
_VIEW, _TASK, _QUEUE, _MASK = Enum(View, "Task.View"), Message(Task), Message(Queue), FieldMask()


class BatchCreateState(IntEnum):
    """BatchCreateTasksMetadata.State."""

    STATE_UNSPECIFIED = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4
    PARTIALLY_SUCCEEDED = 5


class BatchDeleteState(IntEnum):
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
class NameRequest:
    """A request with a name only: get, delete, pause, resume and purge."""

    name: str = proto_field(1, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetQueueRequest:
    """GetQueue."""

    name: str = proto_field(1, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateQueueRequest:
    """CreateQueue."""

    parent: str = proto_field(1, _STRING)
    queue: Queue | None = proto_field(2, _QUEUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateQueueRequest:
    """UpdateQueue."""

    queue: Queue | None = proto_field(1, _QUEUE)
    update_mask: tuple[str, ...] = proto_field(2, _MASK)
    cleared: frozenset[str] = frozenset()
    """Paths of the mask that a JSON request has no value for: they get the default. A protobuf
    request cannot tell a zero from no value; there a zero in the mask is a zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQueuesRequest:
    """ListQueues."""

    parent: str = proto_field(1, _STRING)
    filter: str = proto_field(2, _STRING)
    page_size: int = proto_field(3, _INT32)
    page_token: str = proto_field(4, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQueuesResponse:
    """A page of queues."""

    queues: tuple[Queue, ...] = proto_field(1, Repeated(_QUEUE))
    next_page_token: str = proto_field(2, _STRING)


@dataclass(slots=True, kw_only=True)
class CreateTaskRequest:
    """CreateTask."""

    parent: str = proto_field(1, _STRING)
    task: Task | None = proto_field(2, _TASK)
    response_view: View = proto_field(3, _VIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """GetTask and RunTask."""

    name: str = proto_field(1, _STRING)
    response_view: View = proto_field(2, _VIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTasksRequest:
    """ListTasks."""

    parent: str = proto_field(1, _STRING)
    response_view: View = proto_field(2, _VIEW)
    page_size: int = proto_field(3, _INT32)
    page_token: str = proto_field(4, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTasksResponse:
    """A page of tasks."""

    tasks: tuple[Task, ...] = proto_field(1, Repeated(_TASK))
    next_page_token: str = proto_field(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCreateTasksRequest:
    """BatchCreateTasks: at most 100, all for one queue."""

    parent: str = proto_field(1, _STRING)
    requests: tuple[CreateTaskRequest, ...] = proto_field(2, Repeated(Message(CreateTaskRequest)))
    request_id: str = proto_field(3, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCreateTasksResponse:
    """The tasks that were created."""

    tasks: tuple[Task, ...] = proto_field(1, Repeated(_TASK))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCreateTasksMetadata:
    """The result of a batch of creates; the keys are indexes into the request."""

    start_time: int | None = proto_field(1, _TIMESTAMP)
    end_time: int | None = proto_field(2, _TIMESTAMP)
    state: BatchCreateState = proto_field(
        3, Enum(BatchCreateState, "BatchCreateTasksMetadata.State")
    )
    failed_requests: dict[int, Status] | None = proto_field(4, MessageMap(Status))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDeleteTasksRequest:
    """BatchDeleteTasks: at most 1000."""

    parent: str = proto_field(1, _STRING)
    names: tuple[str, ...] = proto_field(2, _STRINGS)
    request_id: str = proto_field(3, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDeleteTasksMetadata:
    """The result of a batch of deletes; the keys are indexes into the request."""

    start_time: int | None = proto_field(1, _TIMESTAMP)
    end_time: int | None = proto_field(2, _TIMESTAMP)
    state: BatchDeleteState = proto_field(
        3, Enum(BatchDeleteState, "BatchDeleteTasksMetadata.State")
    )
    failed_requests: dict[int, Status] | None = proto_field(4, MessageMap(Status))


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

    task: Task | None = proto_field(1, _TASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class CmekConfig:
    """A location's encryption key; stored and returned only."""

    name: str = proto_field(1, _STRING)
    kms_key: str = proto_field(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateCmekConfigRequest:
    """UpdateCmekConfig."""

    cmek_config: CmekConfig | None = proto_field(1, Message(CmekConfig))
    update_mask: tuple[str, ...] = proto_field(2, _MASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expr:
    """google.type.Expr: a binding's condition."""

    expression: str = proto_field(1, _STRING)
    title: str = proto_field(2, _STRING)
    description: str = proto_field(3, _STRING)
    location: str = proto_field(4, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A role and its members."""

    role: str = proto_field(1, _STRING)
    members: tuple[str, ...] = proto_field(2, _STRINGS)
    condition: Expr | None = proto_field(3, Message(Expr))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """google.iam.v1.Policy without audit settings."""

    version: int = proto_field(1, _INT32)
    etag: bytes = proto_field(3, Bytes())
    bindings: tuple[Binding, ...] = proto_field(4, Repeated(Message(Binding)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """google.iam.v1.GetPolicyOptions."""

    requested_policy_version: int = proto_field(1, _INT32)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetIamPolicyRequest:
    """GetIamPolicy."""

    resource: str = proto_field(1, _STRING)
    options: PolicyOptions | None = proto_field(2, Message(PolicyOptions))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetIamPolicyRequest:
    """SetIamPolicy."""

    resource: str = proto_field(1, _STRING)
    policy: Policy | None = proto_field(2, Message(Policy))
    update_mask: tuple[str, ...] = proto_field(3, _MASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestIamPermissionsRequest:
    """TestIamPermissions."""

    __test__ = False

    resource: str = proto_field(1, _STRING)
    permissions: tuple[str, ...] = proto_field(2, _STRINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestIamPermissionsResponse:
    """The granted permissions: here all that were asked for."""

    __test__ = False

    permissions: tuple[str, ...] = proto_field(1, _STRINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """google.cloud.location.Location."""

    name: str = proto_field(1, _STRING)
    labels: dict[str, str] | None = proto_field(2, StringMap())
    location_id: str = proto_field(4, _STRING)
    display_name: str = proto_field(5, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLocationsRequest:
    """ListLocations; `name` is the project's."""

    name: str = proto_field(1, _STRING)
    filter: str = proto_field(2, _STRING)
    page_size: int = proto_field(3, _INT32)
    page_token: str = proto_field(4, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLocationsResponse:
    """A page of locations."""

    locations: tuple[Location, ...] = proto_field(1, Repeated(Message(Location)))
    next_page_token: str = proto_field(2, _STRING)
