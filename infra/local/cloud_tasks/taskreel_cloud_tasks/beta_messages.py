"""The messages of v2beta3 and v2beta2 that differ from those of v2 (clients 2.26)."""

# ruff: noqa: RUF009 - `proto_field` declares a field, as `dataclasses.field` does
from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from taskreel_cloud_tasks.codec_messages import FieldMask, Message, Repeated, StringMap
from taskreel_cloud_tasks.codec_scalars import (
    Bool,
    Bytes,
    Double,
    Duration,
    Enum,
    Int,
    String,
    Timestamp,
)
from taskreel_cloud_tasks.message_codec import proto_field
from taskreel_cloud_tasks.messages import (
    AppEngineRouting,
    Attempt,
    HttpMethod,
    HttpRequest,
    HttpTarget,
    QueueStats,
    RateLimits,
    RetryConfig,
    StackdriverLoggingConfig,
    State,
    View,
)

_STRING, _INT32, _MASK = String(), Int(32), FieldMask()
_DURATION, _TIMESTAMP = Duration(), Timestamp()
_VIEW = Enum(View, "Task.View")
_STATE = Enum(State, "Queue.State")


class QueueType(IntEnum):
    """A queue's type in v2beta3. Pull queues do not exist here."""

    TYPE_UNSPECIFIED = 0
    PULL = 1
    PUSH = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEngineHttpQueue:
    """v2beta3's `app_engine_http_queue` and v2beta2's `app_engine_http_target`."""

    app_engine_routing_override: AppEngineRouting | None = proto_field(1, Message(AppEngineRouting))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueBeta3:
    """A queue in v2beta3."""

    name: str = proto_field(1, _STRING)
    app_engine_http_queue: AppEngineHttpQueue | None = proto_field(3, Message(AppEngineHttpQueue))
    rate_limits: RateLimits | None = proto_field(4, Message(RateLimits))
    retry_config: RetryConfig | None = proto_field(5, Message(RetryConfig))
    state: State = proto_field(6, _STATE)
    purge_time: int | None = proto_field(7, _TIMESTAMP)
    task_ttl: int | None = proto_field(8, _DURATION)
    tombstone_ttl: int | None = proto_field(9, _DURATION)
    stackdriver_logging_config: StackdriverLoggingConfig | None = proto_field(
        10, Message(StackdriverLoggingConfig)
    )
    type_: QueueType = proto_field(11, Enum(QueueType, "Queue.Type"))
    stats: QueueStats | None = proto_field(12, Message(QueueStats))
    http_target: HttpTarget | None = proto_field(13, Message(HttpTarget))


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitsBeta2:
    """Rate limits under v2beta2's names."""

    max_tasks_dispatched_per_second: float = proto_field(1, Double())
    max_burst_size: int = proto_field(2, _INT32)
    max_concurrent_tasks: int = proto_field(3, _INT32)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfigBeta2:
    """Retries in v2beta2, where unlimited attempts are a field of their own."""

    max_attempts: int = proto_field(1, _INT32, oneof="num_attempts")
    unlimited_attempts: bool = proto_field(2, Bool(), oneof="num_attempts")
    max_retry_duration: int | None = proto_field(3, _DURATION)
    min_backoff: int | None = proto_field(4, _DURATION)
    max_backoff: int | None = proto_field(5, _DURATION)
    max_doublings: int = proto_field(6, _INT32)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueBeta2:
    """A queue in v2beta2."""

    name: str = proto_field(1, _STRING)
    app_engine_http_target: AppEngineHttpQueue | None = proto_field(3, Message(AppEngineHttpQueue))
    rate_limits: RateLimitsBeta2 | None = proto_field(5, Message(RateLimitsBeta2))
    retry_config: RetryConfigBeta2 | None = proto_field(6, Message(RetryConfigBeta2))
    state: State = proto_field(7, _STATE)
    purge_time: int | None = proto_field(8, _TIMESTAMP)
    task_ttl: int | None = proto_field(9, _DURATION)
    tombstone_ttl: int | None = proto_field(10, _DURATION)
    stats: QueueStats | None = proto_field(16, Message(QueueStats))
    http_target: HttpTarget | None = proto_field(17, Message(HttpTarget))


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEngineHttpRequestBeta2:
    """A task for an App Engine app under v2beta2's names."""

    http_method: HttpMethod = proto_field(1, Enum(HttpMethod, "HttpMethod"))
    app_engine_routing: AppEngineRouting | None = proto_field(2, Message(AppEngineRouting))
    relative_url: str = proto_field(3, _STRING)
    headers: dict[str, str] | None = proto_field(4, StringMap())
    payload: bytes = proto_field(5, Bytes())


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatusBeta2:
    """The counters and attempts of a task in v2beta2."""

    attempt_dispatch_count: int = proto_field(1, _INT32)
    attempt_response_count: int = proto_field(2, _INT32)
    first_attempt_status: Attempt | None = proto_field(3, Message(Attempt))
    last_attempt_status: Attempt | None = proto_field(4, Message(Attempt))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBeta2:
    """A task in v2beta2."""

    name: str = proto_field(1, _STRING)
    app_engine_http_request: AppEngineHttpRequestBeta2 | None = proto_field(
        3, Message(AppEngineHttpRequestBeta2), oneof="payload_type"
    )
    http_request: HttpRequest | None = proto_field(13, Message(HttpRequest), oneof="payload_type")
    schedule_time: int | None = proto_field(5, _TIMESTAMP)
    create_time: int | None = proto_field(6, _TIMESTAMP)
    status: TaskStatusBeta2 | None = proto_field(7, Message(TaskStatusBeta2))
    view: View = proto_field(8, _VIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateQueueRequestBeta3:
    """CreateQueue."""

    parent: str = proto_field(1, _STRING)
    queue: QueueBeta3 | None = proto_field(2, Message(QueueBeta3))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateQueueRequestBeta3:
    """UpdateQueue."""

    queue: QueueBeta3 | None = proto_field(1, Message(QueueBeta3))
    update_mask: tuple[str, ...] = proto_field(2, _MASK)
    cleared: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateQueueRequestBeta2:
    """CreateQueue."""

    parent: str = proto_field(1, _STRING)
    queue: QueueBeta2 | None = proto_field(2, Message(QueueBeta2))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateQueueRequestBeta2:
    """UpdateQueue."""

    queue: QueueBeta2 | None = proto_field(1, Message(QueueBeta2))
    update_mask: tuple[str, ...] = proto_field(2, _MASK)
    cleared: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class GetQueueRequestBeta:
    """GetQueue; the mask chooses fields, and alone brings `stats`."""

    name: str = proto_field(1, _STRING)
    read_mask: tuple[str, ...] = proto_field(2, _MASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQueuesRequestBeta:
    """ListQueues, with a mask as in GetQueue."""

    parent: str = proto_field(1, _STRING)
    filter: str = proto_field(2, _STRING)
    page_size: int = proto_field(3, _INT32)
    page_token: str = proto_field(4, _STRING)
    read_mask: tuple[str, ...] = proto_field(5, _MASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQueuesResponseBeta3:
    """A page of queues."""

    queues: tuple[QueueBeta3, ...] = proto_field(1, Repeated(Message(QueueBeta3)))
    next_page_token: str = proto_field(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQueuesResponseBeta2:
    """A page of queues."""

    queues: tuple[QueueBeta2, ...] = proto_field(1, Repeated(Message(QueueBeta2)))
    next_page_token: str = proto_field(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTaskRequestBeta2:
    """CreateTask."""

    parent: str = proto_field(1, _STRING)
    task: TaskBeta2 | None = proto_field(2, Message(TaskBeta2))
    response_view: View = proto_field(3, _VIEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTasksResponseBeta2:
    """A page of tasks."""

    tasks: tuple[TaskBeta2, ...] = proto_field(1, Repeated(Message(TaskBeta2)))
    next_page_token: str = proto_field(2, _STRING)
