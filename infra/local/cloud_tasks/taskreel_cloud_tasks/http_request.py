"""Builds the HTTP request of an attempt: URL, headers and the queue's overrides.

Pure, except for the token issuer.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Protocol
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from taskreel_cloud_tasks.delivery_history import OutgoingRequest
from taskreel_cloud_tasks.messages import (
    AppEngineHttpRequest,
    AppEngineRouting,
    EnforceMode,
    Header,
    HttpMethod,
    HttpRequest,
    HttpTarget,
    OAuthToken,
    OidcToken,
    Queue,
    Scheme,
    UriOverride,
)
from taskreel_cloud_tasks.stored_task import StoredTask

_DEFAULT_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_SERVICE_HEADERS = ("x-cloudtasks-", "x-google-", "x-appengine-")
_COMPUTED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_SAFE_IN_URL = "!#$%&'()*+,/:;=?@[]~"


class TokenIssuer(Protocol):
    """Issues the tokens of Authorization headers."""

    def issue_oidc_token(self, email: str, audience: str) -> str:
        """Return an identity token."""

    def issue_oauth_token(self, email: str, scope: str) -> str:
        """Return an access token."""


def build_request(
    queue: Queue, stored: StoredTask, tokens: TokenIssuer, app_engine_url: str
) -> OutgoingRequest:
    """Build the request of the task's next attempt; counters are those before the attempt."""
    request = stored.request
    if isinstance(request, AppEngineHttpRequest):
        return _build_app_engine_request(queue, stored, request, app_engine_url)
    target = queue.http_target
    url = encode_url(
        apply_uri_override(request.url, target.uri_override)
        if target and target.uri_override
        else request.url
    )
    method = (target.http_method if target else 0) or request.http_method
    headers = _task_headers(request, target)
    _add_authorization(headers, request, target, tokens, url)
    headers += _service_headers("X-CloudTasks-", queue, stored)
    if stored.dispatches:
        headers.append(("X-CloudTasks-TaskPreviousResponse", str(stored.previous_status)))
        headers.append(("X-CloudTasks-TaskRetryReason", ""))
    body = b"" if method == HttpMethod.GET else request.body
    return OutgoingRequest(HttpMethod(method).name, url, tuple(headers), body)


def _task_headers(request: HttpRequest, target: HttpTarget | None) -> list[tuple[str, str]]:
    """Return the caller's headers with the queue's overrides applied."""
    given = request.headers or {}
    headers = [(key, value) for key, value in given.items() if _is_caller_header(key)]
    overrides = target.header_overrides if target is not None else ()
    for override in overrides:
        if override.header is not None:
            headers = _override_header(headers, override.header)
    return headers


def _override_header(headers: list[tuple[str, str]], override: Header) -> list[tuple[str, str]]:
    """Replace a header; an override of User-Agent removes it only."""
    name = override.key.lower()
    remaining = [(key, value) for key, value in headers if key.lower() != name]
    if name != "user-agent":
        remaining.append((override.key, override.value))
    return remaining


@lru_cache(maxsize=1024)
def _is_caller_header(key: str) -> bool:
    """Return True if callers may set this header: not a service or computed header."""
    name = key.lower()
    return name not in _COMPUTED_HEADERS and not name.startswith(_SERVICE_HEADERS)


def _add_authorization(
    headers: list[tuple[str, str]],
    request: HttpRequest,
    target: HttpTarget | None,
    tokens: TokenIssuer,
    url: str,
) -> None:
    queue_sets = target is not None and (target.oauth_token or target.oidc_token)
    source = target if queue_sets else request
    if source is None or not (source.oauth_token or source.oidc_token):
        return
    headers[:] = [(key, value) for key, value in headers if key.lower() != "authorization"]
    headers.append(
        (
            "Authorization",
            f"Bearer {_issue_token(source.oauth_token, source.oidc_token, tokens, url)}",
        )
    )


