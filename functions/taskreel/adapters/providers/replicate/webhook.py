"""Replicate's webhooks, which may come more than once for one prediction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from taskreel.adapters.providers.provider_webhooks import read_operation_id
from taskreel.adapters.providers.standard_webhooks import verify_standard_webhook


def verify_webhook(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> str:
    """The prediction's id; UnauthenticatedError unless the signature is valid and recent."""
    verify_standard_webhook(headers, body, secret, now)
    return read_operation_id(body, "id")
