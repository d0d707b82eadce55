"""BullMQ's waiting jobs, as its version 5 keeps them in Redis, and what they are in Taskreel's words."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import Field, ValidationError, field_validator
from redis import Redis

from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES

#: States whose jobs are counted and left: what to do about them.
LEFT: Mapping[str, str] = {
    "active": "running; let the old workers finish them",
    "waiting-children": "a parent of a flow; submit it as a pipeline",
    "repeat": "a repeating schedule; make a Cloud Scheduler job that submits",
}


@dataclass(frozen=True, slots=True)
class OldJob:
    """A job as BullMQ has it."""

    prefix: str
    queue: str
    id: str
    name: str
    data: Any
    opts: Mapping[str, Any]
    timestamp_ms: int
    priority: int
    #: When BullMQ would run it; None for at once.
    due_ms: int | None

    @property
    def label(self) -> str:
        """How a report names it."""
        return f"{self.queue}/{self.id} ({self.name})"

    @property
    def key(self) -> str:
        """The same for the same job, whenever it is read; ids start again at 1 when a queue is made anew."""
        whole = "\0".join((self.prefix, self.queue, self.id, str(self.timestamp_ms)))
        return f"bullmq-{hashlib.sha256(whole.encode()).hexdigest()[:40]}"


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is submitted, and for whom."""

    old: OldJob
    job_type: str
    body: Mapping[str, Any]
    user: str | None


class UnmappableError(Exception):
    """This job cannot be said in Taskreel's words; the message says why."""


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────


def queues(redis: Redis, prefix: str) -> list[str]:
    """Every queue that BullMQ has made under the prefix."""
    names = {
        key[len(prefix) + 1 : -len(":meta")]
        for key in redis.scan_iter(f"{prefix}:*:meta", count=1000)
    }
    return sorted(name for name in names if ":" not in name)


def waiting_jobs(redis: Redis, prefix: str, queue: str) -> Iterator[OldJob]:
    """Its jobs that have not run, oldest first within a state."""
    due: dict[str, int | None] = {}
    for state in ("wait", "paused"):
        due |= dict.fromkeys(_answer(redis.lrange(f"{prefix}:{queue}:{state}", 0, -1))[::-1])
    due |= dict.fromkeys(_answer(redis.zrange(f"{prefix}:{queue}:prioritized", 0, -1)))
    # The score is the time, in milliseconds, before 12 bits that keep jobs of one time in order.
    for id_, score in _answer(redis.zrange(f"{prefix}:{queue}:delayed", 0, -1, withscores=True)):
        due[id_] = int(score) // 4096
    for id_, due_ms in due.items():
        # A list may hold a marker that wakes a worker, e.g. "0:1700000000000"; the next run of a schedule is
        # the schedule's.
        if not id_.startswith(("0:", "repeat:")) and (
            job := _read(redis, prefix, queue, id_, due_ms)
        ):
            yield job


def left_behind(redis: Redis, prefix: str, queue: str) -> dict[str, int]:
    """How many jobs are in states that are not imported."""
    counts = {
        "active": redis.llen(f"{prefix}:{queue}:active"),
        "waiting-children": redis.zcard(f"{prefix}:{queue}:waiting-children"),
        "repeat": redis.zcard(f"{prefix}:{queue}:repeat"),
    }
    return {state: _answer(count) for state, count in counts.items() if count}


_FIELDS = ("name", "data", "opts", "timestamp", "priority")


def _read(redis: Redis, prefix: str, queue: str, id_: str, due_ms: int | None) -> OldJob | None:
    """One job's hash; None when a worker took it away since."""
    name, data, opts, timestamp, priority = _answer(redis.hmget(f"{prefix}:{queue}:{id_}", _FIELDS))
    if name is None and data is None:
        return None
    return OldJob(
        prefix=prefix,
        queue=queue,
        id=id_,
        name=name or "",
        data=_json(data),
        opts=_json(opts) or {},
        timestamp_ms=int(float(timestamp or 0)),
        priority=int(float(priority or 0)),
        due_ms=due_ms,
    )


def _answer(given: Any) -> Any:
    """What redis-py types as perhaps awaitable."""
    return given


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


# ── Mapping ──────────────────────────────────────────────────────────────────────────────────────


