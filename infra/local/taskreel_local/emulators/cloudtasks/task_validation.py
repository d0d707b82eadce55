"""What a new task must be, and what it becomes when it is let in. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from taskreel_local.emulators.cloudtasks import message_codec
from taskreel_local.emulators.cloudtasks.api_errors import invalid
from taskreel_local.emulators.cloudtasks.clock import SECOND
from taskreel_local.emulators.cloudtasks.codec_scalars import Timestamp
from taskreel_local.emulators.cloudtasks.messages import (
    AppEngineHttpRequest,
    HttpMethod,
    HttpRequest,
    HttpTarget,
    Queue,
    Task,
    View,
)
from taskreel_local.emulators.cloudtasks.queue_settings import complete_retry
from taskreel_local.emulators.cloudtasks.stored_task import Request, StoredTask

R = TypeVar("R", HttpRequest, AppEngineHttpRequest)

USER_AGENT = "Google-Cloud-Tasks"
APP_ENGINE_AGENT = "AppEngine-Google; (+http://code.google.com/appengine)"
MAX_TASK_BYTES = (1 << 20) - 7
"""Measured on the stored task, FULL view (golden files, 2026-08); the quotas page says 1 MiB."""
MAX_AHEAD_HOURS = 720
MAX_URL = 2083
MAX_HEADER_BYTES = 80 * 1024

_BODY_METHODS = frozenset({HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH})
_DEFAULT_DEADLINE = 600 * SECOND
_HTTP_DEADLINES = (15 * SECOND, 1800 * SECOND, "[15s, 30m]")
_APP_ENGINE_DEADLINES = (15 * SECOND, 86_415 * SECOND, "[15s, 24h15s]")
_SURELY_SMALL = MAX_TASK_BYTES - 64 * 1024


def admit(task: Task, queue: Queue, task_id: str, number: int, now: int) -> StoredTask:
    """Check a task as CreateTask does and fill in its defaults; the id was checked before."""
    request = _stored_request(task, queue.http_target)
    entry = StoredTask(
        number=number,
        id=task_id,
        request=request,
        schedule=_schedule(task.schedule_time, now),
        create=now,
        deadline=_deadline(task, request),
        named=bool(task.name),
        retry=complete_retry(task.retry_config) if task.retry_config is not None else None,
    )
    _check_size(entry, queue.name)
    return entry


def _stored_request(task: Task, target: HttpTarget | None) -> Request:
    if task.http_request is not None:
        return _http(task.http_request, target)
    if task.app_engine_http_request is not None:
        return _app_engine(task.app_engine_http_request)
    raise invalid("Task must have either an httpRequest or an appEngineHttpRequest.")


def _http(request: HttpRequest, target: HttpTarget | None) -> HttpRequest:
    override = target.uri_override if target else None
    if request.url or override is None or not override.host:
        _check_url(request.url)
    _check_body("HttpRequest", request)
    headers = {
        key: value for key, value in (request.headers or {}).items() if key.lower() != "user-agent"
    }
    return _completed(request, {**headers, "User-Agent": USER_AGENT})


def _app_engine(request: AppEngineHttpRequest) -> AppEngineHttpRequest:
    if request.relative_uri and not request.relative_uri.startswith("/"):
        raise invalid("AppEngineHttpRequest.relativeUri must begin with '/'.")
    _check_length("AppEngineHttpRequest.relativeUri", request.relative_uri)
    _check_body("AppEngineHttpRequest", request)
    given = {key.lower(): value for key, value in (request.headers or {}).items()}
    agent = (
        f"{given['user-agent']} {APP_ENGINE_AGENT}" if "user-agent" in given else APP_ENGINE_AGENT
    )
    headers = {
        key: value for key, value in (request.headers or {}).items() if key.lower() != "user-agent"
    }
    if request.body and "content-type" not in given:
        headers["Content-Type"] = "application/octet-stream"
    return _completed(request, {**headers, "User-Agent": agent})


def _completed(request: R, headers: dict[str, str]) -> R:
    changes: dict[str, Any] = {
        "http_method": request.http_method or HttpMethod.POST,
        "headers": headers,
    }
    return replace(request, **changes)


def _check_url(url: str) -> None:
    if not url:
        raise invalid("HttpRequest.url is required.")
    if not url.lower().startswith(("http://", "https://")):
        raise invalid("HttpTarget.url must start with 'http://' or 'https://'.")
    _check_length("HttpRequest.url", url)


def _check_length(field: str, url: str) -> None:
    if len(url) > MAX_URL:
        raise invalid(f"{field} must be no more than {MAX_URL} characters long.")


def _check_body(field: str, request: Request) -> None:
    if request.body and (request.http_method or HttpMethod.POST) not in _BODY_METHODS:
        raise invalid(f"{field}.body is allowed only if the HTTP method is POST, PUT or PATCH.")
    headers = request.headers or {}
    if sum(len(key) + len(value) for key, value in headers.items()) >= MAX_HEADER_BYTES:
        raise invalid(f"{field}.headers must be smaller than 80KB.")


def _schedule(wanted: int | None, now: int) -> int:
    if wanted is None or wanted <= now:
        return now
    if wanted > now + MAX_AHEAD_HOURS * 3600 * SECOND:
        moment = Timestamp().to_json(wanted, False)
        text = f"The Task.scheduleTime, {moment}, is too far in the future. "
        raise invalid(
            text + f"Schedule time must be no more than {MAX_AHEAD_HOURS}h in the future."
        )
    return wanted


def _deadline(task: Task, request: Request) -> int:
    is_http = isinstance(request, HttpRequest)
    if task.dispatch_deadline is None or (not is_http and task.dispatch_deadline == 0):
        return _DEFAULT_DEADLINE
    shortest, longest, shown = _HTTP_DEADLINES if is_http else _APP_ENGINE_DEADLINES
    if not shortest <= task.dispatch_deadline <= longest:
        raise invalid(f"Task.dispatchDeadline must be between {shown}.")
    return task.dispatch_deadline // 1000 * 1000


def _check_size(entry: StoredTask, queue_name: str) -> None:
    request = entry.request
    if len(request.body) < _SURELY_SMALL - MAX_HEADER_BYTES:
        return
    if message_codec.size(entry.task(queue_name, View.FULL)) > MAX_TASK_BYTES:
        raise invalid(f"Task size too large. The maximum task size is {MAX_TASK_BYTES} bytes.")
