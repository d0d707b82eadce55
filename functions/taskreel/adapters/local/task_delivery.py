"""A delivery of a task, and the function that processes one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from taskreel.domain.record import Record
from taskreel.ports import Task


class Delivery(Record, kw_only=True):
    """One dispatch of a task, with what Cloud Tasks tells a handler in `X-CloudTasks-…` headers."""

    task: Task
    #: TaskRetryCount: the earlier dispatches.
    retry_count: int
    #: TaskExecutionCount: those that were answered.
    execution_count: int
    #: The time, in seconds since 1970, at which this dispatch was due.
    due: float
    #: TaskPreviousResponse: the status of the last dispatch.
    previous_response: int | None

    @property
    def eta(self) -> datetime:
        """TaskETA: `due` as a time."""
        return datetime.fromtimestamp(self.due, UTC)


#: Processes a delivery and returns an HTTP status. As at Cloud Tasks, 2xx finishes the task, and
#: anything else, an exception too, is followed by a back-off and another delivery.
Deliver = Callable[[Delivery], Awaitable[int]]
