"""fal's webhooks, signed with one of its Ed25519 keys."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from taskreel.adapters.providers.provider_webhooks import (
    check_timestamp,
    read_header,
    read_operation_id,
    webhook_error,
)


def verify_webhook(headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> str:
    """The request's id; UnauthenticatedError unless it is recent and one of fal's keys signed it.

    `secret` is the text of `https://rest.fal.ai/.well-known/jwks.json`; it may be cached for a day.
    """
    id_, user, seconds = (
        read_header(headers, f"x-fal-webhook-{name}")
        for name in ("request-id", "user-id", "timestamp")
    )
    check_timestamp(seconds, now)
    signed = "\n".join([id_, user, seconds, hashlib.sha256(body).hexdigest()]).encode()
    try:
        signature = bytes.fromhex(read_header(headers, "x-fal-webhook-signature"))
    except ValueError as error:
        raise webhook_error("its signature is not hexadecimal") from error
    if not any(_is_signed_by(key, signature, signed) for key in json.loads(secret)["keys"]):
        raise webhook_error("its signature does not match")
    return read_operation_id(body, "request_id")


def _is_signed_by(key: Mapping[str, str], signature: bytes, signed: bytes) -> bool:
    try:
        public = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
