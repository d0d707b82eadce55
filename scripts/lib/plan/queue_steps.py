"""Queues: created or updated to match infra/queues.yaml.

Declared queues are never deleted, because the name of a deleted queue stays reserved for days.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .ownership import HEADER_KEY, HEADER_VALUE, describe_foreign, is_own_queue
from .step import Step, fail_step, run_step, warn_near_limit, warn_step
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


#: Earlier releases had three queues a job type, by priority.
RETIRED_SUFFIXES = ("-high", "-normal", "-low")


_LIMITS = "rateLimits"
#: The limits that the shards of a queue share.
_SHARED = ("maxDispatchesPerSecond", "maxConcurrentDispatches")


class QueuesFileError(Exception):
    """infra/queues.yaml has a setting that queues do not have."""


def merge_settings(declared: Mapping[str, Any]) -> dict[str, dict[tuple[str, str], Any]]:
    """Return each queue's settings, with the defaults filled in."""
    return {
        name: _merge_queue(name, declared["defaults"], own or {})
        for name, own in declared["queues"].items()
    }


def _merge_queue(
    name: str, defaults: Mapping[str, Any], own: Mapping[str, Any]
) -> dict[tuple[str, str], Any]:
    """Return one queue's settings by section and field."""
    merged: dict[tuple[str, str], Any] = {}
    for source in (defaults, own):
        for section, fields in source.items():
            for field, value in fields.items():
                if (section, field) not in FLAGS:
                    raise QueuesFileError(
                        f"{name}: {section}.{field} is not a setting of a queue; "
                        "see infra/queues.yaml"
                    )
                merged[section, field] = value
    return merged


#: Cloud Tasks refuses a higher rate of one queue.
MOST_DISPATCHES = 500


def list_cloud_queues(declared: Mapping[str, Any]) -> dict[str, dict[tuple[str, str], Any]]:
    """Return the settings of every queue in the cloud: the shards of a queue share its limits."""
    merged = merge_settings(declared)
    shards = declared.get("shards") or {}
    if unknown := shards.keys() - merged.keys():
        raise QueuesFileError(f"shards: there is no queue {min(unknown)}; see infra/queues.yaml")
    return {
        name: fields
        for queue, settings in merged.items()
        for name, fields in _split_queue(queue, settings, shards.get(queue, 1)).items()
    }


def list_locations(target: Target, declared: Mapping[str, Any]) -> list[str]:
    """Return the locations of the queues: the deployment's own, and the declared further ones."""
    further = declared.get("locations") or []
    if not isinstance(further, list) or not all(isinstance(name, str) for name in further):
        raise QueuesFileError("locations: must be a list of names, such as [europe-west1]")
    return list(dict.fromkeys((target.location, *further)))


def _split_queue(
    queue: str, settings: Mapping[tuple[str, str], Any], count: int
) -> dict[str, dict[tuple[str, str], Any]]:
    """Return the settings of a queue's shards."""
    rate, places = (settings[_LIMITS, field] for field in _SHARED)
    if rate > MOST_DISPATCHES * count:
        raise QueuesFileError(
            f"{queue}: maxDispatchesPerSecond {rate:g} needs more shards: Cloud Tasks dispatches "
            f"at most {MOST_DISPATCHES} tasks a second from a queue"
        )
    if count < 1 or places < count:
        raise QueuesFileError(
            f"{queue}: shards must be 1 to {places}, its maxConcurrentDispatches, not {count}"
        )
    # Rounded down: the sum never exceeds what the queue's service takes.
    shared = {
        (_LIMITS, _SHARED[0]): math.floor(rate / count * 10) / 10,
        (_LIMITS, _SHARED[1]): places // count,
    }
    own = dict(settings) if count == 1 else {**settings, **shared}
    # It imports the ports, two thirds of the time of a plan: the other parts need none of it.
    from taskreel.adapters.gcp.queue_shards import list_shard_names

    return dict.fromkeys(list_shard_names(queue, count), own)


def _is_former_shard(name: str, queues: Collection[str]) -> bool:
    """True for a shard of a declared queue that has fewer of them now."""
    queue, _, number = name.rpartition("-")
    return queue in queues and number.isdecimal()


