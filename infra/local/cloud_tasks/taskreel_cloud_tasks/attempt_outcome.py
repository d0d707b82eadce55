"""The outcome of an attempt, and how Cloud Tasks interprets it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from taskreel_cloud_tasks.api_errors import Code
from taskreel_cloud_tasks.clock import SECOND
from taskreel_cloud_tasks.delivery_history import HandlerResponse
from taskreel_cloud_tasks.messages import Status

_CODES: dict[int, Code] = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ABORTED,
    416: Code.OUT_OF_RANGE,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}
"""HTTP status to code, from google/rpc/code.proto; others are UNKNOWN."""

_MAX_RETRY_AFTER = 3600 * SECOND


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """The end of an attempt: a response, or the reason why there is none."""

    response: HandlerResponse | None = None
    error: str = ""
    timed_out: bool = False

    @property
    def succeeded(self) -> bool:
        """True for 2xx; anything else is retried, no status means "never again"."""
        return self.response is not None and 200 <= self.response.status < 300

    @property
    def http_status(self) -> int:
        """The value of X-CloudTasks-TaskPreviousResponse.

        504 for a missed deadline (golden files, 2026-08). 503 for a lost connection is our choice:
        Google's value is not known.
        """
        if self.response is not None:
            return self.response.status
        return 504 if self.timed_out else 503

    @property
    def counts_as_execution(self) -> bool:
        """True for responses other than 5xx.

        The golden sequence 503, 404, 429, 500, 302 counts 0, 0, 1, 2, 2, 3.
        """
        return self.response is not None and self.response.status < 500

    def signals_overload(self, *, app_engine: bool) -> bool:
        """Return True for 429 and 503, which slow the whole queue (HttpRequest, client 2.26).

        An App Engine app's 429 does not (AppEngineHttpRequest, client 2.26).
        """
        slowing = {503} if app_engine else {429, 503}
        return self.response is not None and self.response.status in slowing

    def to_status(self) -> Status:
        """Return `Task.last_attempt.response_status`, in the form other emulators use."""
        if self.succeeded:
            return Status()
        code = (
            Code.DEADLINE_EXCEEDED if self.timed_out else _CODES.get(self.http_status, Code.UNKNOWN)
        )
        what = f"HTTP status code {self.http_status}" if self.response is not None else self.error
        return Status(code=int(code), message=f"{code.name}({int(code)}): {what}")

    def retry_after_micros(self, now: int) -> int:
        """Return the handler's `Retry-After` in microseconds, at most an hour."""
        value = self.response.headers.get("retry-after", "") if self.response is not None else ""
        return min(max(_parse_retry_after(value.strip(), now), 0), _MAX_RETRY_AFTER)


def _parse_retry_after(value: str, now: int) -> int:
    if value.isascii() and value.isdigit():
        return int(value[:9]) * SECOND
    try:
        return int(parsedate_to_datetime(value).timestamp() * SECOND) - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0


class SystemThrottle:
    """System throttling. Google documents that it exists, not how strong it is: the rule is ours.

    Each 429 or 503 halves the queue's rate, at most once a second, down to a sixteenth; each
    success adds a tenth. The retry of the task itself also waits for `Retry-After`.
    """

    __slots__ = ("_halved_at", "factor")

    def __init__(self) -> None:
        self.factor = 1.0
        self._halved_at = 0

    def slow_down(self, now: int) -> bool:
        """Halve the rate; return True if it changed."""
        if now - self._halved_at < SECOND or self.factor <= 1 / 16:
            return False
        self._halved_at = now
        self.factor = max(self.factor / 2, 1 / 16)
        return True

    def speed_up(self) -> bool:
        """Raise the rate by a tenth; return True if it changed."""
        if self.factor >= 1.0:
            return False
        self.factor = min(self.factor * 1.1, 1.0)
        return True
