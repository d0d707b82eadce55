from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from msgspec.structs import replace

from http_handlers import serve_handler
from taskreel.app.caller import Caller
from taskreel.domain.errors import UnauthenticatedError
from taskreel.web.auth import Authenticator, TokenRules
from taskreel.web.tasks import InternalKeys

SECRET = "a-secret-that-is-long-enough-to-sign"
HS256 = TokenRules(secret=SECRET)
RSA = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def token(key: Any = SECRET, algorithm: str = "HS256", headers: Any = None, **claims: Any) -> str:
    given = {"sub": "ada", "exp": int(time.time()) + 600, **claims}
    present = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(present, key, algorithm=algorithm, headers=headers)


async def caller(rules: TokenRules, sent: str) -> Caller:
    return await Authenticator(rules).authenticate(f"Bearer {sent}")


async def refusal(rules: TokenRules, sent: str) -> str:
    with pytest.raises(UnauthenticatedError) as refused:
        await caller(rules, sent)
    return refused.value.message


async def test_claims_become_a_caller() -> None:
    found = await caller(HS256, token(tier="pro", role="admin", projects=["p1", "p2"]))
    assert found == Caller(user_id="ada", tier="pro", admin=True, projects=frozenset({"p1", "p2"}))


async def test_a_token_without_claims_is_a_plain_users() -> None:
    assert await caller(HS256, token(role="editor")) == Caller(
        user_id="ada", tier="free", admin=False, projects=None
    )


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")])
async def test_a_public_key_checks_what_its_private_key_signed(key: Any, algorithm: str) -> None:
    rules = TokenRules(public_key=pem(key))
    assert (await caller(rules, token(key, algorithm))).user_id == "ada"
    await refusal(rules, token(SECRET, "HS256"))


async def test_a_public_key_is_never_a_shared_secret() -> None:
    """HS256 over the text of the public key, made by hand: the library refuses to make it."""
    head, body = token().split(".")[:2]
    mac = hmac.new(pem(RSA).encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    forged = f"{head}.{body}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    assert "signed with RS256 or ES256" in await refusal(TokenRules(public_key=pem(RSA)), forged)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_another_algorithm_of_the_same_family_is_refused(algorithm: str) -> None:
    await refusal(HS256, token(SECRET * 3, algorithm))


async def test_no_algorithm_is_refused() -> None:
    await refusal(HS256, token("", "none"))
    await refusal(TokenRules(public_key=pem(RSA)), token("", "none"))


@pytest.mark.parametrize(("key", "algorithm"), [(EC, "ES256"), (RSA, "RS256")])
async def test_a_key_of_another_kind_is_refused(key: Any, algorithm: str) -> None:
    other = EC if key is RSA else RSA
    await refusal(TokenRules(public_key=pem(other)), token(key, algorithm))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("nonsense", "it is not a JWT"),
        (token(SECRET * 3, "HS512"), "it must be signed with HS256"),
        (token(exp=1), "it has expired; send a fresh one"),
        (token("another-secret-that-is-long-enough-too"), "its signature does not match; another"),
        (token(exp=None), "it has no claim `exp`"),
        (token(exp="soon"), "its `exp`, `nbf` and `iat` must be"),
    ],
)
async def test_a_refusal_is_in_our_words(sent: str, reason: str) -> None:
    assert f"Invalid token: {reason}" in await refusal(HS256, sent)


async def test_another_secret_is_refused() -> None:
    await refusal(HS256, token("another-secret-that-is-long-enough-too"))


@pytest.mark.parametrize(("late", "holds"), [(-5, True), (5, True), (60, False)])
async def test_an_expired_token_holds_for_the_leeway(
    late: int,
    holds: bool,  # noqa: FBT001 - a parameter of pytest's
) -> None:
    sent = token(exp=int(time.time()) - late)
    if holds:
        await caller(HS256, sent)
    else:
        assert "expired" in await refusal(HS256, sent)


