"""Signing as standardwebhooks.com says."""

from __future__ import annotations

import base64
import hashlib
import hmac


def sign_standard_webhook(id_: str, seconds: int, body: bytes, secret: str) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id_}.{seconds}.".encode() + body, hashlib.sha256).digest()
    signature = (
        f"v1,{base64.b64encode(b'of an older key').decode()} v1,{base64.b64encode(digest).decode()}"
    )
    return {"webhook-id": id_, "webhook-timestamp": str(seconds), "webhook-signature": signature}
