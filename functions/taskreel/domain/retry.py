"""Retry policy of a job: the number of attempts, and the backoff between them."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from taskreel.domain.value import StoredValue


class RetryPolicy(StoredValue):
    """Exponential backoff with a cap and jitter; `max_attempts` counts the first attempt.

    The wait after attempt n is min_backoff · 2^(n−1), at most max_backoff, times 1 ± jitter.
    """

    max_attempts: int = Field(default=3, ge=1, le=20)
    min_backoff_seconds: float = Field(default=2.0, gt=0, le=3600)
    max_backoff_seconds: float = Field(default=300.0, gt=0, le=86_400)
    jitter: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _check_order(self) -> RetryPolicy:
        if self.min_backoff_seconds > self.max_backoff_seconds:
            raise ValueError("minBackoffSeconds must not exceed maxBackoffSeconds")
        return self

    def allows_another(self, attempt: int) -> bool:
        """Tell if attempt number `attempt`, from 1, may be followed by one more."""
        return attempt < self.max_attempts

    def backoff_after(self, attempt: int, fraction: float) -> timedelta:
        """The wait after failed attempt `attempt`, from 1; `fraction` in [0, 1) is random."""
        doublings = min(attempt - 1, 64)
        seconds = min(self.min_backoff_seconds * 2.0**doublings, self.max_backoff_seconds)
        return timedelta(seconds=seconds * (1 + self.jitter * (2 * fraction - 1)))
