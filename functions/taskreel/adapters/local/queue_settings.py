"""The settings of a queue, with the back-off after a failure and the end of retries. Pure.

The rules and their defaults are Cloud Tasks' own; all times are in seconds. The settings in use are
those of `infra/queues.yaml`, which are written from `queue=` of the job types.
"""

from __future__ import annotations

import math

from taskreel.domain.record import Record


class QueueSettings(Record, kw_only=True):
    """The settings of a queue, by Cloud Tasks' names and with its defaults."""

    max_dispatches_per_second: float = 500.0
    max_concurrent_dispatches: int = 1000
    #: -1: no limit.
    max_attempts: int = 100
    #: 0: no limit.
    max_retry_duration: float = 0.0
    min_backoff: float = 0.1
    max_backoff: float = 3600.0
    max_doublings: int = 16

    @property
    def max_burst_size(self) -> int:
        """The size of the token bucket: a fifth of the rate, at least 10."""
        return max(10, math.ceil(self.max_dispatches_per_second / 5))

    def backoff_after(self, failures: int) -> float:
        """Return the wait after a number of failures: doubling, then linear, then constant."""
        doublings = self.max_doublings
        if failures <= doublings + 1:
            # Past 2^60 any wait is over the longest.
            wait = self.min_backoff * 2.0 ** min(failures - 1, 60)
        else:
            wait = self.min_backoff * 2.0 ** min(doublings, 60) * (failures - doublings)
        return min(wait, self.max_backoff)

    def is_exhausted(self, dispatches: int, since_first: float) -> bool:
        """Return True if a task that failed its `dispatches`-th delivery is dropped.

        With both limits set, both must be reached.
        """
        unlimited_attempts = self.max_attempts == -1
        unlimited_time = self.max_retry_duration == 0
        if unlimited_attempts and unlimited_time:
            return False
        return (unlimited_attempts or dispatches >= self.max_attempts) and (
            unlimited_time or since_first >= self.max_retry_duration
        )
