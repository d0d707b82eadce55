"""BullMQ's waiting jobs, as its version 5 keeps them in Redis, and what they are in Taskreel's words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import yaml

from taskreel.jobtypes import JOB_TYPES
from taskreel_local.redis_reader import Redis

#: Where BullMQ keeps jobs that have not run: the state → how the key is read.
WAITING: Mapping[str, str] = {"wait": "list", "paused": "list", "prioritized": "zset", "delayed": "zset"}
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
    state: str
    name: str
    data: Any
    opts: Mapping[str, Any]
    timestamp_ms: int
    delay_ms: int
    priority: int

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
    names = (key[len(prefix) + 1 : -len(":meta")] for key in redis.scan(f"{prefix}:*:meta"))
    return sorted(name for name in names if ":" not in name)


def waiting_jobs(redis: Redis, prefix: str, queue: str) -> Iterator[OldJob]:
    """Its jobs that have not run, oldest first within a state."""
    for state, kind in WAITING.items():
        key = f"{prefix}:{queue}:{state}"
        ids = redis.call("LRANGE", key, 0, -1)[::-1] if kind == "list" else redis.call("ZRANGE", key, 0, -1)
        for id_ in ids:
            # A list may hold a marker that wakes a worker, e.g. "0:1700000000000"; the next run of a schedule is
            # the schedule's.
            if not id_.startswith(("0:", "repeat:")) and (job := _read(redis, prefix, queue, id_, state)):
                yield job


def left_behind(redis: Redis, prefix: str, queue: str) -> dict[str, int]:
    """How many jobs are in states that are not imported."""
    counts = {
        "active": redis.call("LLEN", f"{prefix}:{queue}:active"),
        "waiting-children": redis.call("ZCARD", f"{prefix}:{queue}:waiting-children"),
        "repeat": redis.call("ZCARD", f"{prefix}:{queue}:repeat"),
    }
    return {state: count for state, count in counts.items() if count}


_FIELDS = ("name", "data", "opts", "timestamp", "delay", "priority")


def _read(redis: Redis, prefix: str, queue: str, id_: str, state: str) -> OldJob | None:
    """One job's hash; None when a worker took it away since."""
    name, data, opts, timestamp, delay, priority = redis.call("HMGET", f"{prefix}:{queue}:{id_}", *_FIELDS)
    if name is None and data is None:
        return None
    return OldJob(
        prefix=prefix,
        queue=queue,
        id=id_,
        state=state,
        name=name or "",
        data=_json(data),
        opts=_json(opts) or {},
        timestamp_ms=int(float(timestamp or 0)),
        delay_ms=int(float(delay or 0)),
        priority=int(float(priority or 0)),
    )


def _json(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


# ── Mapping ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Rule:
    """How one queue's, or one queue's job name's, data becomes a request."""

    job_type: str
    #: Old field → new field; dots reach into objects, on both sides.
    fields: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)
    user_field: str = "userId"
    #: BullMQ runs jobs without a priority first, then 1, 2, …: numbers up to this one take the high lane even so.
    high_up_to: int = 0


_RULE_KEYS = {"jobType", "fields", "drop", "set", "userField", "highUpTo"}


def load_rules(path: Path | None) -> dict[str, Rule]:
    """The file's rules, by `queue` or `queue/jobName`; click.BadParameter says what is wrong."""
    rules: dict[str, Rule] = {}
    if path is None:
        return rules
    for name, given in (yaml.safe_load(path.read_text("utf-8")) or {}).items():
        if not isinstance(given, dict) or "jobType" not in given or given.keys() - _RULE_KEYS:
            raise click.BadParameter(f"{name}: a rule has jobType, and may have {', '.join(sorted(_RULE_KEYS))}")
        if given["jobType"] not in JOB_TYPES:
            raise click.BadParameter(f"{name}: there is no job type {given['jobType']!r}: {', '.join(JOB_TYPES)}")
        rules[name] = Rule(
            job_type=given["jobType"],
            fields=given.get("fields", {}),
            drop=tuple(given.get("drop", ())),
            set=given.get("set", {}),
            user_field=given.get("userField", "userId"),
            high_up_to=given.get("highUpTo", 0),
        )
    return rules


def rule_for(job: OldJob, rules: Mapping[str, Rule]) -> Rule:
    """The file's rule, else a job type of the job's or the queue's own name, however it is spelled."""
    for name in (f"{job.queue}/{job.name}", job.queue):
        if name in rules:
            return rules[name]
    for name in (job.name, job.queue):
        if (job_type := re.sub(r"[_\s]|(?<=[a-z])(?=[A-Z])", "-", name).lower()) in JOB_TYPES:
            return Rule(job_type=job_type)
    raise UnmappableError(f"neither {job.name!r} nor {job.queue!r} is a job type; say with --map which it is")


def translate(job: OldJob, rules: Mapping[str, Rule], now: datetime) -> NewJob:
    """The request that does what the old job would have done. Raises UnmappableError."""
    rule = rule_for(job, rules)
    if not isinstance(job.data, dict):
        raise UnmappableError("its data is no JSON object")
    data = dict(job.data)
    user = data.pop(rule.user_field, None)
    body: dict[str, Any] = {}
    for old, new in rule.fields.items():
        if (value := _take(data, old.split("."))) is not None:
            _put(body, new.split("."), value)
    body = {name: value for name, value in data.items() if name not in rule.drop} | body | dict(rule.set)
    body |= _timing(job, rule, now)
    return NewJob(old=job, job_type=rule.job_type, body=body, user=None if user is None else str(user))


def _timing(job: OldJob, rule: Rule, now: datetime) -> dict[str, Any]:
    """Delay, attempts, backoff and priority in our words."""
    timing: dict[str, Any] = {}
    due = datetime.fromtimestamp((job.timestamp_ms + job.delay_ms) / 1000, UTC)
    if job.state == "delayed" and due > now + timedelta(seconds=1):
        timing["scheduleAt"] = due.isoformat()
    retry: dict[str, Any] = {}
    if attempts := job.opts.get("attempts"):
        retry["maxAttempts"] = min(max(int(attempts), 1), 20)
    backoff = job.opts.get("backoff")
    kind, delay_ms = (backoff.get("type"), backoff.get("delay")) if isinstance(backoff, dict) else ("fixed", backoff)
    if delay_ms:
        retry["minBackoffSeconds"] = min(max(delay_ms / 1000, 0.001), 3600)
        if kind == "fixed":
            retry["maxBackoffSeconds"] = retry["minBackoffSeconds"]
    if retry:
        timing["retry"] = retry
    if job.priority:
        timing["priority"] = "high" if job.priority <= rule.high_up_to else "low"
    return timing


def _take(data: dict[str, Any], path: list[str]) -> Any:
    """The value at the path, removed; None when there is none."""
    *outer, last = path
    for name in outer:
        inside = data.get(name)
        if not isinstance(inside, dict):
            return None
        data[name] = data = dict(inside)
    return data.pop(last, None)


def _put(body: dict[str, Any], path: list[str], value: Any) -> None:
    *outer, last = path
    for name in outer:
        body = body.setdefault(name, {})
    body[last] = value
