"""The tokens tasks carry: OIDC, signed RS256 and verifiable by discovery and JWKS; OAuth, opaque."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import TYPE_CHECKING, Any

from taskreel_local.emulators.cloudtasks.journal import Journal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_LIFETIME_S = 3600
_REUSE_S = 3000
_NOTE = "oidc-signing-key"


class TaskTokens:
    """The key is made on first use and kept in the journal, so that tokens stay valid over a restart.

    Token times are the machine's even under a virtual clock: whoever verifies them knows no other.
    """

    def __init__(self, journal: Journal, issuer: str = "https://accounts.google.com") -> None:
        self.issuer = issuer
        self._journal = journal
        self._key: RSAPrivateKey | None = None
        self._made: dict[tuple[str, str], tuple[float, str]] = {}

    def oidc(self, email: str, audience: str) -> str:
        """An identity token as Google's: aud, azp, email, email_verified, exp, iat, iss, sub."""
        made_at, token = self._made.get((email, audience), (0.0, ""))
        if time.time() - made_at > _REUSE_S:
            made_at = time.time()
            token = self._sign(email, audience, int(made_at))
            self._made[email, audience] = (made_at, token)
        return token

    def oauth(self, email: str, scope: str) -> str:
        """An access token no Google API would take; the same account and scope give the same one."""
        return "ya29.local-" + hashlib.sha256(f"{email} {scope}".encode()).hexdigest()

    def discovery(self) -> dict[str, Any]:
        """What `/.well-known/openid-configuration` answers."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/oauth2/v3/certs",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": [
                "aud",
                "azp",
                "email",
                "email_verified",
                "exp",
                "iat",
                "iss",
                "sub",
            ],
        }

    def jwks(self) -> dict[str, Any]:
        """The public key."""
        numbers = self._private_key().public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self._key_id()}
        return {"keys": [{**key, "n": _base64(numbers.n), "e": _base64(numbers.e)}]}

    def _sign(self, email: str, audience: str, now: int) -> str:
        import jwt

        subject = str(int(hashlib.sha256(email.encode()).hexdigest()[:16], 16)).zfill(21)
        claims = {
            "iss": self.issuer,
            "aud": audience,
            "azp": subject,
            "sub": subject,
            "email": email,
            "email_verified": True,
            "iat": now,
            "exp": now + _LIFETIME_S,
        }
        return jwt.encode(
            claims, self._private_key(), algorithm="RS256", headers={"kid": self._key_id()}
        )

    def _key_id(self) -> str:
        numbers = self._private_key().public_key().public_numbers()
        return hashlib.sha256(_base64(numbers.n).encode()).hexdigest()[:40]

    def _private_key(self) -> RSAPrivateKey:
        if self._key is None:
            self._key = _load(self._journal)
        return self._key


def _load(journal: Journal) -> RSAPrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    text = journal.note(_NOTE)
    if text is not None:
        loaded = serialization.load_pem_private_key(text.encode(), password=None)
        if isinstance(loaded, rsa.RSAPrivateKey):
            return loaded
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    journal.note(_NOTE, pem.decode())
    return key


def _base64(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
