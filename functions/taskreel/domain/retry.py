"""How long to wait before the next attempt: exponential, capped, with jitter."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from taskreel.domain.value import Value


class RetryPolicy(Value):
    """`max_attempts` counts the first; the wait before attempt n+1 is min·2^(n−1), at most max, times 1±jitter."""

    max_attempts: int = Field(default=3, ge=1, le=20)
    min_backoff_seconds: float = Field(default=2.0, gt=0, le=3600)
    max_backoff_seconds: float = Field(default=300.0, gt=0, le=86_400)
    jitter: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _ordered(self) -> RetryPolicy:
        if self.min_backoff_seconds > self.max_backoff_seconds:
            raise ValueError("minBackoffSeconds must not exceed maxBackoffSeconds")
        return self

    def allows_another(self, attempt: int) -> bool:
        """Whether attempt number `attempt` (from 1) may be followed by one more."""
        return attempt < self.max_attempts

    def wait(self, attempt: int, fraction: float) -> timedelta:
        """The wait after failed attempt `attempt` (from 1); `fraction` in [0, 1) is a random draw."""
        doublings = min(attempt - 1, 64)
        backoff = min(self.min_backoff_seconds * 2.0**doublings, self.max_backoff_seconds)
        return timedelta(seconds=backoff * (1 + self.jitter * (2 * fraction - 1)))