async def test_a_token_does_not_hold_before_its_time() -> None:
    await caller(HS256, token(nbf=int(time.time()) + 10))
    assert "not yet valid" in await refusal(HS256, token(nbf=int(time.time()) + 100))


@pytest.mark.parametrize("missing", ["exp", "sub"])
async def test_a_token_without_an_end_or_a_user_is_refused(missing: str) -> None:
    assert missing in await refusal(HS256, token(**{missing: None}))  # type: ignore[arg-type]


@pytest.mark.parametrize("subject", ["", 7, ["ada"], "a/b", "..", "__ada__", "a" * 257])
async def test_a_user_is_a_name_that_can_name_a_document(subject: Any) -> None:
    await refusal(HS256, token(sub=subject))


async def test_issuer_and_audience_must_be_ours_once_they_are_set() -> None:
    rules = replace(HS256, issuer="https://us", audience="taskreel")
    await caller(rules, token(iss="https://us", aud=["taskreel", "other"]))
    for wrong in (
        {"iss": "https://them", "aud": "taskreel"},
        {"iss": "https://us", "aud": "other"},
        {"iss": "https://us"},
    ):
        await refusal(rules, token(**wrong))


async def test_an_audience_is_not_asked_about_while_none_is_set() -> None:
    await caller(HS256, token(aud="anything"))


async def test_a_known_token_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, ours = f"Bearer {token()}", Authenticator(HS256)
    first = await ours.authenticate(sent)
    assert await ours.authenticate(sent) is first
    now = time.time()
    monkeypatch.setattr("taskreel.web.auth.time.time", lambda: now + 600 + 31)
    monkeypatch.setattr("jwt.api_jwt.datetime", _Later)
    with pytest.raises(UnauthenticatedError):
        await ours.authenticate(sent)


