"""An administrator's order for a queue."""

from __future__ import annotations

from datetime import datetime

from taskreel.domain.value import StoredValue


class QueueControl(StoredValue):
    """The newest order for a queue: paused or not, since when, by whom, and why."""

    queue: str
    paused: bool
    user_id: str
    at: datetime
    reason: str = ""
