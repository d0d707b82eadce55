"""Signatures by the Standard Webhooks specification (standardwebhooks.com), which several use."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from taskreel.adapters.providers.provider_webhooks import (
    check_timestamp,
    read_header,
    webhook_error,
)


def verify_standard_webhook(
    headers: Mapping[str, str], body: bytes, secret: str, now: datetime
) -> None:
    """Raise UnauthenticatedError unless one of the signatures is ours and its time is near `now`.

    The package's own `verify` is not used: it reads the machine's clock instead of ours, and raises
    ValueError for a malformed header. Its `sign` gives the signature to compare with.
    """
    id_, seconds = read_header(headers, "webhook-id"), read_header(headers, "webhook-timestamp")
    check_timestamp(seconds, now)
    try:
        signer = Webhook(secret)
    except (ValueError, EmptyWebhookSecretError) as error:
        raise webhook_error("our WEBHOOK_SECRETS entry for it is not base64") from error
    try:
        expected = signer.sign(id_, datetime.fromtimestamp(int(seconds), UTC), body.decode())
    except ValueError as error:
        raise webhook_error("its body is not UTF-8 text") from error

    # Several signatures are sent, with a space between, while a secret is being replaced.
    given = read_header(headers, "webhook-signature").split(" ")
    if not any(hmac.compare_digest(expected.encode(), item.encode()) for item in given):
        raise webhook_error("its signature does not match")
