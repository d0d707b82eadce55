"""Who calls: a JWT, by a shared secret, a public key, or an issuer's key set; algorithms pinned by which of them is set."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from typing import Any

import jwt

from taskreel.app.read import Caller
from taskreel.config import ConfigurationError, Settings
from taskreel.domain.errors import ForbiddenError, UnauthenticatedError

_ASYMMETRIC = ["RS256", "ES256"]


class Authenticator:
    """Turns an Authorization header into a Caller."""

    def __init__(self, settings: Settings) -> None:
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._leeway = settings.jwt_leeway_seconds
        self._jwks = jwt.PyJWKClient(settings.jwt_jwks_url, cache_keys=True) if settings.jwt_jwks_url else None
        self._key, self._algorithms = _key(settings)
        self._require = ["exp", "sub", *(["iss"] if self._issuer else []), *(["aud"] if self._audience else [])]

    async def caller(self, authorization: str | None) -> Caller:
        """Raises UnauthenticatedError for a token that is absent, broken, expired, or not for us."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("Send a token: `Authorization: Bearer …`.")
        try:
            return _caller(await self._claims(token.strip()))
        except jwt.PyJWKClientConnectionError:
            raise UnauthenticatedError("The issuer's keys cannot be reached to check this token.") from None
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(f"This token does not hold: {error}.") from None

    async def _claims(self, token: str) -> dict[str, Any]:
        key = self._key
        if self._jwks is not None:
            key = (await asyncio.to_thread(self._jwks.get_signing_key_from_jwt, token)).key
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=self._algorithms,
            issuer=self._issuer,
            audience=self._audience,
            leeway=self._leeway,
            options={"require": self._require, "verify_aud": self._audience is not None},
        )
        return claims


def _key(settings: Settings) -> tuple[Any, list[str]]:
    """The key and the algorithms it allows; a public key can never be taken for a shared secret."""
    if settings.jwt_jwks_url:
        if not (settings.jwt_issuer and settings.jwt_audience):
            raise ConfigurationError("JWT_JWKS_URL needs JWT_ISSUER and JWT_AUDIENCE: its keys sign for others too")
        return None, _ASYMMETRIC
    if settings.jwt_public_key:
        return settings.jwt_public_key, _ASYMMETRIC
    if settings.jwt_secret:
        return settings.jwt_secret.get_secret_value(), ["HS256"]
    raise ConfigurationError("set JWT_SECRET, JWT_PUBLIC_KEY or JWT_JWKS_URL: without one no token can be checked")


def _caller(claims: Mapping[str, Any]) -> Caller:
    projects = claims.get("projects")
    return Caller(
        user_id=str(claims["sub"]),
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

    def __init__(self, settings: Settings) -> None:
        self._keys = [key.strip().encode() for key in settings.internal_api_key.get_secret_value().split(",")]

    def check(self, given: str | None) -> None:
        """Raises UnauthenticatedError unless the key is one of ours; takes the same time for any wrong one."""
        sent = (given or "").encode()
        if not any([hmac.compare_digest(sent, key) for key in self._keys]):  # noqa: C419 - no early end: constant time
            raise UnauthenticatedError("X-Internal-Api-Key is missing or wrong.")
