"""What all the fakes have in common: strictness, misbehaviour on request, and a count of what was bought.

A fake is an ASGI application: `fake.transport()` serves it inside the process at any host name, `served(fake)` over a
real port. Misbehaviour is an attribute, so that it can change between two calls.
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import struct
import threading
import time
import wave
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar

import httpx
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send


class Mischief(Enum):
    """How a fake misbehaves."""

    MODERATION = auto()
    TOO_FAST = auto()  # 429 with Retry-After: 17
    TOO_FAST_BARE = auto()  # 429 without
    BUSY = auto()  # 429: as much runs at once as is allowed
    NO_CREDIT = auto()
    BROKEN = auto()  # 500, to everything
    DROP = auto()  # accepts a create, then the connection is gone
    NO_ID = auto()  # accepts a create, and answers without its id
    GATEWAY_TIMEOUT = auto()
    STRANGE_STATUS = auto()  # a status word that nobody has heard of, while it runs
    FAILED = auto()
    EMPTY = auto()  # success with nothing in it
    EXPIRED = auto()  # the result's address has expired
    FOREIGN = auto()  # names an address of somebody else for polling
    CHATTY = auto()  # refuses with keys, addresses and names in the text
    GONE = auto()  # the model does not exist any more


class Step(Enum):
    """Where an operation is."""

    UNKNOWN = auto()
    WAITING = auto()
    STRANGE = auto()
    READY = auto()
    EMPTY = auto()
    MODERATED = auto()
    FAILED = auto()
    CANCELLED = auto()


SECRETS = (
    "sk-live-0123456789abcdef",
    "jane.doe@example.com",
    "https://internal.example.net/v1?token=abc",
    "org-4Zk2qL8x",
)
CHATTER = (
    f"Field 'seed' is wrong for {SECRETS[3]} ({SECRETS[1]}), key {SECRETS[0]}, see {SECRETS[2]}, host 10.2.3.4, "
    f"trace 6f1c2e9ab57d4c21a0f3e8d95b7c6a14"
)
RETRY_AFTER = 17
Check = type | tuple[type, ...] | frozenset[Any] | Callable[[Any], bool]
Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):  # noqa: N818  # an answer, not an error of the fake
    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Dropped(Exception):  # noqa: N818
    """The connection ends here, without an answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: Any


def picture(width: int = 4, height: int = 4) -> bytes:
    """A grey PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def sound(seconds: float = 0.1) -> bytes:
    """Silence as WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * int(8000 * seconds))
    return buffer.getvalue()


