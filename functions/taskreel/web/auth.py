"""Who calls: a JWT, by a shared secret, a public key, or an issuer's key set; which of them pins the algorithms."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskreel.app.caller import Caller
from taskreel.domain.errors import ForbiddenError, UnauthenticatedError
from taskreel.domain.ids import USER_ID, is_user_id

if TYPE_CHECKING:
    from jwt import PyJWKClient

_ASYMMETRIC = ["RS256", "ES256"]
_KNOWN = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Which tokens hold. One of `jwks_url`, `public_key` (PEM) and `secret` is set; the first that is, counts."""

    secret: str | None = None
    public_key: str | None = None
    jwks_url: str | None = None
    issuer: str | None = None
    audience: str | None = None
    leeway_seconds: int = 30


class Authenticator:
    """Turns an Authorization header into a Caller."""

    def __init__(self, rules: TokenRules) -> None:
        #: Tokens that were checked, with their expiry: a client sends the same one many times.
        self._known: dict[str, tuple[float, Caller]] = {}
        self._issuer = rules.issuer
        self._audience = rules.audience
        self._leeway = rules.leeway_seconds
        self._jwks_url = rules.jwks_url
        self._jwks: PyJWKClient | None = None
        self._key = rules.public_key or rules.secret
        # A public key can never be taken for a shared secret.
        self._algorithms = _ASYMMETRIC if rules.jwks_url or rules.public_key else ["HS256"]
        self._require = [
            "exp",
            "sub",
            *(["iss"] if self._issuer else []),
            *(["aud"] if self._audience else []),
        ]

    async def caller(self, authorization: str | None) -> Caller:
        """Raises UnauthenticatedError for a token that is absent, broken, expired, or not for us."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("Send a token: `Authorization: Bearer …`.")
        known = self._known.get(token)
        if known is not None and time.time() < known[0] + self._leeway:
            return known[1]
        claims = await self._claims(token.strip())
        caller = _caller(claims)
        if len(self._known) >= _KNOWN:
            self._known.clear()
        self._known[token] = (float(claims["exp"]), caller)
        return caller

    async def _claims(self, token: str) -> dict[str, Any]:
        import jwt

        try:
            key: Any = self._key if self._jwks_url is None else await self._published_key(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={"require": self._require, "verify_aud": self._audience is not None},
            )
        except jwt.PyJWKClientConnectionError:
            raise UnauthenticatedError(
                "The issuer's keys cannot be reached to check this token."
            ) from None
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(f"This token does not hold: {error}.") from None
        return claims

    async def _published_key(self, token: str) -> Any:
        """The issuer's key that the token names; the set is fetched once, and again for a new name."""
        import jwt

        if self._jwks is None:
            self._jwks = jwt.PyJWKClient(self._jwks_url or "", cache_keys=True)
        return (await asyncio.to_thread(self._jwks.get_signing_key_from_jwt, token)).key


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject = str(claims["sub"])
    if not is_user_id(subject):
        raise UnauthenticatedError(f"This token does not hold: its subject must be {USER_ID}.")
    projects = claims.get("projects")
    return Caller(
        user_id=subject,
        tier=str(claims.get("tier", "free")),
        admin=claims.get("role") == "admin",
        projects=None if projects is None else frozenset(map(str, projects)),
    )


def require_admin(caller: Caller) -> None:
    """Raises ForbiddenError for everybody else."""
    if not caller.admin:
        raise ForbiddenError("Only an admin may do this.")


class InternalKeys:
    """The processor's own callers: one key, or two while it is being rotated."""

    def __init__(self, keys: Sequence[str]) -> None:
        # An empty key would be matched by a request without the header.
        self._keys = [key.encode() for key in keys if key]

    def check(self, given: str | None) -> None:
        """Raises UnauthenticatedError unless the key is one of ours; takes the same time for any wrong one."""
        sent = (given or "").encode()
        if not any([hmac.compare_digest(sent, key) for key in self._keys]):  # noqa: C419 - no early end: constant time
            raise UnauthenticatedError("X-Internal-Api-Key is missing or wrong.")
