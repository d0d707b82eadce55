"""Queues: created or brought back to infra/queues.yaml; never deleted, because a queue's name rests for days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .step import Step, near, run, warn
from .target import Target

#: Section and field of the API → gcloud's flag.
FLAGS: Mapping[tuple[str, str], str] = {
    ("rateLimits", "maxDispatchesPerSecond"): "--max-dispatches-per-second",
    ("rateLimits", "maxConcurrentDispatches"): "--max-concurrent-dispatches",
    ("retryConfig", "maxAttempts"): "--max-attempts",
    ("retryConfig", "maxRetryDuration"): "--max-retry-duration",
    ("retryConfig", "minBackoff"): "--min-backoff",
    ("retryConfig", "maxBackoff"): "--max-backoff",
    ("retryConfig", "maxDoublings"): "--max-doublings",
    ("stackdriverLoggingConfig", "samplingRatio"): "--log-sampling-ratio",
}


class QueuesFileError(Exception):
    """infra/queues.yaml says something that no queue has."""


def settings(declared: Mapping[str, Any]) -> dict[str, dict[tuple[str, str], Any]]:
    """Each queue's settings, the defaults filled in."""
    return {
        name: _merged(name, declared["defaults"], own or {})
        for name, own in declared["queues"].items()
    }


def _merged(
    name: str, defaults: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[tuple[str, str], Any]:
    """One queue's settings by section and field."""
    merged: dict[tuple[str, str], Any] = {}
    for source in (defaults, own):
        for section, fields in source.items():
            for field, value in fields.items():
                if (section, field) not in FLAGS:
                    raise QueuesFileError(
                        f"{name}: {section}.{field} is no setting of a queue; see infra/queues.yaml"
                    )
                merged[section, field] = value
    return merged


def steps(
    target: Target, found: list[dict[str, Any]], declared: Mapping[str, Any], *, resume: bool
) -> Iterator[Step]:
    """Create what is missing, update what differs, tell of what is not in the file."""
    cloud = {queue["name"].rpartition("/")[2]: queue for queue in found}
    wanted = settings(declared)
    for name, fields in wanted.items():
        if name not in cloud:
            yield _command(target, "create", name, f"create queue {name}", fields)
            continue
        if different := {
            key: value
            for key, value in fields.items()
            if not _same(value, _value(cloud[name], key))
        }:
            changes = ", ".join(
                f"{key[1]} {_value(cloud[name], key)} → {value}" for key, value in different.items()
            )
            yield _command(target, "update", name, f"update queue {name}: {changes}", different)
        if cloud[name].get("state") == "PAUSED":
            yield _paused(target, name, resume=resume)
    for name in sorted(cloud.keys() - wanted.keys()):
        yield warn(
            f"queue {name} exists in {target.location} and not in infra/queues.yaml; left alone"
        )
    yield from near(len(cloud.keys() | wanted.keys()), 1000, f"queues in {target.location}")


def _command(
    target: Target, verb: str, name: str, why: str, fields: Mapping[tuple[str, str], Any]
) -> Step:
    """`gcloud tasks queues create|update`."""
    flags = [f"{FLAGS[key]}={value}" for key, value in fields.items()]
    return run(why, "tasks", "queues", verb, name, *flags, *target.here)


def _paused(target: Target, name: str, *, resume: bool) -> Step:
    """A paused queue dispatches nothing; somebody may want that."""
    words = ("tasks", "queues", "resume", name, *target.here)
    if resume:
        return run(f"resume queue {name}", *words)
    return warn(f"queue {name} is paused: nothing on it runs until `gcloud {' '.join(words)}`")


def _value(queue: Mapping[str, Any], key: tuple[str, str]) -> Any:
    """What the queue has; Google leaves zeros out."""
    return queue.get(key[0], {}).get(key[1], 0)


def _same(declared: Any, found: Any) -> bool:
    """`3600s` is 3600.0s, and 10 is 10.0."""
    return _number(declared) == _number(found)


def _number(value: Any) -> float:
    """A number, or a duration in seconds."""
    return float(str(value).removesuffix("s"))
