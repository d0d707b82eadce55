"""The messages of google.cloud.tasks.v2 (client 2.26) as plain values.

Times are microseconds since 1970, durations microseconds; an unset message field is None.
None of them is changed once it is made. Those of each CreateTask are not declared frozen all the
same: that takes three times as long to make one.
"""

# ruff: noqa: RUF009 - `proto_field` declares a field, as `dataclasses.field` does
from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from taskreel_cloud_tasks.codec_messages import Message, Repeated, StringMap
from taskreel_cloud_tasks.codec_scalars import (
    Bytes,
    Double,
    Duration,
    Enum,
    Int,
    String,
    Timestamp,
)
from taskreel_cloud_tasks.message_codec import proto_field


class HttpMethod(IntEnum):
    """The HTTP method of a task; unspecified means POST."""

    HTTP_METHOD_UNSPECIFIED = 0
    POST = 1
    GET = 2
    HEAD = 3
    PUT = 4
    DELETE = 5
    PATCH = 6
    OPTIONS = 7


class View(IntEnum):
    """Unspecified means BASIC, which leaves the body out."""

    VIEW_UNSPECIFIED = 0
    BASIC = 1
    FULL = 2


class State(IntEnum):
    """A queue's state."""

    STATE_UNSPECIFIED = 0
    RUNNING = 1
    PAUSED = 2
    DISABLED = 3


class Scheme(IntEnum):
    """Of a URI override; unspecified means HTTPS."""

    SCHEME_UNSPECIFIED = 0
    HTTP = 1
    HTTPS = 2


class EnforceMode(IntEnum):
    """Of a URI override; unspecified means ALWAYS."""

    URI_OVERRIDE_ENFORCE_MODE_UNSPECIFIED = 0
    IF_NOT_EXISTS = 1
    ALWAYS = 2


