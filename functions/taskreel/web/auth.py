"""Authentication of the callers of the API by a JWT, or by an API key of a project.

The JWT is verified by a shared secret, a public key or an issuer's key set; the choice fixes the
algorithms. A key is verified by the document of its project.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.types import Scope

from taskreel.app.caller import Caller, ProjectRole
from taskreel.app.services import Services
from taskreel.domain.errors import ForbiddenError, UnauthenticatedError
from taskreel.domain.ids import USER_ID, find_limit_owner, is_user_id
from taskreel.domain.record import Record
from taskreel.web.http import find_header
from taskreel.web.request_rates import RequestRates

if TYPE_CHECKING:
    from jwt import PyJWKClient

    from taskreel.app.health import HealthMonitor
    from taskreel.app.projects.key_callers import KeyCallers
    from taskreel.app.records.store_metrics import StoreMetrics
    from taskreel.web.fal_webhook_keys import FalWebhookKeys
    from taskreel.web.file_links import FileLinks
    from taskreel.web.live_context import LiveContext
    from taskreel.web.stream_tokens import StreamTokens

_ASYMMETRIC = ["RS256", "ES256"]
_WRONG_TIME = "its `exp`, `nbf` and `iat` must be numbers of seconds since 1970"
#: Verified tokens in memory; a client sends the same one many times.
_MAX_CACHED_TOKENS = 2048
#: No issuer's token is near it; a longer one is refused before it is decoded.
LONGEST_TOKEN = 16_384
#: The beginning of an API key, as `domain.project_key` has it: imported with the first of them.
_KEY_MARK = "tk_"
#: How long a key of the issuer, and a token that it has verified, is taken for valid.
_KEY_SECONDS = 300
#: How long the keys last that were found before the issuer's key set could not be fetched.
_OUTAGE_SECONDS = 3600
_FETCH_SECONDS = 5


class TokenRules(Record, kw_only=True):
    """Verify tokens by the first of `jwks_url`, `public_key` (PEM) and `secret` that is set."""

    secret: str | None = None
    public_key: str | None = None
    jwks_url: str | None = None
    issuer: str | None = None
    audience: str | tuple[str, ...] | None = None
    leeway_seconds: int = 30


class Authenticator:
    """Turns an Authorization header into a Caller."""

    def __init__(
        self, rules: TokenRules, find_key_callers: Callable[[], KeyCallers] | None = None
    ) -> None:
        """`find_key_callers` is asked on the first API key; without it none is accepted."""
        self._find_key_callers = find_key_callers
        #: token → when it is verified again, its expiry (both in seconds since 1970), its caller
        self._cached: dict[str, tuple[float, float, Caller]] = {}
        #: The issuer's keys by `kid`, as they were found last, and when.
        self._known_keys: dict[str, tuple[float, Any]] = {}
        self._issuer = rules.issuer
        self._audience = rules.audience
        self._leeway = rules.leeway_seconds
        self._jwks_url = rules.jwks_url
        self._jwks: PyJWKClient | None = None
        self._key = rules.public_key or rules.secret
        # A public key can never be taken for a shared secret.
        self._algorithms = _ASYMMETRIC if rules.jwks_url or rules.public_key else ["HS256"]
        self._required_claims = ["exp", "sub"]
        if self._issuer:
            self._required_claims.append("iss")
        if self._audience:
            self._required_claims.append("aud")

    async def authenticate(self, authorization: str | None) -> Caller:
        """The caller of an Authorization header.

        Raises UnauthenticatedError for a token that is absent, malformed, expired or for another
        audience.
        """
        caller, _ = await self.authenticate_until(authorization)
        return caller

    async def authenticate_until(self, authorization: str | None) -> tuple[Caller, float]:
        """The caller of an Authorization header, and until when, in seconds since 1970.

        Also raises StoreError, where an API key cannot be looked up.
        """
        token = _read_token(authorization)
        if self._find_key_callers is not None and token.lstrip().startswith(_KEY_MARK):
            return await self._find_key_callers().find_caller(token.strip())
        cached = self._cached.get(token)
        if cached is None or time.time() >= cached[0] + self._leeway:
            claims = await self._verify_token(token.strip())
            expires_at = float(claims["exp"])
            trusted_until = expires_at
            if self._jwks_url is not None:
                # The issuer may withdraw the key that signed it.
                trusted_until = min(expires_at, time.time() + _KEY_SECONDS)
            cached = trusted_until, expires_at, _build_caller(claims)
            if len(self._cached) >= _MAX_CACHED_TOKENS:
                self._cached.clear()
            self._cached[token] = cached
        _, expires_at, caller = cached
        return caller, expires_at + self._leeway

    async def verify_header(self, authorization: str | None) -> Mapping[str, Any]:
        """The verified claims of an Authorization header. Raises UnauthenticatedError."""
        return await self._verify_token(_read_token(authorization))

    async def _verify_token(self, token: str) -> dict[str, Any]:
        import jwt

        try:
            key: Any = self._key if self._jwks_url is None else await self._fetch_key(token)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=self._algorithms,
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={
                    "require": self._required_claims,
                    "verify_aud": self._audience is not None,
                },
            )
            float(claims["exp"])
        except jwt.PyJWKClientConnectionError:
            raise UnauthenticatedError(
                "The token cannot be verified: the issuer's keys cannot be reached."
            ) from None
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(f"Invalid token: {self._explain_refusal(error)}.") from None
        except OverflowError:
            # An end beyond all floats, which the library lets through.
            raise UnauthenticatedError(f"Invalid token: {_WRONG_TIME}.") from None
        return claims

    def _explain_refusal(self, error: Exception) -> str:
        """The reason why the library refused a token; its own words are for its programmers."""
        import jwt

        reasons: dict[type[Exception], str] = {
            jwt.ExpiredSignatureError: "it has expired; send a fresh one",
            jwt.ImmatureSignatureError: "it is not yet valid: `nbf` or `iat` is in the future",
            jwt.InvalidAlgorithmError: f"it must be signed with {' or '.join(self._algorithms)}",
            jwt.InvalidSignatureError: "its signature does not match; another key has signed it",
            jwt.MissingRequiredClaimError: f"it has no claim `{getattr(error, 'claim', '')}`",
            jwt.InvalidIssuerError: f"its `iss` must be {self._issuer}",
            jwt.InvalidAudienceError: f"its `aud` must be {_name_audience(self._audience)}",
            jwt.InvalidIssuedAtError: _WRONG_TIME,
            jwt.exceptions.InvalidSubjectError: "its `sub` must be a text",
            jwt.PyJWKClientError: "its `kid` names none of the issuer's keys",
            # The library has one class for both.
            jwt.DecodeError: _WRONG_TIME if "claim" in str(error) else "it is not a JWT",
        }
        return reasons.get(type(error), "it cannot be verified by the keys of this deployment")

    async def _fetch_key(self, token: str) -> Any:
        """The issuer's key that the token names.

        The set is fetched again every few minutes, so that a withdrawn key ends; at once, but not
        more than every half minute, for an unknown name, so that a new one begins. While the issuer
        cannot be reached, its keys of the last hour go on.
        """
        import jwt

        if self._jwks is None:
            self._jwks = jwt.PyJWKClient(
                self._jwks_url or "", lifespan=_KEY_SECONDS, timeout=_FETCH_SECONDS
            )
        name = str(jwt.get_unverified_header(token).get("kid"))
        try:
            found = await asyncio.to_thread(self._jwks.get_signing_key, name)
        except jwt.PyJWKClientConnectionError:
            at, key = self._known_keys.get(name, (0.0, None))
            if time.time() - at > _OUTAGE_SECONDS:
                raise
            return key
        self._known_keys[name] = time.time(), found.key
        return found.key


def _read_token(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("No token. Send it as `Authorization: Bearer <token>`.")
    if len(token) > LONGEST_TOKEN:
        raise UnauthenticatedError(
            f"Invalid token: it is longer than {LONGEST_TOKEN} characters; send fewer claims."
        )
    return token


def _build_caller(claims: Mapping[str, Any]) -> Caller:
    subject = str(claims["sub"])
    if not is_user_id(subject):
        raise UnauthenticatedError(f"Invalid token: its subject must be {USER_ID}.")
    projects = claims.get("projects")
    if projects is not None and not _is_list_of_texts(projects):
        raise UnauthenticatedError("Invalid token: its `projects` must be a list of texts.")
    return Caller(
        user_id=subject,
        tier=str(claims.get("tier", "free")),
        admin=claims.get("role") == "admin",
        projects=None if projects is None else frozenset(projects),
        roles=None if "projectRoles" not in claims else _read_roles(claims),
    )


def _read_roles(claims: Mapping[str, Any]) -> Mapping[str, ProjectRole] | None:
    from taskreel.web.project_roles import read_roles  # on first use: cold start

    return read_roles(claims)


def _name_audience(audience: str | tuple[str, ...] | None) -> str:
    return " or ".join(audience) if isinstance(audience, tuple) else str(audience)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


# ── The caller of a request ──────────────────────────────────────────────────────────────────────

_CONTEXT = "taskreel.api"


class ApiContext(Record, kw_only=True):
    """The parts of the API that every request needs; `base_url` has no slash at the end."""

    services: Services
    authenticator: Authenticator
    base_url: str
    rates: RequestRates
    #: Built by the first request that needs them.
    health: Callable[[], HealthMonitor]
    live: Callable[[], LiveContext]
    stream_tokens: Callable[[], StreamTokens]
    file_links: Callable[[], FileLinks]
    fal_webhook_keys: Callable[[], FalWebhookKeys]
    store_metrics: Callable[[], StoreMetrics]
    #: Reads `/metrics`, and nothing else, in place of an admin's token.
    metrics_key: str | None = None
    #: The Google Cloud project of a deployment, for administrators alone.
    console_project: str | None = None

    def attach(self, scope: Scope) -> None:
        """Make it the context of a request."""
        scope[_CONTEXT] = self

    @staticmethod
    def of(request: Request) -> ApiContext:
        """The context that was attached to the request."""
        context: ApiContext = request.scope[_CONTEXT]
        return context


class AuthenticatedRequest(Record, kw_only=True):
    """The services, the caller, and the API's public URL without a slash at the end."""

    services: Services
    caller: Caller
    base_url: str


