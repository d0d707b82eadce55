"""Refuses what web pages send: the API has no credentials, and a browser reaches local ports.

A page of any site can send a form to a port of this machine, and by DNS rebinding it can read the
answer. Google's API is not reachable that way, so no client of it is refused here.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: BufferTask takes a body of any type: it is the task's own.
_ANY_BODY = re.compile(r"/(?:v2(?:beta3)?/)?projects/.+/tasks(?:/[^/]*)?:buffer")


#: No public domain is a single label; underscores are common in names of containers.
_SINGLE_LABEL = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Refusal:
    status: int
    message: str


class BrowserGuard:
    """An ASGI application that passes on only what no foreign web page can send.

    The Host is an address, `localhost`, a name without a dot (a container's), a name of the private
    domain `internal`, or one of `hosts`: no page's owner controls these. An Origin is the Host's
    own. A body is JSON, which no form sends.
    """

    def __init__(self, app: App, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        refusal = self._find_refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await _send_refusal(send, refusal)

    def _find_refusal(self, scope: Scope) -> _Refusal | None:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        host = headers.get("host", "")
        if not self._is_local(host):
            return _Refusal(
                403,
                f"The Host header names {host[:100]!r}. Call this server by its address or as "
                "localhost, or start it with --allow-host NAME.",
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return _Refusal(403, f"Requests of web pages from {origin[:100]!r} are refused.")
        if _has_body(headers) and not _is_json(headers) and not _ANY_BODY.fullmatch(scope["path"]):
            return _Refusal(
                415, "The body must be JSON: send it with Content-Type: application/json."
            )
        return None

    def _is_local(self, host: str) -> bool:
        """True for an address, a private name or an allowed name; with or without a port."""
        name = _host_name(host)
        if name in self._hosts or name.endswith((".localhost", ".internal")):
            return True
        if _SINGLE_LABEL.fullmatch(name):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "") if host.isprintable() else ""
    except ValueError:  # half an IPv6 address
        return ""


def _has_body(headers: Mapping[str, str]) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _is_json(headers: Mapping[str, str]) -> bool:
    """True for JSON, and for a body without a type: a page's comes with an Origin."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return content_type in {"", "application/json"} or content_type.endswith("+json")


async def _send_refusal(send: Send, refusal: _Refusal) -> None:
    word = "PERMISSION_DENIED" if refusal.status == HTTPStatus.FORBIDDEN else "INVALID_ARGUMENT"
    error = {"code": refusal.status, "message": refusal.message, "status": word}
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json; charset=UTF-8"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
