"""JWTs that a shared secret signs: HS256 (RFC 7515, RFC 7518), by the standard library alone.

PyJWT verifies tokens of public keys. For a shared secret it would import cryptography too, which
took a tenth of a cold start and 9 MB. Both come to the same verdict on every token:
`tests/unit/web/test_shared_secret_tokens.py`.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any

_ALGORITHM = "HS256"
_HEADER = {"alg": _ALGORITHM, "typ": "JWT"}
#: Reasons for a refusal, as the sender of a token reads them: those that all keys share.
NO_JWT = "it is not a JWT"
WRONG_SIGNATURE = "its signature does not match; another key has signed it"


class InvalidTokenError(Exception):
    """A token is refused; the message is the reason, as its sender reads it."""


def sign_token(claims: Mapping[str, Any], secret: bytes) -> str:
    """The token with these claims. Their times are in seconds since 1970."""
    parts = (json.dumps(part, separators=(",", ":")).encode() for part in (_HEADER, claims))
    signed = b".".join(map(_encode, parts)).decode()
    return f"{signed}.{_sign(signed, secret).decode()}"


def verify_token(token: str, secret: bytes) -> dict[str, Any]:
    """The claims of a token that the secret has signed; nothing is checked of them.

    Raises InvalidTokenError for any other text.
    """
    if not token.isascii():
        raise InvalidTokenError(NO_JWT)
    signed, _, signature = token.rpartition(".")
    head, _, body = signed.partition(".")
    header = _read_object(head)
    # The key decides the algorithm, never the token: `none`, or another family, is refused.
    if header.get("alg") != _ALGORITHM:
        raise InvalidTokenError(f"it must be signed with {_ALGORITHM}")
    # An extension must be understood, or else the token refused (RFC 7515, 4.1.11).
    if "crit" in header or header.get("b64") is False:
        raise InvalidTokenError("its header asks for an extension that is not supported")
    claims = _read_object(body)
    # As texts, so that no other text passes for the same signature, and in a time that does not
    # tell how much of it is right. Some signers leave the padding.
    if not hmac.compare_digest(signature.removesuffix("=").encode(), _sign(signed, secret)):
        raise InvalidTokenError(WRONG_SIGNATURE)
    return claims


def _sign(signed: str, secret: bytes) -> bytes:
    return _encode(hmac.digest(secret, signed.encode(), "sha256"))


def _encode(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def _read_object(part: str) -> dict[str, Any]:
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise InvalidTokenError(NO_JWT) from None
    # One text for one value, and its padding: the decoder takes others too.
    text = base64.urlsafe_b64encode(raw).decode()
    if not isinstance(found, dict) or part not in {text, text.rstrip("=")}:
        raise InvalidTokenError(NO_JWT)
    return found
