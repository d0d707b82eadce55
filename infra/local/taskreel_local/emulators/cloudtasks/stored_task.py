"""A task as the engine keeps it, from its creation to its end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from taskreel_local.emulators.cloudtasks import message_codec
from taskreel_local.emulators.cloudtasks.clock import SECOND
from taskreel_local.emulators.cloudtasks.messages import (
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
    """Mutable on purpose: a dispatch changes five fields, and there may be 100,000 of them."""

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
    """Responses other than 5xx: what X-CloudTasks-TaskExecutionCount says."""
    failures: int = 0
    previous: int = 0
    """Status of the last failed attempt, for X-CloudTasks-TaskPreviousResponse."""
    first: int | None = None
    last_schedule: int | None = None
    last_dispatch: int | None = None
    last_response: int | None = None
    last_status: Status | None = None
    turn: int = 0
    """Grows whenever the task is scheduled or taken: an older place in the heap is dead."""
    running: int = 0
    gone: bool = False

    def task(self, queue_name: str, view: View) -> Task:
        """What a caller sees: BASIC leaves out the body, and only the body (golden files, 2026-08)."""
        full = view is View.FULL
        request = self.request if full or not self.request.body else replace(self.request, body=b"")
        is_http = isinstance(request, HttpRequest)
        return Task(
            name=f"{queue_name}/tasks/{self.id}",
            http_request=request if is_http else None,  # type: ignore[arg-type]  # told apart one line above
            app_engine_http_request=None if is_http else request,  # type: ignore[arg-type]
            schedule_time=self.schedule,
            create_time=self.create // SECOND * SECOND,
            dispatch_deadline=self.deadline,
            dispatch_count=self.dispatches,
            response_count=self.responses,
            first_attempt=Attempt(dispatch_time=self.first) if self.first is not None else None,
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

    def saved(self) -> dict[str, Any]:
        """What the journal keeps; `restored` reads it back."""
        return {
            "task": message_codec.to_json(self.task("", View.FULL)),
            "state": [self.named, self.executions, self.failures, self.previous, self.create],
        }


def restored(number: int, saved: dict[str, Any]) -> StoredTask:
    """An entry as it was saved; an attempt that was under way counts as not made."""
    task = message_codec.from_json(Task, saved["task"])
    named, executions, failures, previous, create = saved["state"]
    entry = StoredTask(
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
        previous=previous,
    )
    _restore_attempts(entry, task)
    return entry


def _restore_attempts(entry: StoredTask, task: Task) -> None:
    if task.first_attempt is not None:
        entry.first = task.first_attempt.dispatch_time
    if task.last_attempt is not None:
        entry.last_schedule = task.last_attempt.schedule_time
        entry.last_dispatch = task.last_attempt.dispatch_time
        entry.last_response = task.last_attempt.response_time
        entry.last_status = task.last_attempt.response_status