def _issue_token(
    oauth: OAuthToken | None, oidc: OidcToken | None, tokens: TokenIssuer, url: str
) -> str:
    if oidc is not None:
        return tokens.issue_oidc_token(oidc.service_account_email, oidc.audience or url)
    email, scope = (oauth.service_account_email, oauth.scope) if oauth else ("", "")
    return tokens.issue_oauth_token(email, scope or _DEFAULT_SCOPE)


def _service_headers(prefix: str, queue: Queue, stored: StoredTask) -> list[tuple[str, str]]:
    seconds, micros = divmod(stored.schedule, 1_000_000)
    return [
        (f"{prefix}QueueName", queue.name.rpartition("/")[2]),
        (f"{prefix}TaskName", stored.id),
        (f"{prefix}TaskRetryCount", str(stored.dispatches)),
        (f"{prefix}TaskExecutionCount", str(stored.executions)),
        (f"{prefix}TaskETA", f"{seconds}.{micros:06d}"),
    ]


def _build_app_engine_request(
    queue: Queue, stored: StoredTask, request: AppEngineHttpRequest, base: str
) -> OutgoingRequest:
    headers = [
        (key, value) for key, value in (request.headers or {}).items() if _is_caller_header(key)
    ]
    headers += _service_headers("X-AppEngine-", queue, stored)
    if stored.dispatches:
        headers.append(("X-AppEngine-TaskPreviousResponse", str(stored.previous_status)))
        headers.append(("X-AppEngine-TaskRetryReason", ""))
    # The queue's routing, if it has any, is for all of its tasks, whatever they name themselves.
    routing = queue.app_engine_routing_override or request.app_engine_routing or AppEngineRouting()
    url = encode_url(_app_url(base, routing) + (request.relative_uri or "/")) if base else ""
    return OutgoingRequest(
        request.http_method.name, url, tuple(headers), request.body, follow_redirects=False
    )


def _app_url(base: str, routing: AppEngineRouting) -> str:
    """Return the address of the app: `{service}`, `{version}`, `{instance}` are filled in."""
    base = base.rstrip("/") if "://" in base else f"http://{base.rstrip('/')}"
    values = {
        "service": routing.service or "default",
        "version": routing.version,
        "instance": routing.instance,
    }
    for name, value in values.items():
        base = base.replace(f"{{{name}}}", value)
    return base


@lru_cache(maxsize=1024)
def encode_url(url: str) -> str:
    """Percent-encode spaces, control and non-ASCII characters, as Cloud Tasks does; `%` stays."""
    return quote(url, safe=_SAFE_IN_URL)


@lru_cache(maxsize=1024)
def apply_uri_override(url: str, override: UriOverride) -> str:
    """Return the URL after the queue's override (HttpTarget, client 2.26)."""
    parts = urlsplit(url)
    if override.uri_override_enforce_mode == EnforceMode.IF_NOT_EXISTS:
        override = _only_missing_parts(parts, override)
    scheme = _choose_scheme(parts, override)
    path = override.path_override.path if override.path_override else parts.path
    query = override.query_override.query_params if override.query_override else parts.query
    if path and not path.startswith("/"):
        path = f"/{path}"
    return urlunsplit((scheme, _choose_authority(parts, override), path, query, parts.fragment))


def _choose_scheme(parts: SplitResult, override: UriOverride) -> str:
    if override.scheme is None:
        return parts.scheme or "https"
    return "http" if override.scheme == Scheme.HTTP else "https"


def _choose_authority(parts: SplitResult, override: UriOverride) -> str:
    host, _, port = parts.netloc.rpartition("@")[2].partition(":")
    host = override.host or host
    if override.port is not None:
        port = str(override.port) if override.port else ""
    return f"{host}:{port}" if port else host


def _only_missing_parts(parts: SplitResult, override: UriOverride) -> UriOverride:
    return replace(
        override,
        scheme=None if parts.scheme else override.scheme,
        host=None if parts.netloc else override.host,
        port=None if parts.netloc else override.port,
        path_override=None if parts.path.strip("/") else override.path_override,
        query_override=None if parts.query else override.query_override,
    )
