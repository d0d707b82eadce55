"""Provider webhooks: the address that a request carries, and checks of those that arrive.

A webhook only brings the next poll forward: the state is read by `poll`, so a late or repeated
webhook does no harm, and a lost one delays the result to the next poll. A provider without webhooks
is polled more often.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import quote

from taskreel.domain.errors import UnauthenticatedError
from taskreel.domain.record import Record

#: The accepted difference between a webhook's time and ours; older ones may be replays.
TOLERANCE = timedelta(minutes=5)

#: An operation whose end a webhook reports is polled so seldom, in case the webhook is lost. Each
#: poll is a task, two writes and a delivery, so most of a job's cost (`taskreel cost`).
WEBHOOK_POLL_AFTER = timedelta(seconds=15)


def choose_poll_after(webhook: WebhookTarget | None, usual: timedelta) -> timedelta:
    """The time until the next poll of work for which `webhook` was named, or for which none was."""
    return max(usual, WEBHOOK_POLL_AFTER) if webhook else usual


class WebhookTarget(Record):
    """Our address for a provider's webhooks, and the secret to sign with where we choose it."""

    url: str
    secret: str = ""

    def build_url(self, idempotency_key: str) -> str:
        """The address for one unit of work; it names the job, which then needs no search."""
        return f"{self.url}?job={quote(idempotency_key)}"


def webhook_error(reason: str) -> UnauthenticatedError:
    """The error of every webhook that is not genuine."""
    return UnauthenticatedError(f"webhook refused: {reason}", code="bad_webhook")


def read_header(headers: Mapping[str, str], name: str) -> str:
    """The value of a required header; case does not matter."""
    for key, value in headers.items():
        if key.lower() == name.lower():
            return value
    raise webhook_error(f"the {name} header is missing")


def check_timestamp(seconds: str, now: datetime) -> None:
    """Refuse a time (Unix seconds) more than `TOLERANCE` before or after ours."""
    if not seconds.isascii() or not seconds.isdigit():
        raise webhook_error("its timestamp is not a number of seconds")
    if abs(now.timestamp() - int(seconds)) > TOLERANCE.total_seconds():
        raise webhook_error("its timestamp is outside the tolerance of 5 minutes")


def read_operation_id(body: bytes, *fields: str) -> str:
    """The non-empty text at a path of `fields` in a JSON body."""
    try:
        value = json.loads(body)
        for name in fields:
            value = value[name]
    except (ValueError, KeyError, TypeError):
        value = None
    if not isinstance(value, str) or not value:
        raise webhook_error(f"no {'.'.join(fields)} in its body")
    return value
