"""The tokens of tasks.

OIDC tokens, signed RS256 and verifiable by JWKS, and opaque OAuth tokens.
"""

from __future__ import annotations

import base64
import hashlib
import time
from typing import TYPE_CHECKING, Any

from taskreel_cloud_tasks.journal import Journal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_LIFETIME_S = 3600
_REUSE_S = 3000
_NOTE = "oidc-signing-key"


class TaskTokens:
    """Issues tokens. The key is created on first use and stored in the journal.

    So tokens stay valid over a restart. Token times are the machine's even under a virtual clock,
    because verifiers use the machine's clock.
    """

    def __init__(self, journal: Journal, issuer: str = "https://accounts.google.com") -> None:
        self.issuer = issuer
        self._journal = journal
        self._key: RSAPrivateKey | None = None
        self._certificate = ""
        self._made: dict[tuple[str, str], tuple[float, str]] = {}

    def issue_oidc_token(self, email: str, audience: str) -> str:
        """Return an identity token with Google's claims.

        These are aud, azp, email, email_verified, exp, iat, iss and sub.
        """
        made_at, token = self._made.get((email, audience), (0.0, ""))
        if time.time() - made_at > _REUSE_S:
            made_at = time.time()
            token = self._sign_claims(email, audience, int(made_at))
            self._made[email, audience] = (made_at, token)
        return token

    def issue_oauth_token(self, email: str, scope: str) -> str:
        """Return a token that no Google API accepts; the same for the same account and scope."""
        return "ya29.local-" + hashlib.sha256(f"{email} {scope}".encode()).hexdigest()

    def discovery_document(self) -> dict[str, Any]:
        """Return the response of `/.well-known/openid-configuration`."""
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

    def jwks_document(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set."""
        numbers = self._private_key().public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self._key_id()}
        return {"keys": [{**key, "n": _encode_integer(numbers.n), "e": _encode_integer(numbers.e)}]}

    def certificates(self) -> dict[str, str]:
        """Return the public key as certificates by key id, as google-auth's default reads it."""
        if not self._certificate:
            self._certificate = _make_certificate(self._private_key())
        return {self._key_id(): self._certificate}

    def _sign_claims(self, email: str, audience: str, now: int) -> str:
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
        return hashlib.sha256(_encode_integer(numbers.n).encode()).hexdigest()[:40]

    def _private_key(self) -> RSAPrivateKey:
        if self._key is None:
            self._key = _load_or_create_key(self._journal)
        return self._key


def _load_or_create_key(journal: Journal) -> RSAPrivateKey:
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


def _make_certificate(key: RSAPrivateKey) -> str:
    """Return a certificate that the key signed itself; no client checks its times."""
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud-tasks-emulator")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _encode_integer(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
