"""Tokens of a shared secret get the verdict that PyJWT gives them, whoever made them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskreel.domain.errors import UnauthenticatedError
from taskreel.web.auth import Authenticator, TokenRules
from taskreel.web.shared_secret_tokens import InvalidTokenError, sign_token, verify_token

SECRET = b"a-secret-that-is-long-enough-to-sign"
OTHER = b"another-secret-that-is-long-enough-too"
ISSUER, AUDIENCE = "https://us", "taskreel"
#: Of PyJWT: it checks the signature, and of the claims that they are an object.
CLAIM_NAMES = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
SIGNATURE_ALONE: Any = {f"verify_{name}": False for name in CLAIM_NAMES}


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def sign_parts(head: str, body: str, secret: bytes) -> str:
    digest = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{encode(digest)}"


def read_by_pyjwt(token: str) -> dict[str, Any] | None:
    try:
        return jwt.decode(token, SECRET, algorithms=["HS256"], options=SIGNATURE_ALONE)
    except jwt.PyJWTError:
        return None


def read_by_us(token: str) -> dict[str, Any] | None:
    try:
        return verify_token(token, SECRET)
    except InvalidTokenError:
        return None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.just("HS256") | st.sampled_from(["none", "HS512", "RS256", "hs256", "", 5, None])},
    optional={"typ": JSON, "b64": st.booleans(), "cty": JSON, "jwk": JSON},
)
CLAIMS = st.dictionaries(st.sampled_from(["sub", "exp", "a"]), JSON) | JSON
PARTS = st.binary(max_size=12) | CLAIMS.map(lambda value: json.dumps(value).encode())


@st.composite
def tokens(draw: st.DrawFn) -> str:
    """Signed by us or by another, and often changed after that."""
    head = encode(
        draw(st.just(b'{"alg":"HS256"}') | HEADERS.map(lambda one: json.dumps(one).encode()))
    )
    body = encode(draw(PARTS))
    padding = draw(st.sampled_from(["", "", "", "=", "==", "===", "A", "\n", "é"]))
    if draw(st.booleans()):
        body += padding
    else:
        head += padding
    token = sign_parts(head, body, draw(st.sampled_from([SECRET, SECRET, OTHER, b""])))
    at = draw(st.integers(0, len(token)))
    end = draw(st.integers(at, min(len(token), at + 2)))
    change = draw(st.just(token[at:end]) | st.text("AB-_=+/. \u0100", max_size=3))
    return token[:at] + change + token[end:] + draw(st.sampled_from(["", "", "=", "==", "A"]))


@given(tokens())
@example(sign_parts(encode(b'{"alg":"HS256"}'), encode(b"[]"), SECRET))
@example(sign_parts(encode(b'{"alg":"HS256"}'), encode(b"[" * 9000), SECRET))
@example(sign_parts(encode(b'{"alg":"HS256"}'), encode(b'{"a":NaN}'), SECRET))
@example(sign_parts(encode(b'{"alg":"HS256"}'), encode('{"a":1}'.encode("utf-16")), SECRET))
@example(sign_parts(encode(b'{"alg":"HS256"}') + ".e30", "e30", SECRET))
@example(jwt.encode({"sub": "ada"}, SECRET) + "=")
def test_a_signature_holds_exactly_if_pyjwt_says_so(token: str) -> None:
    ours, theirs = read_by_us(token), read_by_pyjwt(token)
    assert json.dumps(ours) == json.dumps(theirs)


@given(st.dictionaries(st.text(), JSON))
def test_what_we_sign_pyjwt_reads(claims: dict[str, Any]) -> None:
    assert read_by_pyjwt(sign_token(claims, SECRET)) == claims


@given(st.dictionaries(st.text(), JSON))
def test_what_pyjwt_signs_we_read(claims: dict[str, Any]) -> None:
    token = jwt.encode(claims, SECRET, headers={"kid": "any"})
    assert read_by_us(token) == read_by_pyjwt(token)


@pytest.mark.parametrize("crit", [["exp"], [], ["b64"], "b64", None])
def test_a_token_with_an_extension_that_must_be_understood_is_refused(crit: Any) -> None:
    header = json.dumps({"alg": "HS256", "crit": crit, "b64": True}).encode()
    with pytest.raises(InvalidTokenError, match="extension"):
        verify_token(sign_parts(encode(header), encode(b"{}"), SECRET), SECRET)


# ── Claims ───────────────────────────────────────────────────────────────────────────────────────

NOW = int(time.time())
#: None of them becomes true or false while the tests run.
TIMES = st.sampled_from([NOW - 5000, NOW + 5000, NOW + 5000.5, str(NOW + 5000), 10**400, 1e400]) | (
    st.sampled_from([None, True, "soon", [], {}, -1, 0, "", str(NOW - 5000)])
)
NAMES = st.sampled_from([ISSUER, AUDIENCE, "them", "", None, 5, [ISSUER], [AUDIENCE, "them"]])
RULES = {
    "no issuer": TokenRules(secret=SECRET.decode()),
    "an issuer": TokenRules(secret=SECRET.decode(), issuer=ISSUER),
    "audiences": TokenRules(secret=SECRET.decode(), audience=(AUDIENCE, "or-this")),
}


def accepts_by_pyjwt(token: str, rules: TokenRules) -> bool:
    """The rules as PyJWT has them."""
    required = ["exp", "sub", *(["iss"] * bool(rules.issuer)), *(["aud"] * bool(rules.audience))]
    try:
        claims = jwt.decode(
            token,
            SECRET,
            algorithms=["HS256"],
            issuer=rules.issuer,
            audience=rules.audience,
            leeway=rules.leeway_seconds,
            options={"require": required, "verify_aud": rules.audience is not None},
        )
        float(claims["exp"])
    except (jwt.PyJWTError, OverflowError):
        return False
    return True


@pytest.mark.parametrize("name", RULES)
@given(
    st.fixed_dictionaries(
        {"sub": st.just("ada") | st.sampled_from([None, 5, ["ada"]]), "exp": TIMES},
        optional={"nbf": TIMES, "iat": TIMES, "iss": NAMES, "aud": NAMES},
    )
)
async def test_claims_hold_exactly_if_pyjwt_says_so(name: str, claims: dict[str, Any]) -> None:
    token = sign_token(claims, SECRET)
    try:
        await Authenticator(RULES[name]).authenticate(f"Bearer {token}")
        accepted = True
    except UnauthenticatedError:
        accepted = False
    assert accepted is accepts_by_pyjwt(token, RULES[name])


async def test_without_any_key_no_token_is_accepted() -> None:
    claims = {"sub": "ada", "exp": NOW + 5000}
    for secret in (None, ""):
        with pytest.raises(UnauthenticatedError):
            await Authenticator(TokenRules(secret=secret)).authenticate(
                f"Bearer {sign_token(claims, b'')}"
            )
