"""The mapping of BullMQ jobs to Taskreel's requests, by the rules of a YAML file."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import Field, ValidationError, field_validator

from taskreel.domain.value import Value
from taskreel.jobtypes import JOB_TYPES
from taskreel_local.migrate.bullmq_redis import OldJob


@dataclass(frozen=True, slots=True)
class NewJob:
    """A request to submit, and its user."""

    old: OldJob
    job_type: str
    body: Mapping[str, Any]
    user: str | None


class UnmappableError(Exception):
    """This job cannot be mapped to a request; the message says why."""


class Rule(Value):
    """The mapping of one queue's data, or of one job name's in a queue, to a request."""

    job_type: str
    #: Old field → new field; both may be dotted paths into objects.
    fields: dict[str, str] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()
    set: dict[str, Any] = Field(default_factory=dict)
    user_field: str = "userId"
    #: BullMQ runs jobs without a priority first, then 1, 2, …; numbers up to this become `high`.
    high_up_to: int = 0

    @field_validator("job_type")
    @classmethod
    def _check_job_type(cls, value: str) -> str:
        if value not in JOB_TYPES:
            raise ValueError(
                f"unknown job type {value!r}; the job types are {', '.join(JOB_TYPES)}"
            )
        return value


def load_rules(path: Path | None) -> dict[str, Rule]:
    """Read rules by `queue` or `queue/jobName`. Raises click.BadParameter."""
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
    """Return the file's rule, or one for a job type named like the job or the queue.

    Names match in any spelling: `image-generation`, `imageGeneration`, `image_generation`. Raises
    UnmappableError.
    """
    for name in (f"{job.queue}/{job.name}", job.queue):
        if name in rules:
            return rules[name]
    for name in (job.name, job.queue):
        if (job_type := re.sub(r"[_\s]|(?<=[a-z])(?=[A-Z])", "-", name).lower()) in JOB_TYPES:
            return Rule(job_type=job_type)
    raise UnmappableError(
        f"neither {job.name!r} nor {job.queue!r} is a job type; add a rule to the --map file"
    )


def map_job(job: OldJob, rules: Mapping[str, Rule], now: datetime) -> NewJob:
    """Return the request that corresponds to the old job. Raises UnmappableError."""
    rule = rule_for(job, rules)
    if not isinstance(job.data, dict):
        raise UnmappableError("its data is not a JSON object")
    body = copy.deepcopy(job.data)
    user = body.pop(rule.user_field, None)
    for path in rule.drop:
        _pop_path(body, path.split("."))
    moved = [(new, _pop_path(body, old.split("."))) for old, new in rule.fields.items()]
    for new, value in moved:
        if value is not None:
            _set_path(body, new, value)
    _merge_into(body, _map_options(job, rule, now))
    _merge_into(body, rule.set)
    return NewJob(
        old=job, job_type=rule.job_type, body=body, user=None if user is None else str(user)
    )


def _map_options(job: OldJob, rule: Rule, now: datetime) -> dict[str, Any]:
    """Return delay, attempts, backoff and priority as request fields."""
    fields: dict[str, Any] = {}
    if job.due_ms is not None:
        due = datetime.fromtimestamp(job.due_ms / 1000, UTC)
        if due > now + timedelta(seconds=1):
            fields["scheduleAt"] = due.isoformat()
    retry: dict[str, Any] = {}
    if attempts := job.opts.get("attempts"):
        retry["maxAttempts"] = min(max(int(attempts), 1), 20)
    backoff = job.opts.get("backoff")
    if isinstance(backoff, dict):
        kind, delay_ms = backoff.get("type"), backoff.get("delay")
    else:
        kind, delay_ms = "fixed", backoff
    if delay_ms:
        retry["minBackoffSeconds"] = min(max(delay_ms / 1000, 0.001), 3600)
        if kind == "fixed":
            retry["maxBackoffSeconds"] = retry["minBackoffSeconds"]
    if retry:
        fields["retry"] = retry
    if job.priority:
        fields["priority"] = "high" if job.priority <= rule.high_up_to else "low"
    return fields


def _pop_path(body: dict[str, Any], path: list[str]) -> Any:
    """Remove and return the value at the path, None if there is none."""
    *outer, last = path
    for name in outer:
        inside = body.get(name)
        if not isinstance(inside, dict):
            return None
        body = inside
    return body.pop(last, None)


def _set_path(body: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at the path. Raises UnmappableError instead of replacing a value."""
    *outer, last = path.split(".")
    for name in outer:
        body = body.setdefault(name, {})
        if not isinstance(body, dict):
            raise UnmappableError(
                f"{path}: {name} is not an object in its data; drop or rename it in the rule"
            )
    if last in body:
        raise UnmappableError(f"{path} exists in its data already; drop or rename it in the rule")
    body[last] = value


def _merge_into(body: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Merge `more` into `body` recursively; values of `more` take precedence."""
    for name, value in more.items():
        inside = body.get(name)
        if isinstance(inside, dict) and isinstance(value, dict):
            _merge_into(inside, value)
        else:
            body[name] = copy.deepcopy(value)