def plan_queues(
    target: Target,
    found: list[dict[str, Any]],
    declared: Mapping[str, Any],
    *,
    resume: bool,
    adopt: bool,
    delete_retired: bool,
) -> Iterator[Step]:
    """Create missing queues, update different ones, report undeclared ones.

    A queue of a declared name without our mark stops the plan, unless `adopt`. Our queues of an
    earlier release get no more tasks and run until they are empty; `delete_retired` deletes them.
    """
    cloud = {queue["name"].rpartition("/")[2]: queue for queue in found}
    wanted = list_cloud_queues(declared)
    foreign = {name for name in wanted if name in cloud and not is_own_queue(cloud[name])}
    if foreign and not adopt:
        yield fail_step(describe_foreign("queue", foreign, f"the header {HEADER_KEY}"))
        return
    for name, fields in wanted.items():
        if name not in cloud:
            yield _queue_command(target, "create", name, f"create queue {name}", fields, mark=True)
            continue
        if name in foreign:
            yield _queue_command(target, "update", name, f"adopt queue {name}", {}, mark=True)
        if different := {
            key: value
            for key, value in fields.items()
            if not _is_same(value, _current_value(cloud[name], key))
        }:
            changes = ", ".join(
                f"{key[1]} {_current_value(cloud[name], key)} → {value}"
                for key, value in different.items()
            )
            yield _queue_command(
                target, "update", name, f"update queue {name}: {changes}", different
            )
        if cloud[name].get("state") == "PAUSED":
            yield _plan_paused_queue(target, name, resume=resume)
    for name in sorted(cloud.keys() - wanted.keys()):
        retired = name.endswith(RETIRED_SUFFIXES) or _is_former_shard(name, wanted)
        if retired and is_own_queue(cloud[name]):
            yield from _drain_retired_queue(target, cloud[name], delete=delete_retired)
            continue
        yield warn_step(
            f"queue {name} exists in {target.location} and not in infra/queues.yaml; left alone"
        )
    yield from warn_near_limit(
        len(cloud.keys() | wanted.keys()), 1000, f"queues in {target.location}"
    )


def _drain_retired_queue(
    target: Target, queue: Mapping[str, Any], *, delete: bool
) -> Iterator[Step]:
    """Let a queue of an earlier release run until it is empty, or delete it.

    A task that is deleted with it is not lost: the sweep finds its job, and enqueues it again.
    """
    name = queue["name"].rpartition("/")[2]
    command = ("tasks", "queues")
    if delete:
        why = f"delete retired queue {name}"
        yield run_step(why, *command, "delete", name, "--quiet", *target.here)
        return
    if queue.get("state") == "PAUSED":
        why = f"resume retired queue {name}, so that it drains"
        yield run_step(why, *command, "resume", name, *target.here)
    yield warn_step(
        f"queue {name} is of an earlier release or a shard too many: it gets no new tasks and "
        "drains. Once no rollback is wanted, "
        "`scripts/setup-cloud-tasks-queues.sh --delete-retired` deletes it"
    )


def _queue_command(
    target: Target,
    verb: str,
    name: str,
    why: str,
    fields: Mapping[tuple[str, str], Any],
    *,
    mark: bool = False,
) -> Step:
    """Return `gcloud tasks queues create|update`; with `mark` it marks the queue as ours."""
    flags = [f"{FLAGS[key]}={value}" for key, value in fields.items()]
    if mark:
        # gcloud (528) ignores a header override without another override; our tasks are POSTs.
        flags += [
            f"--http-header-override={HEADER_KEY}: {HEADER_VALUE}",
            "--http-method-override=post",
        ]
    return run_step(why, "tasks", "queues", verb, name, *flags, *target.here)


def _plan_paused_queue(target: Target, name: str, *, resume: bool) -> Step:
    """Resume a paused queue if asked to, else warn: it may be paused on purpose."""
    words = ("tasks", "queues", "resume", name, *target.here)
    if resume:
        return run_step(f"resume queue {name}", *words)
    return warn_step(f"queue {name} is paused: nothing on it runs until `gcloud {' '.join(words)}`")


def _current_value(queue: Mapping[str, Any], key: tuple[str, str]) -> Any:
    """Return the queue's setting; Google omits zeros."""
    return queue.get(key[0], {}).get(key[1], 0)


def _is_same(declared: Any, found: Any) -> bool:
    """Compare settings: `3600s` is 3600.0s, and 10 is 10.0."""
    return _to_number(declared) == _to_number(found)


def _to_number(value: Any) -> float:
    """Return a number, or a duration in seconds."""
    return float(str(value).removesuffix("s"))


def plan_queue_removal(
    target: Target, found: list[dict[str, Any]], declared: Mapping[str, Any]
) -> Iterator[Step]:
    """Pause and empty our queues. A paused queue was paused and emptied by `destroy` before."""
    wanted = list_cloud_queues(declared)
    for queue in found:
        name = queue["name"].rpartition("/")[2]
        former = name.endswith(RETIRED_SUFFIXES) or _is_former_shard(name, wanted)
        retired = former and is_own_queue(queue)
        if not (name in wanted or retired) or queue.get("state") == "PAUSED":
            continue
        if not is_own_queue(queue):
            yield warn_step(f"queue {name} is not marked as Taskreel's; left alone")
            continue
        yield run_step(f"pause queue {name}", "tasks", "queues", "pause", name, *target.here)
        yield run_step(f"empty queue {name}", "tasks", "queues", "purge", name, *target.here)
