"""Settings of a queue: defaults, limits and updates. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import invalid_argument
from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.messages import (
    AppEngineRouting,
    HttpTarget,
    Queue,
    RateLimits,
    RetryConfig,
)
from taskreel_cloud_tasks.pacing import DAY, burst_size
from taskreel_cloud_tasks.resource_names import split_queue

MAX_RATE = 500.0
MAX_CONCURRENT = 5000
DEFAULT_LIMITS = RateLimits(max_dispatches_per_second=500.0, max_concurrent_dispatches=1000)
DEFAULT_RETRY = RetryConfig(
    max_attempts=100, min_backoff=SECOND // 10, max_backoff=3600 * SECOND, max_doublings=16
)
"""From the create-queue page, 2026-04-08."""

S = TypeVar("S", RateLimits, RetryConfig)

_OUTPUT_ONLY = frozenset({"name", "state", "purge_time", "rate_limits.max_burst_size"})


def complete_queue(queue: Queue) -> Queue:
    """Validate a caller's settings and fill in the others; the burst size is always computed."""
    limits = _with_defaults(queue.rate_limits or RateLimits(), DEFAULT_LIMITS)
    retry = _with_defaults(queue.retry_config or RetryConfig(), DEFAULT_RETRY)
    return check_queue(replace(queue, rate_limits=limits, retry_config=retry))


def check_queue(queue: Queue) -> Queue:
    """Validate complete settings; return them with the burst size computed."""
    limits = queue.rate_limits or DEFAULT_LIMITS
    retry = _check_retry(queue.retry_config or DEFAULT_RETRY)
    _check_limits(limits)
    if queue.http_target is not None:
        _check_target(queue.http_target)
    _check_sampling(queue)
    _check_times_to_live(queue)
    limits = replace(limits, max_burst_size=burst_size(limits.max_dispatches_per_second))
    routing = queue.app_engine_routing_override
    if routing is not None:
        routing = fill_host(routing, split_queue(queue.name)[0] if queue.name else "")
    return replace(
        queue, rate_limits=limits, retry_config=retry, app_engine_routing_override=routing
    )


def fill_host(routing: AppEngineRouting, location: str) -> AppEngineRouting:
    """Return the routing with its output-only host, as App Engine's documentation forms it.

    `[INSTANCE-dot-][VERSION-dot-][SERVICE-dot-]PROJECT.appspot.com`; the region that newer apps
    have in their name is not known here.
    """
    project = location.split("/")[1] if location else ""
    parts = [routing.instance, routing.version, routing.service]
    host = "-dot-".join([*(part for part in parts if part), project])
    return replace(routing, host=f"{host}.appspot.com")


def complete_retry(config: RetryConfig | None) -> RetryConfig:
    """Validate a retry config and fill in unset fields.

    In proto3 a zero count is an unset one, so `max_doublings` 0 becomes 16; a zero duration is a
    value. A field mask tells them apart: see `merge_update`.
    """
    return _check_retry(_with_defaults(config or RetryConfig(), DEFAULT_RETRY))


def _with_defaults(given: S, defaults: S) -> S:
    unset: dict[str, Any] = {
        field.attr: getattr(defaults, field.attr)
        for field in message_codec.fields_of(type(given))
        if getattr(given, field.attr) == field.default
    }
    return replace(given, **unset)


def _check_limits(limits: RateLimits) -> None:
    rate, concurrent = limits.max_dispatches_per_second, limits.max_concurrent_dispatches
    if rate > MAX_RATE:
        raise invalid_argument(
            "RateLimits.maxDispatchesPerSecond must be less than or equal to 500."
        )
    if rate < 0:
        raise invalid_argument("RateLimits.maxDispatchesPerSecond cannot be negative.")
    if concurrent > MAX_CONCURRENT:
        raise invalid_argument(
            "RateLimits.maxConcurrentDispatches must be less than or equal to 5000."
        )
    if concurrent < 0:
        raise invalid_argument("RateLimits.maxConcurrentDispatches cannot be negative.")


