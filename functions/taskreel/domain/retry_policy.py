"""Retry policy of a job: the number of attempts, and the backoff between them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from taskreel.domain.stored_record import StoredRecord
from taskreel.domain.value import validation_error


class RetryPolicy(StoredRecord, kw_only=True):
    """Exponential backoff with a cap and jitter; `max_attempts` counts the first attempt.

    The wait after attempt n is min_backoff · 2^(n−1), at most max_backoff, times 1 ± jitter.
    """

    max_attempts: Annotated[int, Field(ge=1, le=20)] = 3
    min_backoff_seconds: Annotated[float, Field(gt=0, le=3600)] = 2.0
    max_backoff_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.2

    def with_changes(self, changes: Mapping[str, Any]) -> RetryPolicy:
        """The policy with a caller's `changes`, by field name.

        Raises ValidationError when they are out of range, or the least wait exceeds the longest.
        A stored policy has passed here, and its order is not checked again when it is read.
        """
        changed = RetryPolicy.model_validate({**dict(self), **changes})
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