class _Later:
    """`datetime` as pyjwt asks it, eleven minutes on."""

    @staticmethod
    def now(tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(minutes=11)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Token x"])
async def test_without_a_bearer_token_the_answer_says_how(header: str | None) -> None:
    with pytest.raises(UnauthenticatedError, match="Authorization: Bearer"):
        await Authenticator(HS256).authenticate(header)


async def test_the_scheme_may_be_written_in_any_case() -> None:
    assert (await Authenticator(HS256).authenticate(f"bearer {token()}")).user_id == "ada"


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=60) | st.just(token()[:-3]))
async def test_no_header_is_a_crash(text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        await Authenticator(HS256).authenticate(f"Bearer {text}")


# ── Key sets ─────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Issuer:
    """An issuer's key set on this machine."""

    url: str
    keys: list[dict[str, Any]]
    fetches: int = 0
    is_down: bool = False

    @property
    def rules(self) -> TokenRules:
        return TokenRules(jwks_url=self.url, issuer="https://them", audience="taskreel")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    keys = [
        {
            **RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True),
            "kid": "r1",
            "use": "sig",
            "alg": "RS256",
        },
        {
            **ECAlgorithm.to_jwk(EC.public_key(), as_dict=True),
            "kid": "e1",
            "use": "sig",
            "alg": "ES256",
        },
    ]

    made = Issuer("", keys)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.fetches += 1
            body = json.dumps({"keys": made.keys}).encode()
            self.send_response(503 if made.is_down else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with serve_handler(Handler) as origin:
        made.url = f"{origin}/keys"
        yield made


@pytest.mark.parametrize(("key", "algorithm", "kid"), [(RSA, "RS256", "r1"), (EC, "ES256", "e1")])
async def test_an_issuers_keys_are_found_by_their_id(
    issuer: Issuer, key: Any, algorithm: str, kid: str
) -> None:
    rules = issuer.rules
    ours = {"iss": "https://them", "aud": "taskreel"}
    assert (await caller(rules, token(key, algorithm, {"kid": kid}, **ours))).user_id == "ada"
    await refusal(rules, token(key, algorithm, {"kid": "unknown"}, **ours))
    await refusal(
        rules, token(key, algorithm, {"kid": kid}, iss="https://them", aud="another service")
    )
    await refusal(rules, token(key, algorithm, **ours))


OURS = {"iss": "https://them", "aud": "taskreel"}


class Clock:
    """The time that the library and the authenticator read."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        wall, monotonic = time.time, time.monotonic
        patch.setattr(time, "time", lambda: wall() + self.ahead)
        patch.setattr(time, "monotonic", lambda: monotonic() + self.ahead)


async def test_a_key_that_the_issuer_adds_is_found_and_one_that_it_withdraws_ends(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    first, second = issuer.keys
    issuer.keys = [first]
    authenticator = Authenticator(issuer.rules)
    old = f"Bearer {token(RSA, 'RS256', {'kid': 'r1'}, exp=time.time() + 9000, **OURS)}"
    new = f"Bearer {token(EC, 'ES256', {'kid': 'e1'}, exp=time.time() + 9000, **OURS)}"
    await authenticator.authenticate(old)
    issuer.keys = [second]
    clock.ahead = 31
    await authenticator.authenticate(new)
    await authenticator.authenticate(old)
    clock.ahead = 700
    with pytest.raises(UnauthenticatedError, match="kid"):
        await authenticator.authenticate(old)
    await authenticator.authenticate(new)


async def test_unknown_keys_are_not_fetched_for_each_token(issuer: Issuer) -> None:
    authenticator = Authenticator(issuer.rules)
    for number in range(20):
        made = token(RSA, "RS256", {"kid": f"unknown-{number}"}, **OURS)
        with pytest.raises(UnauthenticatedError):
            await authenticator.authenticate(f"Bearer {made}")
    assert issuer.fetches <= 2


async def test_while_the_issuer_is_down_its_keys_of_the_last_hour_go_on(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    authenticator = Authenticator(issuer.rules)

    def header(sub: str) -> str:
        made = token(RSA, "RS256", {"kid": "r1"}, sub=sub, exp=time.time() + 9000, **OURS)
        return f"Bearer {made}"

    await authenticator.authenticate(header("ada"))
    issuer.is_down = True
    clock.ahead = 1800
    assert (await authenticator.authenticate(header("bob"))).user_id == "bob"
    clock.ahead = 3700
    with pytest.raises(UnauthenticatedError, match="cannot be reached"):
        await authenticator.authenticate(header("eve"))


async def test_a_key_set_that_cannot_be_reached_is_said() -> None:
    rules = TokenRules(jwks_url="http://127.0.0.1:9/keys", issuer="x", audience="y")
    assert "cannot be reached" in await refusal(
        rules, token(RSA, "RS256", {"kid": "r1"}, iss="x", aud="y")
    )


# ── The internal key ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("keys", [["one"], ["one", "two"], [""], []])
@pytest.mark.parametrize("given_", [None, "", "one", "two", "three", "öne"])
def test_only_a_key_that_is_one_of_ours_opens(keys: list[str], given_: str | None) -> None:
    if given_ and given_ in keys:
        InternalKeys(keys).check(given_)
    else:
        with pytest.raises(UnauthenticatedError):
            InternalKeys(keys).check(given_)


@pytest.mark.parametrize("projects", [5, "abc", {"a": 1}, [1], [None]])
async def test_projects_that_are_no_list_of_texts_make_a_token_invalid(projects: Any) -> None:
    """`"abc"` meant the projects a, b and c, and 5 was an internal error."""
    assert "projects" in await refusal(HS256, token(projects=projects))


@pytest.mark.parametrize("subject", ["\ud800", "a\udfffb"])
async def test_a_subject_that_cannot_be_stored_makes_a_token_invalid(subject: str) -> None:
    def encode(value: Any) -> str:
        text = json.dumps(value)  # with the surrogate as \ud800
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    claims = {"sub": subject, "exp": int(time.time()) + 600}
    signed = f"{encode({'alg': 'HS256', 'typ': 'JWT'})}.{encode(claims)}"
    digest = hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest()
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert "subject" in await refusal(HS256, f"{signed}.{signature}")