class Fake:
    """A provider in a process. Subclasses give routes, the shape of refusals, and who is authorised."""

    name: ClassVar[str]
    #: Where the real API lives.
    base_url: ClassVar[str]
    #: Whose addresses the results have.
    delivery: ClassVar[str] = "https://results.example.com"
    key: ClassVar[str] = "test-key-0123456789"

    def __init__(self, *, mischief: Mischief | None = None, polls: int = 1) -> None:
        self.mischief = mischief
        self.polls = polls
        self.creates = 0
        self.calls: list[Call] = []
        self.operations: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.files: dict[str, bytes] = {
            "png": picture(),
            "wav": sound(),
            "mp4": b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        }
        routes = [Route("/files/{name}", self._file), *self.routes()]
        self._router = Router(
            [
                Route(r.path, self._guarded(r.endpoint), methods=list(r.methods or ()))
                for r in routes
            ]
        )

    # ── what a provider's fake says ──────────────────────────────────────────────────────────────

    def routes(self) -> list[Route]:
        raise NotImplementedError

    def authorised(self, request: Request) -> bool:
        raise NotImplementedError

    def refusal(self, status: int, word: str, text: str) -> Response:
        """An error in the provider's own shape."""
        raise NotImplementedError

    # ── as an application ────────────────────────────────────────────────────────────────────────

    def transport(self) -> httpx.AsyncBaseTransport:
        return _InProcess(self._router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._router(scope, receive, send)
        except Dropped:
            # The only way to hang up from inside ASGI: promise more than is sent.
            headers = [(b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                self.calls.append(await _call(request))
                return await handler(request)
            except Refused as refused:
                return refused.response

        return guarded

    # ── for the handlers ─────────────────────────────────────────────────────────────────────────

    def enter(self, request: Request) -> None:
        """Refuse who is not authorised; be broken when told to."""
        if not self.authorised(request):
            # The real ones echo the key.
            raise Refused(
                self.refusal(401, "invalid_api_key", f"Incorrect API key provided: {self.key}")
            )
        if self.mischief is Mischief.BROKEN:
            raise Refused(self.refusal(500, "internal_error", "Something broke at 10.0.0.7"))

    def buy(self, *, known: bool = True) -> str:
        """Accept paid work, or refuse it in the way that was asked for; its id."""
        if not known or self.mischief is Mischief.GONE:
            raise Refused(self.refusal(404, "model_not_found", "No such model"))
        refused = _REFUSALS.get(self.mischief) if self.mischief else None
        if refused is not None:
            status, word, text = refused
            response = self.refusal(status, word, text)
            if self.mischief is Mischief.TOO_FAST:
                response.headers["retry-after"] = str(RETRY_AFTER)
            raise Refused(response)
        self.creates += 1
        if self.mischief is Mischief.DROP:
            raise Dropped
        id_ = f"{self.name}-{self.creates:08d}-0000-4000-8000-000000000000"
        self.operations[id_] = self.polls
        return id_

    def step(self, id_: str) -> Step:
        """Where an operation is; each look takes it further."""
        if id_ not in self.operations:
            return Step.UNKNOWN
        if id_ in self.cancelled:
            return Step.CANCELLED
        if self.operations[id_] > 0:
            self.operations[id_] -= 1
            return Step.STRANGE if self.mischief is Mischief.STRANGE_STATUS else Step.WAITING
        return _ENDS.get(self.mischief, Step.READY) if self.mischief else Step.READY

    def invalid(self, text: str) -> Refused:
        return Refused(self.refusal(422, "invalid_request", text))

    async def json(
        self, request: Request, fields: Mapping[str, Check], required: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The body, once it is JSON and has only known fields of the right kind."""
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Refused(self.refusal(415, "invalid_request", "application/json, please"))
        body = await request.json()
        self.strict(body, fields, required)
        return dict(body)

    def strict(
        self, body: Any, fields: Mapping[str, Check], required: tuple[str, ...] = ()
    ) -> None:
        if not isinstance(body, dict):
            raise self.invalid("not an object")
        for name in required:
            if not body.get(name):
                raise self.invalid(f"{name} is required")
        for name, value in body.items():
            if name not in fields:
                raise self.invalid(f"{name} is not permitted")
            if not _fits(value, fields[name]):
                raise self.invalid(f"{name} has a wrong value")

    def own(self, request: Request, path: str) -> str:
        """An address of the API, as this request reached it."""
        if self.mischief is Mischief.FOREIGN:
            return f"https://api.attacker.example{path}"
        return f"{request.url.scheme}://{request.url.netloc}{path}"

    def result(self, request: Request, name: str) -> str:
        """The address of a result: another host, unless only one port is there."""
        if request.url.hostname in {"127.0.0.1", "localhost"}:
            return f"{request.url.scheme}://{request.url.netloc}/files/{name}"
        return f"{self.delivery}/files/{name}"

    async def _file(self, request: Request) -> Response:
        if any(self.key in value for value in request.headers.values()):
            return PlainTextResponse("the key came along", status_code=400)
        if self.mischief is Mischief.EXPIRED:
            return PlainTextResponse("<Error>Request has expired</Error>", status_code=403)
        return Response(self.files[request.path_params["name"].rpartition(".")[2]])


_REFUSALS = {
    Mischief.TOO_FAST: (429, "rate_limit_exceeded", "Too many requests."),
    Mischief.TOO_FAST_BARE: (429, "rate_limit_exceeded", "Too many requests."),
    Mischief.BUSY: (
        429,
        "too_many_concurrent_requests",
        "Concurrency limit reached: 24 active tasks.",
    ),
    Mischief.NO_CREDIT: (402, "insufficient_quota", "Insufficient credits."),
    Mischief.CHATTY: (422, "invalid_request", CHATTER),
    Mischief.GATEWAY_TIMEOUT: (504, "gateway_timeout", "upstream request timeout"),
}
_ENDS = {
    Mischief.MODERATION: Step.MODERATED,
    Mischief.FAILED: Step.FAILED,
    Mischief.EMPTY: Step.EMPTY,
}


def form(content_type: str, body: bytes) -> dict[str, list[str | bytes]]:
    """A multipart/form-data body (RFC 7578): text fields as text, files as bytes; repeated fields in order."""
    boundary = content_type.partition("boundary=")[2].encode()
    fields: dict[str, list[str | bytes]] = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        described = re.search(rb'name="([^"]*)"(; filename=)?', head)
        assert described is not None
        fields.setdefault(described[1].decode(), []).append(
            content if described[2] else content.decode()
        )
    return fields


@contextlib.contextmanager
def served(fake: Fake) -> Iterator[str]:
    """The fake on a real port of this machine, in a thread; its origin."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(fake, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


class _InProcess(httpx.AsyncBaseTransport):
    """The application without a socket; where it hangs up, the client sees what a socket would show."""

    def __init__(self, app: Any) -> None:
        self._inner = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._inner.handle_async_request(request)
        except Dropped as error:
            raise httpx.ReadError("connection reset by peer", request=request) from error


async def _call(request: Request) -> Call:
    kind, body = request.headers.get("content-type", ""), await request.body()
    content: Any = body
    if kind.startswith("application/json"):
        content = await request.json()
    elif kind.startswith("multipart/form-data"):
        content = form(kind, body)
    return Call(
        request.method,
        request.url.hostname or "",
        request.url.path,
        dict(request.headers),
        dict(request.query_params),
        content,
    )


def _fits(value: Any, check: Check) -> bool:
    if isinstance(check, frozenset):
        return value in check
    if isinstance(check, type | tuple):
        return isinstance(value, check) and not (
            isinstance(value, bool) and bool not in _kinds(check)
        )
    return check(value)


def _kinds(check: type | tuple[type, ...]) -> tuple[type, ...]:
    return check if isinstance(check, tuple) else (check,)


def among(*values: Any) -> frozenset[Any]:
    return frozenset(values)


def between(low: float, high: float, *, multiple: int | None = None) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        right = isinstance(value, int if multiple else int | float) and not isinstance(value, bool)
        return right and low <= value <= high and (multiple is None or value % multiple == 0)

    return check
