"""BullMQ's waiting jobs, read from Redis in the format of version 5."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from redis import Redis

#: States whose jobs are counted but not imported, and what to do about them.
NOT_IMPORTED: Mapping[str, str] = {
    "active": "running; let the old workers finish them",
    "waiting-children": "a parent of a flow; submit it as a pipeline",
    "repeat": "a repeating schedule; make a Cloud Scheduler job that submits",
}


@dataclass(frozen=True, slots=True)
class OldJob:
    """A job as BullMQ stores it."""

    prefix: str
    queue: str
    id: str
    name: str
    data: Any
    opts: Mapping[str, Any]
    timestamp_ms: int
    priority: int
    #: The time at which BullMQ would run it, None for at once.
    due_ms: int | None

    @property
    def label(self) -> str:
        """The name of the job in reports."""
        return f"{self.queue}/{self.id} ({self.name})"

    @property
    def idempotency_key(self) -> str:
        """A key that identifies the job on every run of the import.

        It contains the time, because ids restart at 1 when a queue is deleted and created again.
        """
        identity = "\0".join((self.prefix, self.queue, self.id, str(self.timestamp_ms)))
        return f"bullmq-{hashlib.sha256(identity.encode()).hexdigest()[:40]}"


def list_queues(redis: Redis, prefix: str) -> list[str]:
    """Return the names of all BullMQ queues under the prefix."""
    names = {
        key[len(prefix) + 1 : -len(":meta")]
        for key in redis.scan_iter(f"{prefix}:*:meta", count=1000)
    }
    return sorted(name for name in names if ":" not in name)


def read_waiting_jobs(redis: Redis, prefix: str, queue: str) -> Iterator[OldJob]:
    """Yield the jobs of a queue that have not run, oldest first within a state."""
    due: dict[str, int | None] = {}
    for state in ("wait", "paused"):
        due |= dict.fromkeys(_untyped(redis.lrange(f"{prefix}:{queue}:{state}", 0, -1))[::-1])
    due |= dict.fromkeys(_untyped(redis.zrange(f"{prefix}:{queue}:prioritized", 0, -1)))
    # The score is the time in milliseconds, shifted by 12 bits that order jobs of one time.
    for id_, score in _untyped(redis.zrange(f"{prefix}:{queue}:delayed", 0, -1, withscores=True)):
        due[id_] = int(score) // 4096
    for id_, due_ms in due.items():
        # Skip markers that wake a worker, e.g. "0:1700000000000", and the next run of a schedule,
        # which belongs to the schedule.
        if not id_.startswith(("0:", "repeat:")) and (
            job := _read_job(redis, prefix, queue, id_, due_ms)
        ):
            yield job


def count_not_imported(redis: Redis, prefix: str, queue: str) -> dict[str, int]:
    """Count the jobs in states that are not imported."""
    counts = {
        "active": redis.llen(f"{prefix}:{queue}:active"),
        "waiting-children": redis.zcard(f"{prefix}:{queue}:waiting-children"),
        "repeat": redis.zcard(f"{prefix}:{queue}:repeat"),
    }
    return {state: _untyped(count) for state, count in counts.items() if count}


_FIELDS = ("name", "data", "opts", "timestamp", "priority")


def _read_job(redis: Redis, prefix: str, queue: str, id_: str, due_ms: int | None) -> OldJob | None:
    """Read one job's hash; return None if a worker has removed it."""
    name, data, opts, timestamp, priority = _untyped(
        redis.hmget(f"{prefix}:{queue}:{id_}", _FIELDS)
    )
    if name is None and data is None:
        return None
    return OldJob(
        prefix=prefix,
        queue=queue,
        id=id_,
        name=name or "",
        data=_parse_json(data),
        opts=_parse_json(opts) or {},
        timestamp_ms=int(float(timestamp or 0)),
        priority=int(float(priority or 0)),
        due_ms=due_ms,
    )


def _untyped(given: Any) -> Any:
    """Drop the type: redis-py declares results as possibly awaitable."""
    return given


def _parse_json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
