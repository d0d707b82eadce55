"""Reading a provider's error answer: its codes, its text, and the wait that it asks for."""

from __future__ import annotations

import email.utils
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

OUT_OF_CREDIT = frozenset(
    {"insufficient_quota", "quota_exceeded", "payment_required", "billing_hard_limit_reached"}
)
NO_CREDIT_TEXT = re.compile(
    r"(insufficient|out of|exhausted|enough)\s+(credit|balance|fund)", re.IGNORECASE
)
#: Google answers a wrong key with 400.
BAD_KEY_TEXT = re.compile(r"api key (not valid|expired|not found)", re.IGNORECASE)
MISSING = frozenset({"model_not_found", "voice_not_found"})
MODERATION = frozenset(
    {
        "content_moderation",
        "moderation_blocked",
        "content_policy_violation",
        "content_filter",
        "invalid_prompt",
    }
)
#: A wait in a provider's text ("resets in ~30s") or in its body (google.rpc.RetryInfo).
WAIT_IN_TEXT = re.compile(
    r"(?:resets? in|retry in|try again in|retry after|\"retryDelay\":)\W*"
    r"(\d+(?:\.\d+)?) ?(ms|s|m)?"
)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error answer in any of the providers' shapes: its machine-readable codes and its text."""

    codes: frozenset[str]
    text: str

    @classmethod
    def parse(cls, response: httpx.Response) -> ErrorReply:
        """Read `{error: {…}}`, `{detail: …}`, `{name, errors}`, a list of these, or plain text."""
        try:
            body = response.json()
        except ValueError:
            body = response.text
        codes = {*_collect_codes(body), response.headers.get("x-fal-error-type", "")}
        return cls(frozenset(codes - {""}), _extract_text(body) or response.reason_phrase)

    @property
    def no_credit(self) -> bool:
        """The account needs more money; waiting does not help."""
        return bool(self.codes & OUT_OF_CREDIT) or NO_CREDIT_TEXT.search(self.text) is not None


def parse_retry_after(response: httpx.Response) -> timedelta | None:
    """Retry-After in seconds or as a date (RFC 9110 §10.2.3), or a wait in the text.

    At least a second, at most a day.
    """
    value = response.headers.get("retry-after", "")
    if value.replace(".", "", 1).isdigit():
        seconds = float(value)
    elif value:
        try:
            seconds = (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    elif match := WAIT_IN_TEXT.search(response.text):
        seconds = float(match[1]) * {"ms": 0.001, "m": 60}.get(match[2] or "s", 1)
    else:
        return None
    return timedelta(seconds=min(max(seconds, 1.0), 86_400.0))


def _collect_codes(body: Any) -> set[str]:
    """The machine-readable words, at any of the places where the providers put them."""
    if isinstance(body, list):
        return {code for item in body for code in _collect_codes(item)}
    if not isinstance(body, dict):
        return set()
    own = {
        body[field]
        for field in ("code", "type", "status", "name", "error_type")
        if isinstance(body.get(field), str)
    }
    return own | _collect_codes(body.get("error")) | _collect_codes(body.get("detail"))


def _extract_text(body: Any) -> str:
    """The sentence for people."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(_extract_text, body)))
    if not isinstance(body, dict):
        return ""
    if "msg" in body:  # pydantic's shape
        place = body.get("loc")
        return f"{'.'.join(map(str, place)) if isinstance(place, list) else ''}: {body['msg']}"
    parts = [
        _extract_text(body[key])
        for key in ("error", "detail", "message", "errors", "issues")
        if key in body
    ]
    return "; ".join(filter(None, parts))
