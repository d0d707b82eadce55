"""Development tokens, signed with the data folder's secret."""

from __future__ import annotations

import time
from collections.abc import Sequence

from taskreel_local.stack.data_folder import DataFolder

#: The user of the dev stack's own addresses, commands and sockets.
DEV_USER = "dev"


def make_token(
    data: DataFolder,
    *,
    user: str,
    tier: str = "free",
    role: str | None = None,
    projects: Sequence[str] = (),
    ttl_seconds: int = 30 * 86_400,
) -> str:
    """Return a token that the stack on this data folder accepts."""
    import jwt

    now = int(time.time())
    claims: dict[str, object] = {"sub": user, "tier": tier, "iat": now, "exp": now + ttl_seconds}
    if role:
        claims["role"] = role
    if projects:
        claims["projects"] = list(projects)
    return jwt.encode(claims, data.load_secrets().jwt, algorithm="HS256")
