"""Cross-origin requests: the pages that may call the API from a browser."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

_ANY_PORT = ":*"
_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "Prefer",
    "X-Request-Id",
    # fal's client, which calls its proxy.
    "X-Fal-Object-Lifecycle-Preference",
    "X-Fal-Queue-Priority",
    "X-Fal-Request-Timeout",
    "X-Fal-Runner-Hint",
    "X-Fal-Target-Url",
)
#: A script on another origin sees a few headers of an answer only; these are ours.
_SHOWN_HEADERS = (
    "Idempotency-Replayed",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Taskreel-Ignored-Inputs",
    "WWW-Authenticate",
    "X-Fal-Request-Id",
    "X-Request-Id",
)
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PREFLIGHT_SECONDS = 7200  # the longest that Chromium accepts


def allow_origins(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let pages of these origins call the application; of none, leave it as it is.

    `*` is every origin, and `http://localhost:*` one host on any port. Callers send their token in
    a header, never in a cookie, so credentials are not allowed.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=[one for one in origins if not one.endswith(_ANY_PORT)],
        allow_origin_regex=_build_pattern(origins) or None,
        allow_methods=_METHODS,
        allow_headers=_REQUEST_HEADERS,
        expose_headers=_SHOWN_HEADERS,
        max_age=_PREFLIGHT_SECONDS,
    )


def is_allowed_origin(origin: str, origins: Sequence[str]) -> bool:
    """True for an origin whose pages may call, as `allow_origins` takes them."""
    if "*" in origins or origin in origins:
        return True
    pattern = _build_pattern(origins)
    return bool(pattern) and re.fullmatch(pattern, origin) is not None


def _build_pattern(origins: Sequence[str]) -> str:
    """A pattern of the origins with any port; empty without any."""
    hosts = [one.removesuffix(_ANY_PORT) for one in origins if one.endswith(_ANY_PORT)]
    return "|".join(rf"{re.escape(host)}(:\d+)?" for host in hosts)
