"""A fake of Google's REST APIs for the real gcloud: small, stateful, on one port.

It is an HTTP proxy that answers every request itself: gcloud is configured to find each service at
`http://{service}.fake/` through this proxy. (Cloud Run's commands put the region before the host
name; behind a proxy that name need not resolve.) `writes` records every request that changes
something, so that a test can assert that a second run changed nothing.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

PROJECT = "demo-project"
NUMBER = "123456789012"
LOCATION = "europe-central2"
#: The end of a long-running operation.
DONE = {"done": True}

Body = dict[str, Any]
CONTENT = {"Content-Type": "application/json"}


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of the fake
    """An error in Google's form."""

    def __init__(
        self,
        code: int,
        status: str,
        message: str,
        media_type: str = "application/json; charset=UTF-8",
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.media_type = media_type
        self.body = {"error": {"code": code, "status": status, "message": message} | more}


#: The answers to a caller whose project or account lacks something.
DISABLED = Refusal(
    403,
    "PERMISSION_DENIED",
    "Cloud Tasks API has not been used in project demo-project before or it is disabled.",
    details=[{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}],
)
FORBIDDEN = Refusal(
    403, "PERMISSION_DENIED", "The principal lacks IAM permission cloudtasks.queues.list."
)


def absent(what: str) -> Refusal:
    return Refusal(404, "NOT_FOUND", f"{what} was not found.")


@dataclass
class Request:
    method: str
    service: str
    path: str
    query: dict[str, str]
    raw: bytes
    headers: dict[str, str]

    @property
    def body(self) -> Body:
        return json.loads(self.raw) if self.raw else {}


Handler = Callable[..., Any]


def forward(base: str, request: Request) -> Any:
    """Forward a request to a real local service; the fake has no state of it."""
    answer = httpx.request(
        request.method,
        base + request.path,
        params=request.query,
        content=request.raw,
        headers=CONTENT,
        trust_env=False,
    )
    if answer.is_error:
        raise Refusal(**answer.json()["error"])
    return answer.json()


@dataclass
class FakeGoogle:
    """The state of one project, and the routes to it."""

    #: The fake's own URL.
    address: str = ""
    #: Any resource by its full name, within its service.
    things: dict[str, dict[str, Body]] = field(default_factory=dict)
    policies: dict[str, Body] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    #: A service that answers everything with an error.
    faults: dict[str, Refusal] = field(default_factory=dict)
    #: The number of answers after which a fault ends; without one it does not end.
    faults_left: dict[str, int] = field(default_factory=dict)
    #: A service that lives elsewhere: its base URL.
    elsewhere: dict[str, str] = field(default_factory=dict)
    #: For names and etags that Google would make up.
    serial: Iterator[int] = field(default_factory=itertools.count)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def of(self, service: str) -> dict[str, Body]:
        return self.things.setdefault(service, {})

    def under(self, service: str, prefix: str) -> list[Body]:
        return [
            thing for name, thing in sorted(self.of(service).items()) if name.startswith(prefix)
        ]

    def get(self, service: str, name: str) -> Body:
        if name not in self.of(service):
            raise absent(name)
        return self.of(service)[name]

    def create(self, service: str, name: str, thing: Body) -> Body:
        if name in self.of(service):
            raise Refusal(409, "ALREADY_EXISTS", f"{name} already exists.")
        self.of(service)[name] = {**thing, "name": name}
        return self.of(service)[name]

    def policy(self, request: Request, name: str) -> Body:
        """getIamPolicy and setIamPolicy, with the etag that prevents lost updates."""
        current = self.policies.get(name, {"version": 1, "etag": "MAo="})
        if "set" not in request.path.rpartition(":")[2].lower() and request.method != "PUT":
            return current
        wanted = request.body.get("policy", request.body)
        if wanted.get("etag") not in (None, current["etag"]):
            raise Refusal(409, "ABORTED", "There were concurrent policy changes.")
        self.policies[name] = {"version": 1, **wanted, "etag": f"{next(self.serial):08}"}
        return self.policies[name]

    def answer(self, request: Request) -> Any:
        self.tokens.add(request.headers.get("authorization", ""))
        if fault := self.faults.get(request.service):
            self.faults_left[request.service] = self.faults_left.get(request.service, 1 << 30) - 1
            if self.faults_left[request.service] >= 0:
                raise fault
        if base := self.elsewhere.get(request.service):
            return forward(base, request)
        for method, service, pattern, handler in ROUTES:
            meant = service == request.service and method in (request.method, "ANY")
            if meant and (match := re.fullmatch(pattern, request.path)):
                with self.lock:
                    return handler(self, request, *match.groups())
        raise Refusal(
            400,
            "INVALID_ARGUMENT",
            f"the fake has no {request.method} {request.service} {request.path}",
        )


ROUTES: list[tuple[str, str, str, Handler]] = []


def route(method: str, service: str, pattern: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        ROUTES.append((method, service, pattern, handler))
        return handler

    return register


def reads(request: Request) -> bool:
    """Return True if a request changes nothing."""
    return request.method == "GET" or request.path.endswith(
        (":getIamPolicy", ":access", ":testIamPermissions", ":queryTestablePermissions")
    )


class RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    google: FakeGoogle

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def handle_any(self) -> None:
        url = urlsplit(self.path)
        host, path = (url.hostname or "").removesuffix(".fake"), unquote(url.path)
        if not host:
            # Not through the proxy: the first part of the path names the service.
            host, _, path = path[1:].partition("/")
            path = f"/{path}"
        request = Request(
            method=self.command,
            service=host.removeprefix(f"{LOCATION}-"),
            path=path,
            query={key: values[-1] for key, values in parse_qs(url.query).items()},
            raw=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            headers={key.lower(): value for key, value in self.headers.items()},
        )
        if not reads(request):
            self.google.writes.append(f"{request.method} {request.service} {request.path}")
        try:
            self._send(200, self.google.answer(request))
        except Refusal as refusal:
            self._send(refusal.code, refusal.body, refusal.media_type)
        except Exception as error:  # noqa: BLE001 - the test must see what the fake could not do
            self._send(
                500, {"error": {"code": 500, "status": "INTERNAL", "message": f"fake: {error!r}"}}
            )

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any  # noqa: N815

    def _send(
        self, code: int, answer: Any, media_type: str = "application/json; charset=UTF-8"
    ) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve(google: FakeGoogle) -> Iterator[int]:
    """Run a server; yield its port."""
    handler = type("BoundHandler", (RequestHandler,), {"google": google})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    port = server.server_address[1]
    google.address = f"http://127.0.0.1:{port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()
