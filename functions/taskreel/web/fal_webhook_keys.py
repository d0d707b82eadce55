"""The Ed25519 keys of fal's webhooks, by which receivers verify messages as fal's documents say.

They are derived from LINK_KEY, so that every process of a deployment has the same ones and none is
stored. The first signs; all are published, at `/fal/rest/.well-known/jwks.json`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from taskreel.web.derived_keys import derive_keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: What an id has as it is, beside letters and digits.
_SAFE = "!#$&'*+,-.:;<=>?@^_`{|}~"


class FalWebhookKeys:
    """Signs messages to the webhooks that fal's clients name."""

    def __init__(self, keys: Sequence[str]) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._keys: list[Ed25519PrivateKey] = [
            Ed25519PrivateKey.from_private_bytes(key) for key in derive_keys(keys, "fal webhooks")
        ]

    def sign(self, request_id: str, user_id: str, at: datetime, body: str) -> dict[str, str]:
        """The headers of a message that is sent at that time.

        A user's id that a header cannot carry, or that would add lines to the signed text, is sent
        percent-encoded.
        """
        user = quote(user_id, safe=_SAFE)
        seconds = str(int(at.timestamp()))
        digest = hashlib.sha256(body.encode()).hexdigest()
        signed = f"{request_id}\n{user}\n{seconds}\n{digest}"
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user,
            "X-Fal-Webhook-Timestamp": seconds,
            "X-Fal-Webhook-Signature": self._keys[0].sign(signed.encode()).hex(),
        }

    def build_jwks(self) -> dict[str, Any]:
        """The public halves as a JSON Web Key Set (RFC 8037)."""
        return {"keys": [_build_jwk(key.public_key().public_bytes_raw()) for key in self._keys]}


def _build_jwk(raw: bytes) -> dict[str, str]:
    text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": text,
        "kid": hashlib.sha256(raw).hexdigest()[:16],
        "use": "sig",
        "alg": "EdDSA",
    }
