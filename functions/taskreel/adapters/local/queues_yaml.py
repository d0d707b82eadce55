"""The settings of all queues, from the file that declares them (infra/queues.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from taskreel.adapters.local.queue_settings import QueueSettings

#: libyaml's, where PyYAML has it: the one in Python takes eight times as long.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_queue_settings(path: Path) -> dict[str, QueueSettings]:
    """Read `defaults` and `queues: {name: overrides}`, in the field names of Cloud Tasks' API.

    Raises ValueError that names the file, and the queue.
    """
    try:
        document = yaml.load(path.read_text("utf-8"), _Loader) or {}  # noqa: S506 - both are safe
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {error}") from error
    defaults = document.get("defaults") or {}
    found = {}
    for name, own in (document.get("queues") or {}).items():
        try:
            found[name] = _parse_settings(defaults, own or {})
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: queue {name}: {error}") from error
    return found


def _parse_settings(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> QueueSettings:
    limits, retry = (
        {**(defaults.get(part) or {}), **(own.get(part) or {})}
        for part in ("rateLimits", "retryConfig")
    )
    given: dict[str, Any] = {
        "max_dispatches_per_second": limits.get("maxDispatchesPerSecond"),
        "max_concurrent_dispatches": limits.get("maxConcurrentDispatches"),
        "max_attempts": retry.get("maxAttempts"),
        "max_doublings": retry.get("maxDoublings"),
        "max_retry_duration": _parse_seconds(retry.get("maxRetryDuration")),
        "min_backoff": _parse_seconds(retry.get("minBackoff")),
        "max_backoff": _parse_seconds(retry.get("maxBackoff")),
    }
    return QueueSettings(**{name: value for name, value in given.items() if value is not None})


def _parse_seconds(text: str | None) -> float | None:
    """Parse a duration of Cloud Tasks' API: `60s`, `0.100s`."""
    if text is None:
        return None
    if not text.endswith("s"):
        raise ValueError(f"{text!r} is no duration: it must be seconds, like 3600s or 0.100s")
    return float(text.removesuffix("s"))