async def authenticate(request: Request) -> AuthenticatedRequest:
    """The request's context, before any access to the store.

    Raises UnauthenticatedError without a valid token, and RateExceededError for too many requests
    with or without one.
    """
    return await authenticate_header(request, find_header(request, b"authorization"))


async def authenticate_header(request: Request, header: str | None) -> AuthenticatedRequest:
    """`authenticate` by this Authorization header."""
    context = ApiContext.of(request)
    try:
        caller = await context.authenticator.authenticate(header)
    except UnauthenticatedError:
        context.rates.check_refusal(request)
        raise
    context.rates.check_request(request, find_limit_owner(caller.user_id))
    return AuthenticatedRequest(services=context.services, caller=caller, base_url=context.base_url)


async def authenticate_metrics(request: Request) -> ApiContext:
    """The request's context, for the metrics key or an admin's token.

    Raises UnauthenticatedError or ForbiddenError, and RateExceededError for too many requests.
    """
    context = ApiContext.of(request)
    key = context.metrics_key
    given = request.headers.get("authorization", "").encode()
    # In a time that does not tell how much of the key is right.
    if key is None or not hmac.compare_digest(given, f"Bearer {key}".encode()):
        require_admin((await authenticate(request)).caller)
    return context


def require_admin(caller: Caller) -> None:
    """Raise ForbiddenError for a caller who is not an admin."""
    if not caller.admin:
        raise ForbiddenError(
            "Only an admin of the deployment may do this: the token needs the claim `role: admin`."
        )
