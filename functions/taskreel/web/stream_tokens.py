"""Short-lived tokens for reading events.

An EventSource cannot send headers, so its token is in the URL, which servers and proxies log. This
one is good for events alone, and soon for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from taskreel.app.caller import Caller
from taskreel.domain.errors import UnauthenticatedError
from taskreel.web.derived_keys import derive_keys
from taskreel.web.project_roles import read_roles, write_roles

LIFETIME_SECONDS = 600
_AUDIENCE = "taskreel:events"
_ALGORITHM = "HS256"


@dataclass(frozen=True, slots=True)
class ExpiringCaller:
    """A caller, and when their token expires, in seconds since 1970."""

    caller: Caller
    expires_at: float


class StreamTokens:
    """Issues and verifies tokens; signs by the first of the keys (LINK_KEY)."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = derive_keys(keys, "stream tokens")

    def issue(
        self, caller: Caller, lifetime_seconds: float = LIFETIME_SECONDS
    ) -> tuple[str, datetime]:
        """A token with the caller's rights, and its expiry."""
        import jwt

        expires_at = int(time.time() + lifetime_seconds)
        claims: dict[str, Any] = {
            "aud": _AUDIENCE,
            "sub": caller.user_id,
            "exp": expires_at,
            "tier": caller.tier,
            "admin": caller.admin,
        }
        if caller.projects is not None:
            claims["projects"] = sorted(caller.projects)
        if caller.roles:
            claims["projectRoles"] = write_roles(caller.roles)
        token = jwt.encode(claims, self._keys[0], algorithm=_ALGORITHM)
        return token, datetime.fromtimestamp(expires_at, UTC)

    def verify(self, token: str) -> ExpiringCaller:
        """The caller of a token. Raises UnauthenticatedError."""
        import jwt

        for key in self._keys:
            try:
                claims = jwt.decode(token, key, algorithms=[_ALGORITHM], audience=_AUDIENCE)
            except jwt.ExpiredSignatureError:
                break
            except jwt.PyJWTError:
                continue
            projects = claims.get("projects")
            caller = Caller(
                user_id=claims["sub"],
                tier=claims["tier"],
                admin=claims["admin"],
                projects=None if projects is None else frozenset(projects),
                roles=read_roles(claims),
            )
            return ExpiringCaller(caller, float(claims["exp"]))
        raise UnauthenticatedError(
            "The stream token is invalid or has expired. POST /api/stream-tokens issues one."
        )
