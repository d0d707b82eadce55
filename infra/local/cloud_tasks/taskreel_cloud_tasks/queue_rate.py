"""The rate of a queue now, and the attempts of its last minute."""

from __future__ import annotations

from taskreel_cloud_tasks.attempt_outcome import AttemptOutcome, SystemThrottle
from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.messages import RateLimits
from taskreel_cloud_tasks.pacing import TokenBucket


class QueueRate:
    """The token bucket of a queue: its rate is that of the settings, slowed by the throttle."""

    __slots__ = ("_limits", "_throttle", "bucket")

    def __init__(self, limits: RateLimits, now: int) -> None:
        self._limits = limits
        self._throttle = SystemThrottle()
        self.bucket = TokenBucket(self.per_second, limits.max_burst_size, now)

    @property
    def per_second(self) -> float:
        """Dispatches a second at present."""
        return self._limits.max_dispatches_per_second * self._throttle.factor

    def set_limits(self, limits: RateLimits, now: int) -> None:
        """Apply new settings; the bucket retains its tokens."""
        self._limits = limits
        self.bucket.set_rate(self.per_second, limits.max_burst_size, now)

    def adjust(self, outcome: AttemptOutcome, now: int, *, app_engine: bool) -> None:
        """Slow down after a sign of overload, speed up after a success."""
        overload = outcome.signals_overload(app_engine=app_engine)
        changed = self._throttle.slow_down(now) if overload else False
        if outcome.succeeded:
            changed = self._throttle.speed_up()
        if changed:
            self.set_limits(self._limits, now)


class MinuteCount:
    """The number of attempts that finished in the last minute, by seconds."""

    __slots__ = ("_per_second", "_second")

    def __init__(self) -> None:
        self._per_second = [0] * 60
        self._second = 0

    def add(self, now: int) -> None:
        """Count an attempt that finished."""
        self._roll(now)
        self._per_second[-1] += 1

    def total(self, now: int) -> int:
        """Return the number of attempts of the minute before `now`."""
        self._roll(now)
        return sum(self._per_second)

    def _roll(self, now: int) -> None:
        second = now // SECOND
        passed = min(second - self._second, 60)
        if passed > 0:
            self._per_second = self._per_second[passed:] + [0] * passed
            self._second = second
