"""One sentence that says why a job is where it is, as the dashboard's `job_reason.js` says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from taskreel.client import Job
from taskreel.client.job_models import QueuePosition
from taskreel_local.cli.text_output import (
    clean,
    count_of,
    format_credits,
    format_distance,
    format_seconds,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The present time, and the API's queues and providers where they are known."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    queues: Sequence[Mapping[str, Any]] = ()
    providers: Sequence[Mapping[str, Any]] = ()


def explain_job(job: Job, around: Surroundings) -> str:
    """The sentence."""
    explain = {
        "SCHEDULED": _explain_scheduled,
        "BLOCKED": _explain_blocked,
        "THROTTLED": _explain_waiting,
        "QUEUED": _explain_waiting,
        "PROCESSING": _explain_processing,
        "RETRYING": _explain_retrying,
        "COMPLETED": _explain_completed,
        "FAILED": _explain_failed,
        "CANCELLED": _explain_cancelled,
        "EXPIRED": _explain_expired,
    }.get(job.status)
    if explain is None:
        return f"Its status {clean(job.status)} is newer than this command."
    return explain(job, around)


def _explain_scheduled(job: Job, around: Surroundings) -> str:
    at = job.next_attempt_at or (job.payload or {}).get("scheduleAt")
    starts = f" and starts {format_distance(at, around.now)}" if at else ""
    return f"It was submitted for later{starts}."


def _explain_blocked(job: Job, _around: Surroundings) -> str:
    needed = [one.get("jobId") for one in (job.payload or {}).get("dependsOn", [])]
    if not needed:
        return "It waits for other jobs to end."
    shown = ", ".join(map(str, needed[:3])) + (", …" if len(needed) > 3 else "")
    if len(needed) == 1:
        return f"It starts when the job that it depends on has ended: {shown}."
    return f"It starts when all {len(needed)} jobs that it depends on have ended: {shown}."


def _explain_waiting(job: Job, around: Surroundings) -> str:
    named = [one["queue"] for one in around.queues if one["jobType"] == job.job_type]
    queue: Mapping[str, Any] = named[0] if named else {}
    if queue.get("paused"):
        return (
            f"It waits because the queue {queue['name']} is paused; an admin starts it again: "
            f"taskreel queues resume {job.job_type}."
        )
    breaker = _find_open_breaker(job, around.providers)
    if breaker:
        return breaker
    if job.status == "THROTTLED" or _describe_place(job.queue):
        return f"It waits for room: {_explain_room(job)}"
    since = job.status_at.get("QUEUED", job.created_at)
    waited = format_seconds(max(0.0, (around.now - since).total_seconds()))
    if queue.get("waiting", 0) > 1:
        return (
            f"It is one of {count_of(queue['waiting'], 'waiting job')} of {queue['name']}, "
            f"and has waited for {waited}."
        )
    return f"It is on its queue and starts in a moment; it has waited for {waited}."


def _explain_room(job: Job) -> str:
    """The server's own reason, with the place where it is known."""
    place = _describe_place(job.queue)
    if job.error:
        return f"{_without_stop(job.error.message)}{f'; {place}' if place else '.'}"
    return place or (
        "its owner, its type or its provider has as many jobs running as are allowed. "
        "It starts by itself when one ends."
    )


def _describe_place(queue: QueuePosition | None) -> str:
    """The server's own position and estimate."""
    if queue is None or (queue.ahead is None and queue.starts_in is None):
        return ""
    parts = []
    if queue.ahead == 0:
        parts.append("it is the next of its type")
    elif queue.ahead is not None:
        verb = "job is" if queue.ahead == 1 else "jobs are"
        parts.append(f"{queue.ahead_text or queue.ahead} {verb} ahead of it")
    if queue.starts_in is not None:
        parts.append(
            f"about {format_seconds(queue.starts_in.p50)} to go, nine times in ten at most "
            f"{format_seconds(queue.starts_in.p90)}"
        )
    return f"{'; '.join(parts)}."


