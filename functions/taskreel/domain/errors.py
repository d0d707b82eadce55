"""One tree of errors; each class answers whose fault it is, and whether another try is worth it.

TaskreelError
├── RequestError              the caller's: invalid, not found, too few credits …
└── RunError                  an attempt's: what went wrong while a job ran
    ├── TemporaryError        worth another attempt
    ├── RateLimitedError      worth another attempt later; not counted as one
    ├── ProviderDownError     worth another attempt, perhaps elsewhere
    ├── PermanentError        never again
    └── LeaseLostError        another run, a cancellation or a deadline took the job away
StoreError                    the store refused or could not be reached
QueueError                    the task queue refused or could not be reached
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Self

#: The code of work that may have been bought without our knowing; and what has to be done about it.
AMBIGUOUS = "ambiguous_create"
UNSURE = (
    "The provider may have accepted this work without our knowing, so it was not sent again. "
    "An operator must look for it at the provider, and may then retry the job."
)


class Category(StrEnum):
    """Is it worth another try? The four answers, as a job's `error.category` reads."""

    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    RATE_LIMITED = "rate_limited"
    PROVIDER_DOWN = "provider_down"


class TaskreelError(Exception):
    """The root; `code` is stable and machine-readable, the message tells a person what to do."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code  # type: ignore[misc]  # an instance may be more precise than its class


class RequestError(TaskreelError):
    """What the caller asked for cannot be done; `web.problems` gives each class its HTTP status."""

    code = "invalid_request"


class InvalidError(RequestError):
    """A field is wrong; `details["errors"]` lists `{path, message}`."""

    code = "invalid_request"

    @classmethod
    def at(
        cls, path: str, message: str, *, text: str | None = None, code: str | None = None
    ) -> Self:
        """Of one field; the whole reads `text`, or else `path: message`."""
        return cls(
            text or f"{path}: {message}", code=code, errors=[{"path": path, "message": message}]
        )


class UnauthenticatedError(RequestError):
    """No token, or one that does not hold."""

    code = "unauthenticated"


class ForbiddenError(RequestError):
    """The token holds but does not allow this."""

    code = "forbidden"


class NotFoundError(RequestError):
    """Nothing of that name that the caller may see."""

    code = "not_found"


class ConflictError(RequestError):
    """The job's status does not allow it."""

    code = "conflict"


class TooFewCreditsError(RequestError):
    """The balance does not cover the hold; details give `available` and `cost`."""

    code = "insufficient_credits"


class IdempotencyMismatchError(RequestError):
    """The idempotency key was used before with another body."""

    code = "idempotency_key_reused"


class TooLargeError(RequestError):
    """The body is over the limit."""

    code = "too_large"


class MalformedError(RequestError):
    """The body is not JSON."""

    code = "malformed_json"


class RunError(TaskreelError):
    """An attempt went wrong; `category` decides what happens to the job."""

    category: ClassVar[Category]


class TemporaryError(RunError):
    """Worth another attempt after the backoff."""

    code = "temporary_failure"
    category = Category.TEMPORARY


class PermanentError(RunError):
    """No further attempt can help: bad input, moderation, retired model."""

    code = "permanent_failure"
    category = Category.PERMANENT


class RateLimitedError(RunError):
    """The provider asks to wait; the wait is not an attempt."""

    code = "rate_limited"
    category = Category.RATE_LIMITED

    def __init__(
        self, message: str, *, retry_after: timedelta, code: str | None = None, **details: Any
    ) -> None:
        super().__init__(message, code=code, **details)
        self.retry_after = retry_after


class ProviderDownError(RunError):
    """The provider does not answer, or answers 5xx."""

    code = "provider_down"
    category = Category.PROVIDER_DOWN


class LeaseLostError(RunError):
    """The fencing token is no longer the job's: this run must write nothing more."""

    code = "lease_lost"
    category = Category.TEMPORARY


class StoreError(TaskreelError):
    """The store could not be reached or gave up; nothing was written."""

    code = "store_unavailable"


class StoreConflictError(StoreError):
    """What was read has changed, or a document that must be absent exists."""

    code = "store_conflict"


class StoreAbsentError(StoreError):
    """A document that must exist does not."""

    code = "store_absent"


class QueueError(TaskreelError):
    """The task queue could not be reached or refused; the sweep will send the task."""

    code = "queue_unavailable"