def _check_retry(retry: RetryConfig) -> RetryConfig:
    if retry.max_retry_duration is not None:
        whole = retry.max_retry_duration // SECOND * SECOND
        retry = replace(retry, max_retry_duration=whole)
    shortest, longest = retry.min_backoff or 0, retry.max_backoff or 0
    if retry.max_attempts < -1:
        raise invalid_argument("RetryConfig.maxAttempts must be greater or equal to -1.")
    if retry.max_doublings < 0:
        raise invalid_argument("RetryConfig.maxDoublings cannot be negative.")
    if shortest < 0:
        raise invalid_argument("RetryConfig.minBackoff cannot be negative.")
    if longest < 0:
        raise invalid_argument("RetryConfig.maxBackoff cannot be negative.")
    if (retry.max_retry_duration or 0) < 0:
        raise invalid_argument("RetryConfig.maxRetryDuration cannot be negative.")
    if shortest > longest:
        raise invalid_argument(
            "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."
        )
    return retry


def _check_target(target: HttpTarget) -> None:
    override = target.uri_override
    if override is not None and override.host == "":
        raise invalid_argument("UriOverride.host cannot be empty.")
    if override is not None and not 0 <= (override.port or 0) < 1 << 16:
        raise invalid_argument("UriOverride.port must be a valid port number.")
    _check_target_tokens(target)


def _check_target_tokens(target: HttpTarget) -> None:
    oauth, oidc = target.oauth_token, target.oidc_token
    if oauth is not None and not (oauth.service_account_email and oauth.scope):
        raise invalid_argument(
            "HttpTarget.oauthToken must have both serviceAccountEmail and scope."
        )
    if oidc is not None and not (oidc.service_account_email and oidc.audience):
        raise invalid_argument(
            "HttpTarget.oidcToken must have both serviceAccountEmail and audience."
        )


def _check_sampling(queue: Queue) -> None:
    config = queue.stackdriver_logging_config
    if config is not None and not 0.0 <= config.sampling_ratio <= 1.0:
        raise invalid_argument(
            "StackdriverLoggingConfig.samplingRatio must be between 0.0 and 1.0."
        )


def _check_times_to_live(queue: Queue) -> None:
    if queue.task_ttl is not None and not 10 * DAY <= queue.task_ttl <= 3650 * DAY:
        raise invalid_argument("Queue.taskTtl must be between 10 days and 10 years.")
    if queue.tombstone_ttl is not None and not 3600 * SECOND <= queue.tombstone_ttl <= 9 * DAY:
        raise invalid_argument("Queue.tombstoneTtl must be between 1 hour and 9 days.")


def merge_update(
    old: Queue, new: Queue, paths: Iterable[str], cleared: Collection[str] = ()
) -> Queue:
    """Return the queue after UpdateQueue: masked fields take the new values.

    An empty mask, or `*`, means every field; output-only fields are ignored (UpdateQueue, client
    2.26). A message that is named whole gets defaults for what it does not set; a field that is
    named itself is set to its value, zero included, or to its default if it is `cleared`.
    """
    every = [field.attr for field in message_codec.fields_of(Queue)]
    wanted = [message_codec.to_snake_case(path) for path in paths] or every
    if "*" in wanted:
        wanted = every
    defaults = Queue(rate_limits=DEFAULT_LIMITS, retry_config=DEFAULT_RETRY)
    unset = {message_codec.to_snake_case(path) for path in cleared}
    merged = old
    for path in wanted:
        if path not in _OUTPUT_ONLY:
            source = defaults if path in unset else new
            merged = _copy_path(merged, source, path.split("."), path)
    if "rate_limits" in wanted:
        limits = _with_defaults(merged.rate_limits or RateLimits(), DEFAULT_LIMITS)
        merged = replace(merged, rate_limits=limits)
    if "retry_config" in wanted:
        retry = _with_defaults(merged.retry_config or RetryConfig(), DEFAULT_RETRY)
        merged = replace(merged, retry_config=retry)
    return check_queue(merged)


def _copy_path(old: Any, new: Any, steps: list[str], path: str) -> Any:
    head, *rest = steps
    if head not in getattr(type(old), "__dataclass_fields__", ()):
        raise invalid_argument(f"Invalid field mask: unknown path '{path}'.")
    value = getattr(new, head, None)
    if rest:
        value = _copy_inside(getattr(old, head), value, rest, path)
    return replace(old, **{head: value})


def _copy_inside(old: Any, new: Any, rest: list[str], path: str) -> Any:
    message = type(old if old is not None else new)
    if old is None and new is None:
        return None
    if not hasattr(message, "__dataclass_fields__"):
        raise invalid_argument(
            f"Invalid field mask: '{path}' goes into a field that is not a message."
        )
    return _copy_path(
        old if old is not None else message(), new if new is not None else message(), rest, path
    )
