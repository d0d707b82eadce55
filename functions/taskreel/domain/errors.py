"""The tree of errors. Each class says whose fault it is, and if another try can help.

TaskreelError
├── UnknownJobTypeError       a stored job is of a type that is not deployed
├── UnknownRequestError       a stored request has a value that is not known here
├── UnreadableDocumentError   a stored document that this revision cannot read
├── UnfitShardError           one document of an account cannot take a job; others may
├── RequestError              the caller's fault: invalid, not found, too few credits, …
└── RunError                  an attempt of a job failed
    ├── TemporaryError        worth another attempt
    ├── RateLimitedError      worth another attempt later; not counted as one
    ├── ProviderDownError     worth another attempt, perhaps at another provider
    ├── PermanentError        no attempt can help
    │   └── DocumentTooLargeError  the job does not fit into a stored document
    └── LeaseLostError        another run, a cancellation or a deadline took the job away
StoreError                    the store could not be reached; its subclasses are its answers
├── StoreConflictError        a document that must be absent exists
├── StoreContendedError       others changed what a transaction read, at each try
├── StoreAbsentError          a document that must exist does not
└── StoreRefusedError         the store does not take the content
QueueError                    the task queue refused or could not be reached

The text of an error stands where it is raised, but for those of wrong fields, in
`domain/validation_messages.py`. `web/problems.py` writes the answer and its HTTP status.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, ClassVar, Self

#: Code and message of work that may have been bought although no answer was received.
AMBIGUOUS = "ambiguous_create"
UNSURE = (
    "The provider may have accepted this work although its answer was lost, so it was not sent "
    "again. An operator must search for it in the provider's account, and may then retry the job."
)


class Category(StrEnum):
    """The value of another try, as in a job's `error.category`."""

    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    RATE_LIMITED = "rate_limited"
    PROVIDER_DOWN = "provider_down"


class TaskreelError(Exception):
    """The root. `code` is stable and machine-readable; the message tells a developer what to do."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, code: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code  # type: ignore[misc]  # an instance may be more precise than its class


class RequestError(TaskreelError):
    """A request that cannot be carried out; `web.problems` gives each class its HTTP status."""

    code = "invalid_request"


class InvalidError(RequestError):
    """Invalid fields; `details["errors"]` lists `{path, message}`."""

    code = "invalid_request"

    @classmethod
    def at(
        cls, path: str, message: str, *, text: str | None = None, code: str | None = None
    ) -> Self:
        """The error of one field; its message is `text`, or else `path: message`."""
        return cls(
            text or f"{path}: {message}", code=code, errors=[{"path": path, "message": message}]
        )

    def under(self, path: str) -> Self:
        """The same error of a value that lies at `path` of the request."""
        return self.rename(lambda own: ".".join(part for part in (path, own) if part))

    def rename(self, find_name: Callable[[str], str]) -> Self:
        """The same error with other paths, by each that it has."""
        before = self.details.get("errors", [])
        errors = [{**one, "path": find_name(one["path"])} for one in before]
        # A message that names the paths names the new ones.
        is_list = self.message == _list_errors(before)
        message = _list_errors(errors) if is_list else self.message
        return type(self)(message, code=self.code, errors=errors)

    @classmethod
    def join(cls, found: Sequence[InvalidError]) -> InvalidError:
        """One error with the fields of all of them, which are at least one."""
        if len(found) == 1:
            return found[0]
        errors = [one for error in found for one in error.details.get("errors", [])]
        return cls("; ".join(error.message for error in found), errors=errors)


def _list_errors(errors: Iterable[Mapping[str, str]]) -> str:
    found = [
        f"{one['path']}: {one['message']}" if one["path"] else one["message"] for one in errors
    ]
    return "; ".join(dict.fromkeys(found))


class UnauthenticatedError(RequestError):
    """A missing or invalid token."""

    code = "unauthenticated"


class ForbiddenError(RequestError):
    """A valid token that does not allow the request."""

    code = "forbidden"


class NotFoundError(RequestError):
    """No such thing, or none that the caller may see."""

    code = "not_found"


class ConflictError(RequestError):
    """A job's status does not allow the request."""

    code = "conflict"


class TooManyConnectionsError(RequestError):
    """The caller has as many live connections or subscriptions open as one user may have."""

    code = "too_many_connections"


class RateExceededError(RequestError):
    """More requests than a policy allows; another is allowed after `retry_after`."""

    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, policy: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.details = {"violated-policies": [policy]}
        self.policy = policy
        self.retry_after = retry_after


class TooFewCreditsError(RequestError):
    """The balance does not cover the hold; details give `available` and `cost`."""

    code = "insufficient_credits"


