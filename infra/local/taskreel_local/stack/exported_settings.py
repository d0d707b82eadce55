"""Settings that a stack takes from the environment it is started in, beside its own."""

from __future__ import annotations

from collections.abc import Mapping

#: The stack's own settings that the environment may override.
OVERRIDABLE = frozenset(
    {
        "CORS_ORIGINS",
        "ENCRYPTION_KEY",
        "EXTRA_PROVIDERS",
        "HEARTBEAT_SECONDS",
        "INITIAL_CREDITS",
        "LEASE_SECONDS",
        "LIMITS",
        "LOG_FORMAT",
        "RESCUE_AFTER_SECONDS",
        "RETENTION_DAYS",
        "STAND_IN_PROVIDER",
        "TYPE_RETENTION_DAYS",
        "WEBHOOK_PRIVATE_ORIGINS",
    }
)
#: Those of a stack whose processor runs here too.
OVERRIDABLE_LOCALLY = frozenset({"API_BASE_URL", "INTERNAL_API_KEY"})
#: The variables by which tokens are verified, and the claim that each asks for.
_CLAIMS = {"JWT_ISSUER": "iss", "JWT_AUDIENCE": "aud"}
#: With one of them the shared secret verifies no token.
_PUBLIC_KEYS = ("JWT_JWKS_URL", "JWT_PUBLIC_KEY")


def list_settings(exported: Mapping[str, str]) -> list[str]:
    """The names of the settings among variables that reach the servers."""
    from taskreel.config import Settings

    known = {name.upper() for name in Settings.model_fields}
    return sorted(name for name, value in exported.items() if value and name in known)


def find_token_claims(environ: Mapping[str, str]) -> dict[str, str]:
    """The claims that the servers require of the stack's own tokens."""
    return {claim: environ[name] for name, claim in _CLAIMS.items() if environ.get(name)}


def find_other_signer(environ: Mapping[str, str], secret: str) -> str | None:
    """The variable by which the servers refuse tokens signed by this secret; None if they do not.

    It goes in the order in which the servers choose (`TokenRules`).
    """
    for name in _PUBLIC_KEYS:
        if environ.get(name):
            return name
    return None if environ.get("JWT_SECRET") == secret else "JWT_SECRET"
