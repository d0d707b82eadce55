"""OIDC tokens in place of the internal key, for a processor that verifies its callers itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskreel.domain.errors import UnauthenticatedError
from taskreel.web.auth import Authenticator, TokenRules

#: Cloud Run puts it in place of the signature of a token that it has verified.
_REMOVED_SIGNATURE = ".SIGNATURE_REMOVED_BY_GOOGLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTokenRules:
    """The account of Cloud Tasks' calls, the processors' own URLs, and Google as the issuer."""

    account: str
    audiences: Sequence[str]
    keys_url: str
    issuer: str


class TaskTokens:
    """Verifies the token of a task against the issuer's published keys."""

    def __init__(self, rules: TaskTokenRules) -> None:
        self._account = rules.account
        self._authenticator = Authenticator(
            TokenRules(
                jwks_url=rules.keys_url, issuer=rules.issuer, audience=tuple(rules.audiences)
            )
        )

    async def check(self, authorization: str) -> None:
        """Raise UnauthenticatedError unless the token is Google's, for us, of our account."""
        if authorization.strip().endswith(_REMOVED_SIGNATURE):
            # Any sender can write these words: they are no proof that Cloud Run has checked it.
            raise UnauthenticatedError(
                "X-Internal-Api-Key is missing or wrong, and Cloud Run removed the signature of "
                "the token, so that it cannot be verified here."
            )
        claims = await self._authenticator.verify_header(authorization)
        # The address is an account's only if Google says so; a user may claim any other.
        if claims.get("email_verified") is not True or claims.get("email") != self._account:
            raise UnauthenticatedError(f"Invalid token: its `email` must be {self._account}.")
