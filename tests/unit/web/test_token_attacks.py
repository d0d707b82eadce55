"""Tokens that an attacker makes: none of them becomes a caller, and none is a crash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from taskreel.domain.errors import UnauthenticatedError
from taskreel.web.auth import LONGEST_TOKEN, Authenticator, TokenRules

SECRET = "a-secret-that-is-long-enough-to-sign"
OURS = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
THEIRS = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
PEM = OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
SHARED = TokenRules(secret=SECRET, issuer="https://us", audience="taskreel")
PUBLIC = TokenRules(public_key=PEM.decode(), issuer="https://us", audience="taskreel")
CLAIMS = {
    "sub": "ada",
    "iss": "https://us",
    "aud": "taskreel",
    "exp": int(time.time()) + 600,
    "role": "admin",
}


def encode(part: bytes | Mapping[str, Any]) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign_by_hand(header: Mapping[str, Any], claims: Mapping[str, Any], key: bytes) -> str:
    """HMAC over any header, which a library would refuse to write."""
    signed = f"{encode(header)}.{encode(claims)}"
    return f"{signed}.{encode(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def unsigned(name: str) -> str:
    return f"{encode({'alg': name, 'typ': 'JWT'})}.{encode(CLAIMS)}."


def own_key_in_header() -> str:
    """The attacker's key, sent along for the verification."""
    shown = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(THEIRS.public_key()))
    return jwt.encode(CLAIMS, THEIRS, algorithm="RS256", headers={"jwk": shown, "kid": "ours"})


def header_of(**fields: Any) -> str:
    return jwt.encode(CLAIMS, THEIRS, algorithm="RS256", headers=fields)


def resigned(**changes: Any) -> str:
    """A valid token's signature under other claims."""
    head, _, signature = jwt.encode(CLAIMS, OURS, algorithm="RS256").split(".")
    return f"{head}.{encode({**CLAIMS, **changes})}.{signature}"


HS256 = {"alg": "HS256", "typ": "JWT"}
BY_PUBLIC_KEY = {
    "unsigned": unsigned("none"),
    "unsigned, in capitals": unsigned("NONE"),
    "unsigned, mixed": unsigned("nOnE"),
    "the public key as a shared secret": sign_by_hand(HS256, CLAIMS, PEM),
    "the public key without its line end": sign_by_hand(HS256, CLAIMS, PEM.strip()),
    "an empty shared secret": sign_by_hand(HS256, CLAIMS, b""),
    "another's key": jwt.encode(CLAIMS, THEIRS, algorithm="RS256"),
    "another's key in the header": own_key_in_header(),
    "a key of another kind": jwt.encode(CLAIMS, CURVE, algorithm="ES256"),
    "a weaker form of the algorithm": jwt.encode(CLAIMS, OURS, algorithm="RS384"),
    "a key's address": header_of(jku="https://evil.example/keys", kid="1"),
    "a certificate's address": header_of(x5u="https://evil.example/cert"),
    "a file as the key's name": header_of(kid="../../../../dev/null"),
    "a command as the key's name": header_of(kid="1' UNION SELECT 'key"),
    "a list as the key's name": sign_by_hand({**HS256, "kid": ["a"]}, CLAIMS, PEM),
    "other claims under a valid signature": resigned(sub="root"),
    "another issuer": jwt.encode({**CLAIMS, "iss": "https://them"}, OURS, algorithm="RS256"),
    "another audience": jwt.encode({**CLAIMS, "aud": "other"}, OURS, algorithm="RS256"),
    "an expired one": jwt.encode({**CLAIMS, "exp": 1_000_000_000}, OURS, algorithm="RS256"),
    "an end in words": jwt.encode({**CLAIMS, "exp": "never"}, OURS, algorithm="RS256"),
    "an end beyond numbers": resigned(exp=10**400),
    "an extension that must be understood": jwt.encode(
        CLAIMS, OURS, algorithm="RS256", headers={"crit": ["x-tenant"], "x-tenant": "root"}
    ),
    "no header": f"..{encode(CLAIMS)}",
    "one part": "a",
    "five parts, as if encrypted": ".".join(["e30"] * 5),
    "a header that is a list": f"{encode(b'[]')}.{encode(CLAIMS)}.x",
    "deep nesting": f"{encode(b'[' * 30_000)}.{encode(b'[' * 3_000)}.x",
}
BY_SECRET = {
    "unsigned": unsigned("none"),
    "an empty secret": sign_by_hand(HS256, CLAIMS, b""),
    "a secret's beginning": sign_by_hand(HS256, CLAIMS, SECRET[:-1].encode()),
    "no algorithm": sign_by_hand({"typ": "JWT"}, CLAIMS, SECRET.encode()),
    "a signature that is cut": jwt.encode(CLAIMS, SECRET)[:-4],
    "claims that are a list": sign_by_hand(
        HS256,
        [CLAIMS],  # type: ignore[arg-type]
        SECRET.encode(),
    ),
    "a user that is a path": jwt.encode({**CLAIMS, "sub": "../ada"}, SECRET),
    "a user that is a wildcard": jwt.encode({**CLAIMS, "sub": "a/b"}, SECRET),
    "no user": jwt.encode({**CLAIMS, "sub": ""}, SECRET),
    "a signed end beyond numbers": jwt.encode({**CLAIMS, "exp": 10**400}, SECRET),
    "a signed infinite end": jwt.encode({**CLAIMS, "exp": float("inf")}, SECRET),
    "an infinite beginning": jwt.encode({**CLAIMS, "nbf": float("inf")}, SECRET),
}


async def refuse(rules: TokenRules, sent: str) -> str:
    with pytest.raises(UnauthenticatedError) as refused:
        await Authenticator(rules).authenticate(f"Bearer {sent}")
    return refused.value.message


@pytest.mark.parametrize("name", BY_PUBLIC_KEY)
async def test_no_forged_token_passes_a_public_key(name: str) -> None:
    message = await refuse(PUBLIC, BY_PUBLIC_KEY[name])
    assert "PUBLIC KEY" not in message


@pytest.mark.parametrize("name", BY_SECRET)
async def test_no_forged_token_passes_a_shared_secret(name: str) -> None:
    assert SECRET not in await refuse(SHARED, BY_SECRET[name])


async def test_a_valid_token_passes_both() -> None:
    for rules, key, algorithm in ((PUBLIC, OURS, "RS256"), (SHARED, SECRET, "HS256")):
        sent = jwt.encode(CLAIMS, key, algorithm=algorithm)
        assert (await Authenticator(rules).authenticate(f"Bearer {sent}")).admin


async def test_an_oversized_token_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = jwt.encode({**CLAIMS, "note": "x" * LONGEST_TOKEN}, SECRET)
    monkeypatch.setattr(jwt, "decode", None)  # any use of it would be a crash
    assert "longer than" in await refuse(SHARED, large)
