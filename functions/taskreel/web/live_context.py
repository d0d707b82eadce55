"""The parts that every kind of live connection of one process shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from taskreel.app.live.job_feed import JobFeed
from taskreel.domain.errors import TooManyConnectionsError

#: A person with many tabs and devices needs fewer. Each costs some 60 kB.
MOST_CONNECTIONS = 32


class ConnectionLimits:
    """The open connections of each user to this process."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def hold(self, user_id: str) -> Iterator[None]:
        """Count a connection while it is open. Raises TooManyConnectionsError."""
        if self._open[user_id] >= MOST_CONNECTIONS:
            raise TooManyConnectionsError(
                f"You have {MOST_CONNECTIONS} live connections open, which is the limit. "
                "Close one first; a single connection can follow all of your jobs."
            )
        self._open[user_id] += 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]


@dataclass(frozen=True, slots=True)
class LiveContext:
    """The feed of job changes, and the limits."""

    feed: JobFeed
    limits: ConnectionLimits
