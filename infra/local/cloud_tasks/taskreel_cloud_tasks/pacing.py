"""Rate limits and retries: the token bucket, the backoff and the stop rule. Pure."""

from __future__ import annotations

import math

from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.messages import RetryConfig

DAY = 86_400 * SECOND
RETENTION = 31 * DAY
"""Longest life of a task, dispatched or not (quotas page, 2026-04-08)."""


def burst_size(rate: float) -> int:
    """Return the bucket size for a rate: `rate / 5`, at least 10.

    The oldest public text says so, and both known samples agree (500/s: 100, 1/s: 10). The text of
    client 2.25 ("at least equal to the rate") contradicts the create-queue page.
    """
    return max(10, math.ceil(rate / 5)) if rate else 0  # a rate of zero dispatches nothing


class TokenBucket:
    """A token bucket that counts microseconds of refill, so that rounding does not add up."""

    __slots__ = ("_at", "_full", "_saved", "_step")

    def __init__(self, rate: float, burst: int, now: int) -> None:
        self._at = now
        self._step = self._full = self._saved = 0.0
        self.set_rate(rate, burst, now)
        self._saved = self._full

    def set_rate(self, rate: float, burst: int, now: int) -> None:
        """Change the rate; the tokens stay, up to the new size."""
        tokens = (self._saved + now - self._at) / self._step if self._step else 0.0
        self._step = min(SECOND / max(rate, 1e-9), float(DAY * 365))
        self._full = burst * self._step
        self._at = now
        self._saved = min(tokens * self._step, self._full)

    def take_token(self, now: int) -> bool:
        """Take a token; return False if there is none."""
        self._saved = min(
            self._saved + max(0, now - self._at), self._full
        )  # the machine's clock may be set back
        self._at = now
        if self._saved < self._step:
            return False
        self._saved -= self._step
        return True

    def ready_at(self) -> int:
        """Return the time of the next token, counted from the last `take_token`."""
        return self._at + max(1, math.ceil(self._step - self._saved))


def backoff_after(config: RetryConfig, failures: int) -> int:
    """Return the wait after a number of failures: doubling, then linear, then constant.

    Google's example: 10 s, 300 s and 3 doublings wait 10, 20, 40, 80, 160, 240, 300, 300 …
    (RetryConfig, client 2.26).
    """
    shortest, longest = config.min_backoff or 0, config.max_backoff or 0
    doublings = config.max_doublings
    if failures <= doublings + 1:
        # Past 2^60 any wait is over the longest: no need for huge integers.
        wait = shortest << min(failures - 1, 60)
    else:
        wait = (shortest << min(doublings, 60)) * (failures - doublings)
    return min(wait, longest)


def is_exhausted(config: RetryConfig, attempts: int, since_first: int) -> bool:
    """Return True if a task that failed its `attempts`-th attempt is dropped.

    The stop rule of RetryConfig (client 2.25): with both limits set, both must be reached, so the
    attempts can exceed `max_attempts`.
    """
    duration = config.max_retry_duration or 0
    enough_tries = attempts >= config.max_attempts
    enough_time = since_first >= duration
    match config.max_attempts == -1, duration == 0:
        case True, True:
            return False
        case True, False:
            return enough_time
        case False, True:
            return enough_tries
        case _:
            return enough_tries and enough_time
