"""BFL's webhooks, signed with a secret that we send along in each request."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

from taskreel.adapters.providers.provider_webhooks import (
    read_header,
    read_operation_id,
    webhook_error,
)


def verify_webhook(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> str:
    """The task's id; UnauthenticatedError unless `X-BFL-Signature` is our HMAC of the body.

    It carries no time. The header is from BFL's agent skills, not from its specification.
    """
    del now
    expected = "sha256=" + hmac.digest(secret.encode(), body, hashlib.sha256).hex()
    given = read_header(headers, "x-bfl-signature")
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise webhook_error("its signature does not match")
    return read_operation_id(body, "id")
