"""Development tokens, signed with the data folder's secret."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Mapping, Sequence

from taskreel_local.stack.data_folder import DataFolder

#: The user of the dev stack's own addresses, commands and sockets.
DEV_USER = "dev"
_HEADER = {"alg": "HS256", "typ": "JWT"}


def make_token(  # noqa: PLR0913 - a parameter a claim
    data: DataFolder,
    *,
    user: str,
    tier: str = "free",
    role: str | None = None,
    projects: Sequence[str] = (),
    project_roles: Mapping[str, str] | None = None,
    ttl_seconds: int = 30 * 86_400,
) -> str:
    """Return a token that the stack on this data folder accepts."""
    now = int(time.time())
    # Of a stack that was started with JWT_ISSUER or JWT_AUDIENCE, which refuses tokens without.
    required = data.read_token_claims()
    claims: dict[str, object] = {"sub": user, "tier": tier, "iat": now, "exp": now + ttl_seconds}
    if role:
        claims["role"] = role
    if projects:
        claims["projects"] = list(projects)
    if project_roles:
        claims["projectRoles"] = dict(project_roles)
    return sign_claims({**claims, **required}, data.load_secrets().jwt)


def sign_claims(claims: Mapping[str, object], secret: str) -> str:
    """A JWT signed by HS256.

    PyJWT would import cryptography, which takes as long as most commands take altogether.
    """
    parts = (json.dumps(part, separators=(",", ":")).encode() for part in (_HEADER, claims))
    signed = b".".join(map(_encode, parts))
    signature = hmac.digest(secret.encode(), signed, "sha256")
    return f"{signed.decode()}.{_encode(signature).decode()}"


def _encode(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