class Rule(Value):
    """How one queue's, or one queue's job name's, data becomes a request."""

    job_type: str
    #: Old field → new field; dots reach into objects, on both sides.
    fields: dict[str, str] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()
    set: dict[str, Any] = Field(default_factory=dict)
    user_field: str = "userId"
    #: BullMQ runs jobs without a priority first, then 1, 2, …: numbers up to this one take the high lane even so.
    high_up_to: int = 0

    @field_validator("job_type")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in JOB_TYPES:
            raise ValueError(f"there is no job type {value!r}: {', '.join(JOB_TYPES)}")
        return value


def load_rules(path: Path | None) -> dict[str, Rule]:
    """The file's rules, by `queue` or `queue/jobName`; click.BadParameter says what is wrong."""
    rules: dict[str, Rule] = {}
    if path is None:
        return rules
    for name, given in (yaml.safe_load(path.read_text("utf-8")) or {}).items():
        try:
            rules[name] = Rule.model_validate(given)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
            )
            raise click.BadParameter(f"{name}: {wrong}") from None
    return rules


def rule_for(job: OldJob, rules: Mapping[str, Rule]) -> Rule:
    """The file's rule, else a job type of the job's or the queue's own name, however it is spelled."""
    for name in (f"{job.queue}/{job.name}", job.queue):
        if name in rules:
            return rules[name]
    for name in (job.name, job.queue):
        if (job_type := re.sub(r"[_\s]|(?<=[a-z])(?=[A-Z])", "-", name).lower()) in JOB_TYPES:
            return Rule(job_type=job_type)
    raise UnmappableError(
        f"neither {job.name!r} nor {job.queue!r} is a job type; say with --map which it is"
    )


def translate(job: OldJob, rules: Mapping[str, Rule], now: datetime) -> NewJob:
    """The request that does what the old job would have done. Raises UnmappableError."""
    rule = rule_for(job, rules)
    if not isinstance(job.data, dict):
        raise UnmappableError("its data is no JSON object")
    body = copy.deepcopy(job.data)
    user = body.pop(rule.user_field, None)
    for path in rule.drop:
        _take(body, path.split("."))
    moved = [(new, _take(body, old.split("."))) for old, new in rule.fields.items()]
    for new, value in moved:
        if value is not None:
            _put(body, new, value)
    _merge(body, _timing(job, rule, now))
    _merge(body, rule.set)
    return NewJob(
        old=job, job_type=rule.job_type, body=body, user=None if user is None else str(user)
    )


def _timing(job: OldJob, rule: Rule, now: datetime) -> dict[str, Any]:
    """Delay, attempts, backoff and priority in our words."""
    timing: dict[str, Any] = {}
    if job.due_ms is not None:
        due = datetime.fromtimestamp(job.due_ms / 1000, UTC)
        if due > now + timedelta(seconds=1):
            timing["scheduleAt"] = due.isoformat()
    retry: dict[str, Any] = {}
    if attempts := job.opts.get("attempts"):
        retry["maxAttempts"] = min(max(int(attempts), 1), 20)
    backoff = job.opts.get("backoff")
    kind, delay_ms = (
        (backoff.get("type"), backoff.get("delay"))
        if isinstance(backoff, dict)
        else ("fixed", backoff)
    )
    if delay_ms:
        retry["minBackoffSeconds"] = min(max(delay_ms / 1000, 0.001), 3600)
        if kind == "fixed":
            retry["maxBackoffSeconds"] = retry["minBackoffSeconds"]
    if retry:
        timing["retry"] = retry
    if job.priority:
        timing["priority"] = "high" if job.priority <= rule.high_up_to else "low"
    return timing


def _take(body: dict[str, Any], path: list[str]) -> Any:
    """The value at the path, removed; None when there is none."""
    *outer, last = path
    for name in outer:
        inside = body.get(name)
        if not isinstance(inside, dict):
            return None
        body = inside
    return body.pop(last, None)


def _put(body: dict[str, Any], path: str, value: Any) -> None:
    """Nothing that is there is lost: raises UnmappableError."""
    *outer, last = path.split(".")
    for name in outer:
        body = body.setdefault(name, {})
        if not isinstance(body, dict):
            raise UnmappableError(
                f"{path}: {name} is no object in its data; drop or rename it in the rule"
            )
    if last in body:
        raise UnmappableError(f"{path}: its data has one already; drop or rename it in the rule")
    body[last] = value


def _merge(body: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put `more` into `body`, object by object; of two values `more`'s wins."""
    for name, value in more.items():
        inside = body.get(name)
        if isinstance(inside, dict) and isinstance(value, dict):
            _merge(inside, value)
        else:
            body[name] = copy.deepcopy(value)
