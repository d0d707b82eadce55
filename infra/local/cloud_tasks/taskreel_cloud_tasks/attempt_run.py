"""A running attempt of a task."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from taskreel_cloud_tasks.delivery_history import OutgoingRequest
from taskreel_cloud_tasks.messages import Status
from taskreel_cloud_tasks.stored_task import StoredTask


class AttemptTimes(NamedTuple):
    """The times of a task's first and last attempt, as they were before another one."""

    first_dispatch: int | None
    last_schedule: int | None
    last_dispatch: int | None
    last_response: int | None
    last_status: Status | None

    @classmethod
    def of(cls, stored: StoredTask) -> Self:
        """Return the current times of a task."""
        return cls(
            stored.first_dispatch,
            stored.last_schedule,
            stored.last_dispatch,
            stored.last_response,
            stored.last_status,
        )

    def restore(self, stored: StoredTask) -> None:
        """Set a task's times to these."""
        stored.first_dispatch = self.first_dispatch
        stored.last_schedule = self.last_schedule
        stored.last_dispatch = self.last_dispatch
        stored.last_response = self.last_response
        stored.last_status = self.last_status


@dataclass(slots=True, eq=False)
class AttemptRun:
    """A running attempt."""

    stored: StoredTask
    started: int
    retry_from: int | None
    """Time of the RunTask call that started this attempt; the backoff counts from then."""
    attempt: int
    before: AttemptTimes
    request: OutgoingRequest | None = None
    task: asyncio.Task[None] | None = None
    timed_out: bool = False
    had_grace: bool = field(default=False)
    """True after `Engine.run_due_work` has waited for this attempt in real time."""