_STRING, _BYTES, _STRINGS = String(), Bytes(), StringMap()
_INT32, _INT64, _DOUBLE = Int(32), Int(64), Double()
_DURATION, _TIMESTAMP = Duration(), Timestamp()
_METHOD, _VIEW = Enum(HttpMethod, "HttpMethod"), Enum(View, "Task.View")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthToken:
    """An access token to send along; the scope defaults to cloud-platform."""

    service_account_email: str = proto_field(1, _STRING)
    scope: str = proto_field(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcToken:
    """An identity token to send along; the audience defaults to the task's URL."""

    service_account_email: str = proto_field(1, _STRING)
    audience: str = proto_field(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathOverride:
    """Replaces the URL's path."""

    path: str = proto_field(1, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOverride:
    """Replaces the URL's query."""

    query_params: str = proto_field(1, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class UriOverride:
    """Parts of the URL that the queue overrides."""

    scheme: Scheme | None = proto_field(1, Enum(Scheme, "UriOverride.Scheme"), optional=True)
    host: str | None = proto_field(2, _STRING, optional=True)
    port: int | None = proto_field(3, _INT64, optional=True)
    path_override: PathOverride | None = proto_field(4, Message(PathOverride))
    query_override: QueryOverride | None = proto_field(5, Message(QueryOverride))
    uri_override_enforce_mode: EnforceMode = proto_field(
        6, Enum(EnforceMode, "UriOverride.UriOverrideEnforceMode")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header of the queue."""

    key: str = proto_field(1, _STRING)
    value: str = proto_field(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderOverride:
    """Google wraps the header once more."""

    header: Header | None = proto_field(1, Message(Header))


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """The queue's overrides of every HTTP task's request, applied at dispatch."""

    uri_override: UriOverride | None = proto_field(1, Message(UriOverride))
    http_method: HttpMethod = proto_field(2, _METHOD)
    header_overrides: tuple[HeaderOverride, ...] = proto_field(3, Repeated(Message(HeaderOverride)))
    oauth_token: OAuthToken | None = proto_field(
        5, Message(OAuthToken), oneof="authorization_header"
    )
    oidc_token: OidcToken | None = proto_field(6, Message(OidcToken), oneof="authorization_header")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEngineRouting:
    """Service, version and instance; `host` is output only."""

    service: str = proto_field(1, _STRING)
    version: str = proto_field(2, _STRING)
    instance: str = proto_field(3, _STRING)
    host: str = proto_field(4, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEngineHttpRequest:
    """A task for an App Engine app."""

    http_method: HttpMethod = proto_field(1, _METHOD)
    app_engine_routing: AppEngineRouting | None = proto_field(2, Message(AppEngineRouting))
    relative_uri: str = proto_field(3, _STRING)
    headers: dict[str, str] | None = proto_field(4, _STRINGS)
    body: bytes = proto_field(5, _BYTES)


@dataclass(slots=True, kw_only=True)
class HttpRequest:
    """A task for any URL."""

    url: str = proto_field(1, _STRING)
    http_method: HttpMethod = proto_field(2, _METHOD)
    headers: dict[str, str] | None = proto_field(3, _STRINGS)
    body: bytes = proto_field(4, _BYTES)
    oauth_token: OAuthToken | None = proto_field(
        5, Message(OAuthToken), oneof="authorization_header"
    )
    oidc_token: OidcToken | None = proto_field(6, Message(OidcToken), oneof="authorization_header")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Rate and concurrency of a queue; the burst size is output only."""

    max_dispatches_per_second: float = proto_field(1, _DOUBLE)
    max_burst_size: int = proto_field(2, _INT32)
    max_concurrent_dispatches: int = proto_field(3, _INT32)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """The backoff of failed attempts, and the limits of retrying."""

    max_attempts: int = proto_field(1, _INT32)
    max_retry_duration: int | None = proto_field(2, _DURATION)
    min_backoff: int | None = proto_field(3, _DURATION)
    max_backoff: int | None = proto_field(4, _DURATION)
    max_doublings: int = proto_field(5, _INT32)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackdriverLoggingConfig:
    """Stored and returned; the emulator does not log by it."""

    sampling_ratio: float = proto_field(1, _DOUBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """Statistics of a queue, in v2beta3 only."""

    tasks_count: int = proto_field(1, _INT64)
    oldest_estimated_arrival_time: int | None = proto_field(2, _TIMESTAMP)
    executed_last_minute_count: int = proto_field(3, _INT64)
    concurrent_dispatches_count: int = proto_field(4, _INT64)
    effective_execution_rate: float = proto_field(5, _DOUBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue and the settings its tasks are dispatched by."""

    name: str = proto_field(1, _STRING)
    app_engine_routing_override: AppEngineRouting | None = proto_field(2, Message(AppEngineRouting))
    rate_limits: RateLimits | None = proto_field(3, Message(RateLimits))
    retry_config: RetryConfig | None = proto_field(4, Message(RetryConfig))
    state: State = proto_field(5, Enum(State, "Queue.State"))
    purge_time: int | None = proto_field(6, _TIMESTAMP)
    stackdriver_logging_config: StackdriverLoggingConfig | None = proto_field(
        9, Message(StackdriverLoggingConfig)
    )
    http_target: HttpTarget | None = proto_field(10, Message(HttpTarget))
    task_ttl: int | None = None
    """Of v2beta3 and v2beta2 only: longest life of a task. Not a field of v2's message."""
    tombstone_ttl: int | None = None
    """Of v2beta3 and v2beta2 only: time that a finished task's name stays reserved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """google.rpc.Status without details."""

    code: int = proto_field(1, _INT32)
    message: str = proto_field(2, _STRING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One dispatch; without a response time it is running, or was lost."""

    schedule_time: int | None = proto_field(1, _TIMESTAMP)
    dispatch_time: int | None = proto_field(2, _TIMESTAMP)
    response_time: int | None = proto_field(3, _TIMESTAMP)
    response_status: Status | None = proto_field(4, Message(Status))


@dataclass(slots=True, kw_only=True)
class Task:
    """A task as callers write and read it."""

    name: str = proto_field(1, _STRING)
    app_engine_http_request: AppEngineHttpRequest | None = proto_field(
        2, Message(AppEngineHttpRequest), oneof="message_type"
    )
    http_request: HttpRequest | None = proto_field(3, Message(HttpRequest), oneof="message_type")
    schedule_time: int | None = proto_field(4, _TIMESTAMP)
    create_time: int | None = proto_field(5, _TIMESTAMP)
    dispatch_deadline: int | None = proto_field(6, _DURATION)
    dispatch_count: int = proto_field(7, _INT32)
    response_count: int = proto_field(8, _INT32)
    first_attempt: Attempt | None = proto_field(9, Message(Attempt))
    last_attempt: Attempt | None = proto_field(10, Message(Attempt))
    view: View = proto_field(11, _VIEW)
    retry_config: RetryConfig | None = proto_field(12, Message(RetryConfig))
