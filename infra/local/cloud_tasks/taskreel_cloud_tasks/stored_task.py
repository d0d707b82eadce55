"""A task as the engine stores it, from creation to removal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.messages import (
    AppEngineHttpRequest,
    Attempt,
    HttpRequest,
    RetryConfig,
    Status,
    Task,
    View,
)

Request: TypeAlias = HttpRequest | AppEngineHttpRequest


@dataclass(slots=True, eq=False)
class StoredTask:
    """A task with its counters. Mutable: a dispatch changes five fields of up to 100,000 tasks."""

    number: int
    """Creation order within the engine; also the journal's key."""
    id: str
    request: Request
    schedule: int
    create: int
    deadline: int
    named: bool
    retry: RetryConfig | None = None
    dispatches: int = 0
    responses: int = 0
    executions: int = 0
    """Responses other than 5xx: the value of X-CloudTasks-TaskExecutionCount."""
    failures: int = 0
    previous_status: int = 0
    """Status of the last failed attempt, for X-CloudTasks-TaskPreviousResponse."""
    first_dispatch: int | None = None
    last_schedule: int | None = None
    last_dispatch: int | None = None
    last_response: int | None = None
    last_status: Status | None = None
    schedule_version: int = 0
    """Incremented whenever the task is scheduled or started; older heap items are stale."""
    running: int = 0
    removed: bool = False

    def to_message(self, queue_name: str, view: View) -> Task:
        """Return the task as the API shows it.

        The BASIC view omits the body, and only the body (golden files, 2026-08).
        """
        full = view is View.FULL
        request = self.request if full else _leave_body_out(self.request)
        is_http = isinstance(request, HttpRequest)
        return Task(
            name=f"{queue_name}/tasks/{self.id}",
            http_request=request if is_http else None,  # type: ignore[arg-type]  # narrowed above
            app_engine_http_request=None if is_http else request,  # type: ignore[arg-type]
            schedule_time=self.schedule,
            create_time=self.create // SECOND * SECOND,
            dispatch_deadline=self.deadline,
            dispatch_count=self.dispatches,
            response_count=self.responses,
            first_attempt=Attempt(dispatch_time=self.first_dispatch)
            if self.first_dispatch is not None
            else None,
            last_attempt=self._last_attempt() if self.last_dispatch is not None else None,
            view=View.FULL if full else View.BASIC,
            retry_config=self.retry,
        )

    def _last_attempt(self) -> Attempt:
        return Attempt(
            schedule_time=self.last_schedule,
            dispatch_time=self.last_dispatch,
            response_time=self.last_response,
            response_status=self.last_status,
        )


def _leave_body_out(request: Request) -> Request:
    if not request.body:
        return request
    if isinstance(request, AppEngineHttpRequest):
        return replace(request, body=b"")
    return HttpRequest(  # a quarter of the time of `replace`, in each create, get and list
        url=request.url,
        http_method=request.http_method,
        headers=request.headers,
        oauth_token=request.oauth_token,
        oidc_token=request.oidc_token,
    )


def load_stored_task(number: int, saved: dict[str, Any]) -> StoredTask:
    """Build a task from the journal entry of a release before 0.1.0 (see `task_rows`)."""
    task = message_codec.from_json(Task, saved["task"])
    named, executions, failures, previous_status, create = saved["state"]
    stored = StoredTask(
        number=number,
        id=task.name.rpartition("/")[2],
        request=task.http_request or task.app_engine_http_request or HttpRequest(),
        schedule=task.schedule_time or 0,
        create=create,
        deadline=task.dispatch_deadline or 0,
        named=named,
        retry=task.retry_config,
        dispatches=task.dispatch_count,
        responses=task.response_count,
        executions=executions,
        failures=failures,
        previous_status=previous_status,
    )
    _restore_attempts(stored, task)
    return stored


def _restore_attempts(stored: StoredTask, task: Task) -> None:
    if task.first_attempt is not None:
        stored.first_dispatch = task.first_attempt.dispatch_time
    if task.last_attempt is not None:
        stored.last_schedule = task.last_attempt.schedule_time
        stored.last_dispatch = task.last_attempt.dispatch_time
        stored.last_response = task.last_attempt.response_time
        stored.last_status = task.last_attempt.response_status
