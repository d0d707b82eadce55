"""Settings of a queue: defaults, limits and updates. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeVar

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import invalid_argument
from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.messages import HttpTarget, Queue, RateLimits, RetryConfig
from taskreel_cloud_tasks.pacing import burst_size

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
    retry = complete_retry(queue.retry_config)
    _check_limits(limits)
    if queue.http_target is not None:
        _check_target(queue.http_target)
    _check_sampling(queue)
    limits = replace(limits, max_burst_size=burst_size(limits.max_dispatches_per_second))
    return replace(queue, rate_limits=limits, retry_config=retry)


def complete_retry(config: RetryConfig | None) -> RetryConfig:
    """Validate a retry config and fill in unset fields.

    In proto3 a zero count is an unset one, so `max_doublings` 0 becomes 16; a zero duration is a
    value.
    """
    filled = _with_defaults(config or RetryConfig(), DEFAULT_RETRY)
    if filled.max_retry_duration is not None:
        whole = filled.max_retry_duration // SECOND * SECOND
        filled = replace(filled, max_retry_duration=whole)
    _check_retry(filled)
    return filled


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


def _check_retry(retry: RetryConfig) -> None:
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


def merge_update(old: Queue, new: Queue, paths: Iterable[str]) -> Queue:
    """Return the queue after UpdateQueue: masked fields take the new values, or the defaults.

    An empty mask means every field; output-only fields are ignored (UpdateQueue, client 2.26).
    """
    wanted = [_to_snake_case(path) for path in paths] or [
        field.attr for field in message_codec.fields_of(Queue)
    ]
    merged = old
    for path in wanted:
        if path not in _OUTPUT_ONLY:
            merged = _copy_path(merged, new, path.split("."), path)
    return complete_queue(merged)


def _copy_path(old: Any, new: Any, steps: list[str], path: str) -> Any:
    head, *rest = steps
    field = next(
        (field for field in message_codec.fields_of(type(old)) if field.attr == head), None
    )
    if field is None:
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


def _to_snake_case(path: str) -> str:
    """Convert a mask path: REST clients send camelCase, gRPC clients snake_case."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in path.strip())