class UnfitShardError(TaskreelError):
    """One document of an account cannot take a job that costs `cost`; the whole account may.

    No caller of the API sees it.
    """

    code = "shard_unfit"

    def __init__(self, cost: int) -> None:
        super().__init__(f"The shard of the account cannot take a job of {cost} credits.")
        self.cost = cost


class SpendCapError(RequestError):
    """The hold would exceed a cap on the account's spend.

    Details give the `cap`, its `limit`, what is `spent`, the `cost`, and `resetsAt`.
    """

    code = "spend_cap_reached"


class IdempotencyMismatchError(RequestError):
    """The idempotency key was used before with another request."""

    code = "idempotency_key_reused"


class TooLargeError(RequestError):
    """The body is over the limit."""

    code = "too_large"


class TooSlowError(RequestError):
    """The body did not arrive in time."""

    code = "request_timeout"


class MalformedError(RequestError):
    """The body is not JSON."""

    code = "malformed_json"


class UnknownJobTypeError(TaskreelError):
    """A stored job is of a type that this deployment does not have (any more, or yet)."""

    code = "job_type_unknown"


class UnknownRequestError(TaskreelError):
    """A stored request has a value that this deployment does not know (any more, or yet)."""

    code = "request_unknown"


class UnreadableDocumentError(TaskreelError):
    """A stored document that this revision cannot read: an operator must examine it.

    The code names its collection: `job_unreadable`, `account_unreadable`, …
    """

    code = "document_unreadable"


class RunError(TaskreelError):
    """A failure of an attempt; `category` decides what happens to the job."""

    category: ClassVar[Category]
    #: True if the provider gave no answer: the cause may as well be in this instance (a processor
    #: or a network that is too slow), so that one instance alone is no evidence against it.
    unanswered: bool = False
    #: What the provider bills for the work although it failed, in US dollars; None if unknown.
    cost_usd: float | None = None
    #: True where that is our model table's price, not the provider's word.
    cost_estimated: bool = False


class TemporaryError(RunError):
    """Worth another attempt after the backoff."""

    code = "temporary_failure"
    category = Category.TEMPORARY


class PermanentError(RunError):
    """No attempt can help: bad input, moderation, a retired model."""

    code = "permanent_failure"
    category = Category.PERMANENT

    def with_file_named(self, file_name: str, label: str) -> PermanentError:
        """Copy the error with the name of a file on disk replaced by the name its owner knows."""
        details = {
            name: label if value == file_name else value for name, value in self.details.items()
        }
        message = self.message.replace(file_name, label)
        return PermanentError(message, code=self.code, **details)


class DocumentTooLargeError(PermanentError):
    """The job's request and results are larger than a stored document can be."""

    code = "document_too_large"


class RateLimitedError(RunError):
    """The provider asks to wait. The wait does not count as an attempt."""

    code = "rate_limited"
    category = Category.RATE_LIMITED

    def __init__(
        self, message: str, *, retry_after: timedelta, code: str | None = None, **details: Any
    ) -> None:
        super().__init__(message, code=code, **details)
        self.retry_after = retry_after


class ProviderDownError(RunError):
    """The provider does not respond, or responds with 5xx."""

    code = "provider_down"
    category = Category.PROVIDER_DOWN


class LeaseLostError(RunError):
    """Another run holds the job's fencing token: this run must not write any more."""

    code = "lease_lost"
    category = Category.TEMPORARY


class StoreError(TaskreelError):
    """The store could not be reached; nothing was written."""

    code = "store_unavailable"
    #: True if the same write may succeed later. A subclass for which it is false is the store's
    #: answer about these documents: repeating the write gives the same answer, for ever.
    may_pass: ClassVar[bool] = True
    #: What callers are answered, where the usual text would have them wait in vain.
    caller_text: ClassVar[str | None] = None


class EncryptionKeyError(StoreError):
    """The store is encrypted, and the settings do not name the key that has encrypted it."""

    code = "encryption_key_unavailable"
    #: For everyone: no key is named in it.
    reason = (
        "ENCRYPTION_KEY is not set, or is not the key that has encrypted the store "
        '(infra/guides/encryption.md, "A missing or wrong key")'
    )
    caller_text = f"This service cannot use its store: {reason}. Nothing was written or lost."


class StoreConflictError(StoreError):
    """A document that must be absent exists."""

    code = "store_conflict"
    may_pass = False


class StoreContendedError(StoreError):
    """Other writers changed what a transaction read, for as long as one is repeated."""

    code = "store_conflict"


class StoreAbsentError(StoreError):
    """A document that must exist does not."""

    code = "store_absent"
    may_pass = False


class StoreRefusedError(StoreError):
    """The store does not take what was sent: too large, nested too deeply, an invalid name."""

    code = "store_refused"
    may_pass = False


class QueueError(TaskreelError):
    """The task queue could not be reached or refused; the sweep will send the task."""

    code = "queue_unavailable"
