"""The older versions of the API, v2beta3 and v2beta2, as other shapes of the messages of v2.

A version reads a request into the message of v2 that the method takes, and shows a result of v2 in
its own shape. Methods that have the same messages everywhere are not mentioned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from taskreel_cloud_tasks import beta_messages as beta
from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError, Code, invalid_argument
from taskreel_cloud_tasks.messages import (
    AppEngineHttpRequest,
    Queue,
    QueueStats,
    RateLimits,
    RetryConfig,
    Task,
)
from taskreel_cloud_tasks.method_messages import (
    CreateQueueRequest,
    CreateTaskRequest,
    GetQueueRequest,
    ListQueuesRequest,
    ListQueuesResponse,
    ListTasksResponse,
    UpdateQueueRequest,
)
from taskreel_cloud_tasks.pacing import RETENTION

StatsOf = Callable[[str], QueueStats]

_TTL_PATHS = ("task_ttl", "tombstone_ttl")


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """A version's name, its request messages that differ from v2's, and the conversions."""

    name: str
    requests: Mapping[str, type]
    from_request: Callable[[Any], Any]
    """A request of this version as v2's."""
    to_response: Callable[[Any, Any, StatsOf], Any]
    """A result of v2 as this version's, for the request that it answers."""
    refused: frozenset[str] = frozenset()
    """Methods that exist in this version at Google, but not here."""

    def check_method(self, name: str) -> None:
        """Raise ApiError for a method that is not there."""
        if name in self.refused:
            raise ApiError(
                Code.UNIMPLEMENTED,
                f"{name} of {self.name} is not part of this emulator: it has push queues only.",
            )


def _read_v2(request: Any) -> Any:
    if isinstance(request, UpdateQueueRequest):
        for path in request.update_mask:
            if message_codec.to_snake_case(path) in _TTL_PATHS:
                raise invalid_argument(f"Invalid field mask: unknown path '{path}'.")
    return request


def _same_result(result: Any, _request: Any, _stats: StatsOf) -> Any:
    return result


V2 = ApiVersion("v2", {}, _read_v2, _same_result)


# ── v2beta3 ──────────────────────────────────────────────────────────────────────────────────────

_PATHS_BETA3 = {"app_engine_http_queue": "app_engine_routing_override"}
_PATHS_BETA2 = {
    "app_engine_http_target": "app_engine_routing_override",
    "rate_limits.max_tasks_dispatched_per_second": "rate_limits.max_dispatches_per_second",
    "rate_limits.max_concurrent_tasks": "rate_limits.max_concurrent_dispatches",
    "retry_config.unlimited_attempts": "retry_config.max_attempts",
}


def _read_beta3(request: Any) -> Any:
    match request:
        case beta.CreateQueueRequestBeta3():
            return CreateQueueRequest(
                parent=request.parent, queue=_queue_from_beta3(request.queue or beta.QueueBeta3())
            )
        case beta.UpdateQueueRequestBeta3():
            return UpdateQueueRequest(
                queue=_queue_from_beta3(request.queue or beta.QueueBeta3()),
                update_mask=_translate_mask(request.update_mask, _PATHS_BETA3),
                cleared=frozenset(_translate_paths(request.cleared, _PATHS_BETA3)),
            )
        case _:
            return _read_shared(request)


def _read_shared(request: Any) -> Any:
    match request:
        case beta.GetQueueRequestBeta():
            return GetQueueRequest(name=request.name)
        case beta.ListQueuesRequestBeta():
            return ListQueuesRequest(
                parent=request.parent,
                filter=request.filter,
                page_size=request.page_size,
                page_token=request.page_token,
            )
        case _:
            return request


