"""Retry policy of a job: the number of attempts, and the backoff between them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field

from taskreel.domain.value import StoredValue, validation_error


class RetryPolicy(StoredValue):
    """Exponential backoff with a cap and jitter; `max_attempts` counts the first attempt.

    The wait after attempt n is min_backoff · 2^(n−1), at most max_backoff, times 1 ± jitter.
    """

    omitted_defaults: ClassVar[frozenset[str]] = frozenset(
        {"max_attempts", "min_backoff_seconds", "max_backoff_seconds", "jitter"}
    )

    max_attempts: int = Field(default=3, ge=1, le=20)
    min_backoff_seconds: float = Field(default=2.0, gt=0, le=3600)
    max_backoff_seconds: float = Field(default=300.0, gt=0, le=86_400)
    jitter: float = Field(default=0.2, ge=0, lt=1)

    def with_changes(self, changes: Mapping[str, Any]) -> RetryPolicy:
        """The policy with a caller's `changes`, by field name.

        Raises ValidationError when they are out of range, or the least wait exceeds the longest.
        A stored policy has passed here, and its order is not checked again when it is read.
        """
        changed = RetryPolicy.model_validate({**self.model_dump(), **changes})
        if changed.min_backoff_seconds > changed.max_backoff_seconds:
            message = "minBackoffSeconds must not exceed maxBackoffSeconds"
            raise validation_error("RetryPolicy", [((), message)])
        return changed

    def allows_another(self, attempt: int) -> bool:
        """Tell if attempt number `attempt`, from 1, may be followed by one more."""
        return attempt < self.max_attempts

    def backoff_after(self, attempt: int, fraction: float) -> timedelta:
        """The wait after failed attempt `attempt`, from 1; `fraction` in [0, 1) is random."""
        doublings = min(attempt - 1, 64)
        seconds = min(self.min_backoff_seconds * 2.0**doublings, self.max_backoff_seconds)
        return timedelta(seconds=seconds * (1 + self.jitter * (2 * fraction - 1)))
