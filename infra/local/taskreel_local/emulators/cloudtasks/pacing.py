"""When things happen: the token bucket, the waits between attempts, and the end of trying. Pure."""

from __future__ import annotations

import math

from taskreel_local.emulators.cloudtasks.clock import SECOND
from taskreel_local.emulators.cloudtasks.messages import RetryConfig

DAY = 86_400 * SECOND
RETENTION = 31 * DAY
"""A task lives no longer, dispatched or not (quotas page, 2026-04-08)."""


def burst_size(rate: float) -> int:
    """The bucket's size for a rate: `rate / 5`, at least 10.

    The oldest public text says so, and both known samples agree (500/s: 100, 1/s: 10); the text of
    client 2.25 ("at least equal to the rate") contradicts the create-queue page. Ours to choose.
    """
    return max(10, math.ceil(rate / 5))


class TokenBucket:
    """TaskTokens in whole microseconds of refill, so that no rounding error adds up."""

    __slots__ = ("_at", "_full", "_saved", "_step")

    def __init__(self, rate: float, burst: int, now: int) -> None:
        self._at = now
        self._step = self._full = self._saved = 0.0
        self.set_rate(rate, burst, now)
        self._saved = self._full

    def set_rate(self, rate: float, burst: int, now: int) -> None:
        """Change the rate; what the bucket holds is kept, up to its new size."""
        tokens = (self._saved + now - self._at) / self._step if self._step else 0.0
        self._step = min(SECOND / max(rate, 1e-9), float(DAY * 365))
        self._full = burst * self._step
        self._at = now
        self._saved = min(tokens * self._step, self._full)

    def take(self, now: int) -> bool:
        """Take a token if there is one."""
        self._saved = min(
            self._saved + max(0, now - self._at), self._full
        )  # the machine's clock may be set back
        self._at = now
        if self._saved < self._step:
            return False
        self._saved -= self._step
        return True

    def ready_at(self) -> int:
        """When the next token will be there, counted from the last `take`."""
        return self._at + max(1, math.ceil(self._step - self._saved))


def backoff(config: RetryConfig, failures: int) -> int:
    """The wait after the `failures`-th failure (1 is the first): doubling, then linear, then level.

    Google's example: 10 s, 300 s and 3 doublings wait 10, 20, 40, 80, 160, 240, 300, 300 … (RetryConfig, client 2.26).
    """
    shortest, longest = config.min_backoff or 0, config.max_backoff or 0
    doublings = config.max_doublings
    if failures <= doublings + 1:
        # Past 2^60 any wait is over the longest: no need for huge integers.
        wait = shortest << min(failures - 1, 60)
    else:
        wait = (shortest << min(doublings, 60)) * (failures - doublings)
    return min(wait, longest)


def gives_up(config: RetryConfig, attempts: int, since_first: int) -> bool:
    """Whether a task that failed its `attempts`-th attempt is dropped (the stop rule, RetryConfig of client 2.25).

    With both limits set, both must be reached, so attempts can exceed `max_attempts`.
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
