"""Provider webhooks: what is sent along so that one comes, and whether one that came is genuine.

A webhook only says "look now": the state is read by `poll`, so a lost, late or doubled one does no harm.

BFL, fal and Replicate are told in each request where to call. OpenAI calls one address for all of an account's texts;
its pictures and speech come in the answer. Runway and Stability have no webhooks, ElevenLabs none for speech or music,
Google none for Gemini's answers or Veo.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from taskreel.domain.errors import UnauthenticatedError

TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a provider shall call, and the secret that it signs with where we choose it."""

    url: str
    secret: str = ""

    def of(self, idempotency_key: str) -> str:
        """The URL for one unit of work: it names the job, so that nobody has to look it up."""
        return f"{self.url}?job={quote(idempotency_key)}"


def refuse(why: str) -> UnauthenticatedError:
    """The error of every webhook that does not hold."""
    return UnauthenticatedError(f"webhook refused: {why}", code="bad_webhook")


def header(headers: Mapping[str, str], name: str) -> str:
    """A header that must be there, whatever its case."""
    for key, value in headers.items():
        if key.lower() == name.lower():
            return value
    raise refuse(f"no {name} header")


def check_time(seconds: str, now: datetime) -> None:
    """Refuse what was signed more than five minutes ago, or ahead of us."""
    if not seconds.isascii() or not seconds.isdigit():
        raise refuse("its timestamp is no number")
    if abs(now.timestamp() - int(seconds)) > TOLERANCE.total_seconds():
        raise refuse("its timestamp is not of now")


def operation_id(body: bytes, *fields: str) -> str:
    """The text at `fields` of a JSON body."""
    try:
        value = json.loads(body)
        for name in fields:
            value = value[name]
    except (ValueError, KeyError, TypeError):
        value = None
    if not isinstance(value, str) or not value:
        raise refuse(f"no {'.'.join(fields)} in it")
    return value


def verify_standard(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> None:
    """Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over `{id}.{timestamp}.{body}`, several allowed."""
    check_time(header(headers, "webhook-timestamp"), now)
    signed = (
        f"{header(headers, 'webhook-id')}.{header(headers, 'webhook-timestamp')}.".encode() + body
    )
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"))
    except (binascii.Error, ValueError) as error:
        raise refuse("our secret for it is not base64") from error
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    given = header(headers, "webhook-signature").split(" ")
    if not any(hmac.compare_digest(f"v1,{expected}".encode(), item.encode()) for item in given):
        raise refuse("its signature does not match")
