"""The pace of a queue: its token bucket, the back-off after a failure, the end of retries. Pure.

The rules and their numbers are Cloud Tasks' own; all times are in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Seconds since 1970 have a rounding error as floats: a timer may come that much early, and finds
#: what it was set for all the same.
TIMER_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
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

    def is_exhausted(self, attempts: int, since_first: float) -> bool:
        """Return True if a task that failed its `attempts`-th attempt is dropped.

        With both limits set, both must be reached.
        """
        unlimited_attempts = self.max_attempts == -1
        unlimited_time = self.max_retry_duration == 0
        if unlimited_attempts and unlimited_time:
            return False
        return (unlimited_attempts or attempts >= self.max_attempts) and (
            unlimited_time or since_first >= self.max_retry_duration
        )


class TokenBucket:
    """A bucket that is full at the start and gains `rate` tokens a second."""

    __slots__ = ("_at", "_rate", "_size", "_tokens")

    def __init__(self, rate: float, size: int, now: float) -> None:
        self._rate = max(rate, 1e-9)
        self._size = float(size)
        self._tokens = self._size
        self._at = now

    def take_token(self, now: float) -> bool:
        """Take a token; return False if there is none."""
        # The machine's clock may be set back.
        gained = max(0.0, now - self._at) * self._rate
        self._tokens = min(self._size, self._tokens + gained)
        self._at = now
        if self._tokens < 1.0 - TIMER_TOLERANCE * self._rate:
            return False
        self._tokens -= 1.0
        return True

    def ready_at(self) -> float:
        """Return the time of the next token, counted from the last `take_token`."""
        return self._at + max(0.0, 1.0 - self._tokens) / self._rate
