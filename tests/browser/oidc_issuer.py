"""A small OpenID Connect issuer: its page, the authorization code with PKCE, tokens and keys."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from http_handlers import serve_handler

CLIENT = "taskreel-dashboard"
PAGE = """<!doctype html><title>Issuer</title><form action="/allow">{hidden}
<label>User name <input name="user" required></label><button>Allow</button></form>"""


@dataclass
class OidcIssuer:
    """It serves a public client, `CLIENT`, and remembers what it was asked."""

    #: The audience of access tokens; ID tokens are for the client.
    audience: str = CLIENT
    url: str = ""
    #: Claims of the next ID tokens in place of its own, and parameters of the next answers.
    claims: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    #: The pages that may ask for tokens.
    origins: set[str] = field(default_factory=set)
    asked: list[dict[str, str]] = field(default_factory=list)
    _key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    #: What was asked for each code that is not redeemed.
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def sign(self, user: str, audience: str, **claims: Any) -> str:
        now = int(time.time())
        standard = {"iss": self.url, "aud": audience, "sub": user, "iat": now, "exp": now + 3600}
        return jwt.encode(
            {**standard, **claims}, self._key, algorithm="RS256", headers={"kid": "k1"}
        )

    def describe(self) -> dict[str, Any]:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
        endpoints = {name: f"{self.url}/{path}" for name, path in names.items()}
        return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks", **endpoints}

    def list_keys(self) -> dict[str, Any]:
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": "k1", "use": "sig", "alg": "RS256"}]}

    def show_page(self, query: dict[str, str]) -> str:
        assert query["client_id"] == CLIENT
        assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
        self.asked.append(query)
        fields = "".join(
            f'<input type="hidden" name="{name}" value="{html.escape(value)}">'
            for name, value in query.items()
        )
        return PAGE.format(hidden=fields)

    def allow(self, query: dict[str, str]) -> str:
        """The address that leads back to the client."""
        code = secrets.token_urlsafe()
        self._codes[code] = query
        answer = {"code": code, "state": query["state"], "iss": self.url, **self.answers}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def redeem(self, form: dict[str, str]) -> dict[str, Any] | None:
        """The tokens for a code; None where anything does not fit."""
        query = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if query is None or query["code_challenge"] != challenge:
            return None
        if any(query[name] != form.get(name) for name in ("redirect_uri", "client_id")):
            return None
        claims = {"nonce": query["nonce"], **self.claims}
        return {
            "id_token": self.sign(query["user"], CLIENT, **claims),
            "access_token": self.sign(query["user"], self.audience),
            "token_type": "Bearer",
        }


@contextmanager
def serving_issuer(issuer: OidcIssuer) -> Iterator[OidcIssuer]:
    """Serve the issuer on a free port during the block."""
    documents = {
        "/.well-known/openid-configuration": issuer.describe,
        "/jwks": issuer.list_keys,
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = urlsplit(self.path)
            query = dict(parse_qsl(place.query))
            if place.path == "/allow":
                self.send_response(302)
                self.send_header("Location", issuer.allow(query))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif place.path == "/authorize":
                self.send(200, issuer.show_page(query), "text/html")
            else:
                found = documents.get(place.path)
                self.send_json(404 if found is None else 200, found() if found else {})

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(text).items()}
            found = issuer.redeem(form) if self.path == "/token" else None
            refusal = {"error": "invalid_grant", "error_description": "the code is not valid"}
            self.send_json(200 if found else 400, found or refusal)

        def send_json(self, status: int, body: dict[str, Any]) -> None:
            self.send(status, json.dumps(body), "application/json")

        def send(self, status: int, body: str, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body.encode())))
            origin = self.headers.get("Origin", "")
            if origin in issuer.origins:
                self.send_header("Access-Control-Allow-Origin", origin)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with serve_handler(Handler) as issuer.url:
        yield issuer
