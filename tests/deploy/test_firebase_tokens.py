"""Users of Firebase Authentication, set up as infra/README.md says: tokens, roles, smoke test."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from .conftest import Cloud, running_stack
from .declarations import ROOT
from .fake_google import PROJECT, Body, FakeGoogle, Refusal, Request, route

pytestmark = pytest.mark.emulator

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ISSUER = f"https://securetoken.google.com/{PROJECT}"
LOGIN = '{"apiKey": "web-key", "email": "smoke@example.com", "password": "right"}'


def sign_token(user: str, **claims: Any) -> str:
    """An id token of Firebase Authentication; custom claims stand beside its own."""
    now = int(time.time())
    standard = {
        "iss": ISSUER,
        "aud": PROJECT,
        "sub": user,
        "user_id": user,
        "iat": now,
        "auth_time": now,
        "exp": now + 3600,
        "email": f"{user}@example.com",
        "firebase": {"identities": {}, "sign_in_provider": "password"},
    }
    return jwt.encode({**standard, **claims}, KEY, algorithm="RS256", headers={"kid": "k1"})


@route("GET", "securetoken", r"/jwk")
def list_keys(_: FakeGoogle, __: Request) -> Body:
    key = {**RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k1", "use": "sig"}
    return {"keys": [{**key, "alg": "RS256"}]}


@route("POST", "identitytoolkit", r"/v1/accounts:signInWithPassword")
def sign_in(_: FakeGoogle, request: Request) -> Body:
    if request.query["key"] != "web-key" or request.body["password"] != "right":
        raise Refusal(400, "INVALID_ARGUMENT", "INVALID_LOGIN_CREDENTIALS")
    return {"idToken": sign_token("smoke-user", role="admin")}


@pytest.fixture(scope="module")
def api(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A stack with the settings that the recipe gives to scripts/deploy; yields its URL."""
    settings = {
        "JWT_JWKS_URL": f"{cloud.google.address}/securetoken/jwk",
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": PROJECT,
        "INITIAL_CREDITS": "3",
    }
    deployed = {"EXTRA_PROVIDERS": "", "STAND_IN_PROVIDER": ""}
    with running_stack(tmp_path_factory.mktemp("firebase"), **settings, **deployed) as url:
        yield url


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def call(url: str, token: str, path: str, **body: Any) -> httpx.Response:
    method = "POST" if body else "GET"
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, url + path, headers=headers, json=body or None, timeout=30)


def test_a_user_is_the_firebase_uid_and_starts_with_the_initial_credits(api: str) -> None:
    balance = call(api, sign_token("uid-of-ada"), "/api/credits").json()
    assert (balance["userId"], balance["available"]) == ("uid-of-ada", 3)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-project"},
        {"iss": "https://securetoken.google.com/another-project"},
        {"exp": int(time.time()) - 3600},
    ],
    ids=["audience", "issuer", "expired"],
)
def test_tokens_of_other_projects_and_old_ones_are_refused(api: str, claims: Any) -> None:
    assert call(api, sign_token("ada", **claims), "/api/credits").status_code == 401


def test_the_custom_claim_makes_an_admin(api: str) -> None:
    grant = {"amount": 5, "reason": "welcome"}
    path = "/api/credits/uid-of-bob/grants"
    assert call(api, sign_token("ada"), path, **grant).status_code == 403
    assert call(api, sign_token("ada", role="user"), path, **grant).status_code == 403
    assert call(api, sign_token("root", role="admin"), path, **grant).status_code == 201


def deploy_with_issuer(cloud: Cloud) -> None:
    """A deployed API whose settings name the issuer."""
    names = {"JWT_JWKS_URL": "https://keys.example", "JWT_ISSUER": ISSUER}
    env = [{"name": name, "value": value} for name, value in names.items()]
    cloud.google.of("run")["jobs-api"] = {
        "metadata": {"name": "jobs-api", "labels": {"taskreel-digest": "0"}},
        "spec": {"template": {"spec": {"containers": [{"env": env}]}}},
        "status": {},
    }


@pytest.fixture
def own_issuer(cloud: Cloud) -> Iterator[Cloud]:
    """A project whose deployed API trusts Firebase, for one test."""
    before = dict(cloud.google.of("run"))
    deploy_with_issuer(cloud)
    yield cloud
    cloud.google.things["run"] = before


def test_the_smoke_test_ends_at_the_refusal_without_a_token(own_issuer: Cloud, api: str) -> None:
    printed = own_issuer.ok("smoke", API_BASE_URL=api)
    assert printed.count("ok ") == 2
    assert f"not tested: a job. the API accepts only tokens of {ISSUER}" in printed


def test_the_smoke_test_signs_in_as_the_user_of_the_secret(own_issuer: Cloud, api: str) -> None:
    secrets = f"projects/{PROJECT}/secrets/taskreel-smoke-login"
    payload = {"payload": {"data": encode(LOGIN)}}
    own_issuer.google.create("versions", f"{secrets}/versions/1", payload)
    assert own_issuer.ok("smoke", API_BASE_URL=api).count("ok ") == 5
    payload = {"payload": {"data": encode(LOGIN.replace("right", "wrong"))}}
    own_issuer.google.create("versions", f"{secrets}/versions/2", payload)
    done = own_issuer.run("smoke", API_BASE_URL=api)
    own_issuer.google.of("versions").clear()
    assert done.returncode == 1
    assert "cannot sign in: INVALID_LOGIN_CREDENTIALS" in done.stderr


def test_the_smoke_test_takes_a_token_of_ones_own(own_issuer: Cloud, api: str) -> None:
    token = sign_token("smoke", role="admin")
    assert own_issuer.ok("smoke", API_BASE_URL=api, TASKREEL_TOKEN=token).count("ok ") == 5


def test_the_page_has_the_recipe() -> None:
    text = (ROOT / "infra/README.md").read_text("utf-8")
    for part in ("JWT_JWKS_URL=", "INITIAL_CREDITS=", "customAttributes", "taskreel-smoke-login"):
        assert part in text