def _translate_mask(mask: tuple[str, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the mask in v2's names; an empty one names everything, the times to live too."""
    if not mask:
        every = [field.attr for field in message_codec.fields_of(Queue)]
        return (*every, *_TTL_PATHS)
    return _translate_paths(mask, names)


def _translate_paths(paths: Iterable[str], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_translate_path(message_codec.to_snake_case(path), names) for path in paths)


def _translate_path(path: str, names: Mapping[str, str]) -> str:
    head = path.split(".", maxsplit=1)[0]
    if head in {"app_engine_http_queue", "app_engine_http_target"}:
        inside = path.removeprefix(head).removeprefix(".app_engine_routing_override")
        return names.get(head, head) + inside
    return names.get(path, path)


def _queue_from_beta3(queue: beta.QueueBeta3) -> Queue:
    if queue.type_ is beta.QueueType.PULL:
        raise invalid_argument("Pull queues are not supported.")
    routing = queue.app_engine_http_queue
    return Queue(
        name=queue.name,
        app_engine_routing_override=routing.app_engine_routing_override if routing else None,
        rate_limits=queue.rate_limits,
        retry_config=queue.retry_config,
        stackdriver_logging_config=queue.stackdriver_logging_config,
        http_target=queue.http_target,
        task_ttl=queue.task_ttl,
        tombstone_ttl=queue.tombstone_ttl,
    )


def _queue_to_beta3(queue: Queue, stats: QueueStats | None) -> beta.QueueBeta3:
    return beta.QueueBeta3(
        name=queue.name,
        app_engine_http_queue=_routing_of(queue),
        rate_limits=queue.rate_limits,
        retry_config=queue.retry_config,
        state=queue.state,
        purge_time=queue.purge_time,
        task_ttl=RETENTION if queue.task_ttl is None else queue.task_ttl,
        tombstone_ttl=queue.tombstone_ttl,
        stackdriver_logging_config=queue.stackdriver_logging_config,
        type_=beta.QueueType.PUSH,
        stats=stats,
        http_target=queue.http_target,
    )


def _routing_of(queue: Queue) -> beta.AppEngineHttpQueue:
    return beta.AppEngineHttpQueue(app_engine_routing_override=queue.app_engine_routing_override)


def _show_beta3(result: Any, request: Any, stats_of: StatsOf) -> Any:
    if isinstance(result, Queue):
        return _show_queue(result, request, stats_of, _queue_to_beta3)
    if isinstance(result, ListQueuesResponse):
        shown = (_show_queue(each, request, stats_of, _queue_to_beta3) for each in result.queues)
        return beta.ListQueuesResponseBeta3(
            queues=tuple(shown), next_page_token=result.next_page_token
        )
    return result


def _show_queue(
    queue: Queue,
    request: Any,
    stats_of: StatsOf,
    convert: Callable[[Queue, QueueStats | None], Any],
) -> Any:
    """Return a queue with the fields of the read mask; without one all of them except `stats`."""
    mask = {message_codec.to_snake_case(path) for path in getattr(request, "read_mask", ())}
    shown = convert(queue, stats_of(queue.name) if "stats" in mask else None)
    heads = {path.split(".")[0].replace("type", "type_") for path in mask}
    if not heads or "*" in heads:
        return shown
    unset = {
        field.attr: field.default
        for field in message_codec.fields_of(type(shown))
        if field.attr not in heads
    }
    return replace(shown, **unset)


V2BETA3 = ApiVersion(
    "v2beta3",
    {
        "CreateQueue": beta.CreateQueueRequestBeta3,
        "UpdateQueue": beta.UpdateQueueRequestBeta3,
        "GetQueue": beta.GetQueueRequestBeta,
        "ListQueues": beta.ListQueuesRequestBeta,
    },
    _read_beta3,
    _show_beta3,
)


# ── v2beta2 ──────────────────────────────────────────────────────────────────────────────────────


def _read_beta2(request: Any) -> Any:
    match request:
        case beta.CreateQueueRequestBeta2():
            return CreateQueueRequest(
                parent=request.parent, queue=_queue_from_beta2(request.queue or beta.QueueBeta2())
            )
        case beta.UpdateQueueRequestBeta2():
            return UpdateQueueRequest(
                queue=_queue_from_beta2(request.queue or beta.QueueBeta2()),
                update_mask=_translate_mask(request.update_mask, _PATHS_BETA2),
                cleared=frozenset(_translate_paths(request.cleared, _PATHS_BETA2)),
            )
        case beta.CreateTaskRequestBeta2():
            return CreateTaskRequest(
                parent=request.parent,
                task=_task_from_beta2(request.task or beta.TaskBeta2()),
                response_view=request.response_view,
            )
        case _:
            return _read_shared(request)


def _queue_from_beta2(queue: beta.QueueBeta2) -> Queue:
    routing, limits, retry = queue.app_engine_http_target, queue.rate_limits, queue.retry_config
    return Queue(
        name=queue.name,
        app_engine_routing_override=routing.app_engine_routing_override if routing else None,
        rate_limits=RateLimits(
            max_dispatches_per_second=limits.max_tasks_dispatched_per_second,
            max_concurrent_dispatches=limits.max_concurrent_tasks,
        )
        if limits
        else None,
        retry_config=RetryConfig(
            max_attempts=-1 if retry.unlimited_attempts else retry.max_attempts,
            max_retry_duration=retry.max_retry_duration,
            min_backoff=retry.min_backoff,
            max_backoff=retry.max_backoff,
            max_doublings=retry.max_doublings,
        )
        if retry
        else None,
        http_target=queue.http_target,
        task_ttl=queue.task_ttl,
        tombstone_ttl=queue.tombstone_ttl,
    )


def _queue_to_beta2(queue: Queue, stats: QueueStats | None) -> beta.QueueBeta2:
    limits, retry = queue.rate_limits or RateLimits(), queue.retry_config or RetryConfig()
    unlimited = retry.max_attempts == -1
    return beta.QueueBeta2(
        name=queue.name,
        app_engine_http_target=_routing_of(queue),
        rate_limits=beta.RateLimitsBeta2(
            max_tasks_dispatched_per_second=limits.max_dispatches_per_second,
            max_burst_size=limits.max_burst_size,
            max_concurrent_tasks=limits.max_concurrent_dispatches,
        ),
        retry_config=beta.RetryConfigBeta2(
            max_attempts=0 if unlimited else retry.max_attempts,
            unlimited_attempts=unlimited,
            max_retry_duration=retry.max_retry_duration,
            min_backoff=retry.min_backoff,
            max_backoff=retry.max_backoff,
            max_doublings=retry.max_doublings,
        ),
        state=queue.state,
        purge_time=queue.purge_time,
        task_ttl=RETENTION if queue.task_ttl is None else queue.task_ttl,
        tombstone_ttl=queue.tombstone_ttl,
        stats=stats,
        http_target=queue.http_target,
    )


def _task_from_beta2(task: beta.TaskBeta2) -> Task:
    request = task.app_engine_http_request
    return Task(
        name=task.name,
        http_request=task.http_request,
        app_engine_http_request=AppEngineHttpRequest(
            http_method=request.http_method,
            app_engine_routing=request.app_engine_routing,
            relative_uri=request.relative_url,
            headers=request.headers,
            body=request.payload,
        )
        if request
        else None,
        schedule_time=task.schedule_time,
    )


def _task_to_beta2(task: Task) -> beta.TaskBeta2:
    request = task.app_engine_http_request
    return beta.TaskBeta2(
        name=task.name,
        http_request=task.http_request,
        app_engine_http_request=beta.AppEngineHttpRequestBeta2(
            http_method=request.http_method,
            app_engine_routing=request.app_engine_routing,
            relative_url=request.relative_uri,
            headers=request.headers,
            payload=request.body,
        )
        if request
        else None,
        schedule_time=task.schedule_time,
        create_time=task.create_time,
        status=beta.TaskStatusBeta2(
            attempt_dispatch_count=task.dispatch_count,
            attempt_response_count=task.response_count,
            first_attempt_status=task.first_attempt,
            last_attempt_status=task.last_attempt,
        ),
        view=task.view,
    )


def _show_beta2(result: Any, request: Any, stats_of: StatsOf) -> Any:
    match result:
        case Queue():
            return _show_queue(result, request, stats_of, _queue_to_beta2)
        case ListQueuesResponse():
            shown = (
                _show_queue(each, request, stats_of, _queue_to_beta2) for each in result.queues
            )
            return beta.ListQueuesResponseBeta2(
                queues=tuple(shown), next_page_token=result.next_page_token
            )
        case Task():
            return _task_to_beta2(result)
        case ListTasksResponse():
            return beta.ListTasksResponseBeta2(
                tasks=tuple(map(_task_to_beta2, result.tasks)),
                next_page_token=result.next_page_token,
            )
        case _:
            return result


V2BETA2 = ApiVersion(
    "v2beta2",
    {
        "CreateQueue": beta.CreateQueueRequestBeta2,
        "UpdateQueue": beta.UpdateQueueRequestBeta2,
        "GetQueue": beta.GetQueueRequestBeta,
        "ListQueues": beta.ListQueuesRequestBeta,
        "CreateTask": beta.CreateTaskRequestBeta2,
    },
    _read_beta2,
    _show_beta2,
    frozenset({"LeaseTasks", "AcknowledgeTask", "RenewLease", "CancelLease", "UploadQueueYaml"}),
)

VERSIONS = {version.name: version for version in (V2, V2BETA3, V2BETA2)}