def _find_open_breaker(job: Job, providers: Sequence[Mapping[str, Any]]) -> str:
    payload = job.payload or {}
    wanted, name = payload.get("provider") or job.served_by, payload.get("model")
    for provider in providers:
        for model in provider["models"] if provider["provider"] == wanted else ():
            named = model["name"] == name or name in model.get("aliases", ())
            breaker = model["breaker"]
            if not named or breaker["state"] != "open":
                continue
            if breaker.get("byHand"):
                return f"It waits because an admin has stopped {wanted} {model['name']}."
            until = format_distance(breaker.get("admitsAt"))
            rest = f"; the next call is allowed {until}" if until else ""
            return f"It waits because {wanted} {model['name']} is paused after failures{rest}."
    return ""


def _explain_processing(job: Job, around: Surroundings) -> str:
    since = job.status_at.get("PROCESSING", job.updated_at)
    ran = format_seconds(max(0.0, (around.now - since).total_seconds()))
    steps = [
        f"{one.name} ({one.ended} of {one.width})" if (one.width or 0) > 1 else one.name
        for one in job.steps
        if one.status == "running"
    ]
    if steps:
        return f"It is making {', '.join(map(clean, steps))}, and has run for {ran}."
    again = f", attempt {job.attempt} of {job.max_attempts}" if job.attempt > 1 else ""
    return f"{clean(job.served_by or 'A worker')} has worked on it for {ran}{again}."


def _explain_retrying(job: Job, around: Surroundings) -> str:
    reason = _without_stop(job.error.message) if job.error else "no reason was given"
    following = ""
    if job.next_attempt_at:
        starts = format_distance(job.next_attempt_at, around.now)
        following = f" Attempt {job.attempt + 1} of {job.max_attempts} starts {starts}."
    return f"Attempt {job.attempt} failed: {reason}.{following}"


def _explain_completed(job: Job, _around: Surroundings) -> str:
    if job.cached_seconds is not None:
        # Its credits are what the earlier submission paid.
        seconds = job.cached_seconds
        made = f"{format_seconds(seconds)} ago" if seconds else "just now"
        return f"Answered by an earlier job (made {made}), free."
    start, end = job.status_at.get("PROCESSING"), job.status_at.get("COMPLETED")
    by = f" by {clean(job.served_by)}" if job.served_by else ""
    ran = wait = ""
    if start and end:
        ran = f" in {format_seconds(max(0.0, (end - start).total_seconds()))}"
        waited = (start - job.created_at).total_seconds()
        wait = f", after a wait of {format_seconds(waited)}" if waited >= 1 else ""
    return f"It was made{by}{ran}{wait}, for {format_credits(job.credits.captured)}."


def _explain_failed(job: Job, _around: Surroundings) -> str:
    settled = _describe_settlement(job)
    if job.error is None:
        return f"It failed. {settled}"
    where = "It failed"
    if job.error.step:
        where = f"Its step {clean(job.error.step)} failed"
    elif job.attempt > 1:
        where = f"It failed after {job.attempt} attempts"
    other = f" See {job.error.job_id}." if job.error.job_id else ""
    message = job.error.message.removeprefix(f"Step {job.error.step} failed: ")
    return f"{where}: {_without_stop(message)}. {settled}{other}"


def _explain_cancelled(job: Job, _around: Surroundings) -> str:
    return f"It was cancelled. {_describe_settlement(job)}"


def _explain_expired(_job: Job, _around: Surroundings) -> str:
    return "It could not start before its start deadline, so it was not run and costs nothing."


def _describe_settlement(job: Job) -> str:
    if job.credits.captured:
        return f"What was finished is stored, for {format_credits(job.credits.captured)}."
    if job.credits.held:
        verb = "is" if job.credits.held == 1 else "are"
        return f"{format_credits(job.credits.held)} {verb} held until it is settled."
    return "Nothing was charged."


def _without_stop(text: str) -> str:
    return clean(text).strip().removesuffix(".")
