"""The common part of all fake providers: strict checks, faults on request, a count of purchases.

A fake is an ASGI application: `fake.transport()` serves it inside the process at any host name,
`serve_on_port(fake)` over a real port. The fault is an attribute, so that it can change between two
calls.
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


class Fault(Enum):
    """A fault to simulate."""

    MODERATION = auto()
    RATE_LIMITED = auto()  # 429 with Retry-After: 17
    RATE_LIMITED_WITHOUT_TIME = auto()  # 429 without Retry-After
    BUSY = auto()  # 429: as many requests run at once as are allowed
    NO_CREDIT = auto()
    SERVER_ERROR = auto()  # 500, to every request
    LOST_ANSWER = auto()  # accepts a create, then closes the connection without an answer
    NO_ID = auto()  # accepts a create, and answers without its id
    GATEWAY_TIMEOUT = auto()
    UNKNOWN_STATUS = auto()  # a status that is not documented, while the operation runs
    FAILED = auto()
    NO_RESULT = auto()  # a success without a result
    EXPIRED = auto()  # the result's address has expired
    FOREIGN_ADDRESS = auto()  # names an address at another company for polling
    PRIVATE_TEXT = auto()  # refuses with keys, addresses and names in the text
    MODEL_GONE = auto()  # the model no longer exists


class OperationState(Enum):
    """The state of an operation."""

    MISSING = auto()
    WAITING = auto()
    UNKNOWN_STATUS = auto()
    READY = auto()
    NO_RESULT = auto()
    MODERATED = auto()
    FAILED = auto()
    CANCELLED = auto()


SECRETS = (
    "sk-live-0123456789abcdef",
    "jane.doe@example.com",
    "https://internal.example.net/v1?token=abc",
    "org-4Zk2qL8x",
)
PRIVATE_MESSAGE = (
    f"Field 'seed' is wrong for {SECRETS[3]} ({SECRETS[1]}), key {SECRETS[0]}, see {SECRETS[2]}, "
    f"host 10.2.3.4, trace 6f1c2e9ab57d4c21a0f3e8d95b7c6a14"
)
RETRY_AFTER = 17
Check = type | tuple[type, ...] | frozenset[Any] | Callable[[Any], bool]
Handler = Callable[[Request], Awaitable[Response]]


class Refused(Exception):  # noqa: N818  # an answer, not an error of the fake
    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Dropped(Exception):  # noqa: N818
    """Raised to close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as it was received."""

    method: str
    host: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: Any


def build_png(width: int = 4, height: int = 4) -> bytes:
    """A grey PNG."""

    def build_chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return (
        b"\x89PNG\r\n\x1a\n"
        + build_chunk(b"IHDR", header)
        + build_chunk(b"IDAT", rows)
        + build_chunk(b"IEND", b"")
    )


def build_wav(seconds: float = 0.1) -> bytes:
    """Silence as WAV."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * int(8000 * seconds))
    return buffer.getvalue()


class FakeProvider:
    """A provider in this process; a subclass adds routes, errors, and the check of the key."""

    name: ClassVar[str]
    #: The address of the real API.
    base_url: ClassVar[str]
    #: The origin of the results' addresses.
    delivery: ClassVar[str] = "https://results.example.com"
    key: ClassVar[str] = "test-key-0123456789"

    def __init__(self, *, fault: Fault | None = None, polls: int = 1) -> None:
        self.fault = fault
        self.polls = polls
        self.creates = 0
        self.calls: list[Call] = []
        self.operations: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.files: dict[str, bytes] = {
            "png": build_png(),
            "wav": build_wav(),
            "mp4": b"\0\0\0\x18ftypisom\0\0\0\0isommp42",
        }
        routes = [Route("/files/{name}", self._handle_file), *self.build_routes()]
        self._router = Router(
            [
                Route(r.path, self._guard_handler(r.endpoint), methods=list(r.methods or ()))
                for r in routes
            ]
        )

    # ── for a subclass to define ──────────────────────────────────────────────────────────────────

    def build_routes(self) -> list[Route]:
        raise NotImplementedError

    def is_authorised(self, request: Request) -> bool:
        raise NotImplementedError

    def build_refusal(self, status: int, word: str, text: str) -> Response:
        """An error in the provider's own shape."""
        raise NotImplementedError

    # ── the ASGI application ──────────────────────────────────────────────────────────────────────

    def transport(self) -> httpx.AsyncBaseTransport:
        return _InProcess(self._router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._router(scope, receive, send)
        except Dropped:
            # ASGI cannot close a connection early, so announce more than is sent.
            headers = [(b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})

    def _guard_handler(self, handler: Handler) -> Handler:
        async def guarded_handler(request: Request) -> Response:
            try:
                self.calls.append(await _read_call(request))
                return await handler(request)
            except Refused as refused:
                return refused.response

        return guarded_handler

    # ── for the handlers of a subclass ────────────────────────────────────────────────────────────

    def check_access(self, request: Request) -> None:
        """Refuse a request without the key, and every request during a SERVER_ERROR."""
        if not self.is_authorised(request):
            # Real providers echo the key.
            raise Refused(
                self.build_refusal(
                    401, "invalid_api_key", f"Incorrect API key provided: {self.key}"
                )
            )
        if self.fault is Fault.SERVER_ERROR:
            raise Refused(self.build_refusal(500, "internal_error", "Something broke at 10.0.0.7"))

    def accept_create(self, *, known: bool = True) -> str:
        """Accept paid work and return its id, or refuse it by the fault."""
        if not known or self.fault is Fault.MODEL_GONE:
            raise Refused(self.build_refusal(404, "model_not_found", "No such model"))
        refused = _REFUSALS.get(self.fault) if self.fault else None
        if refused is not None:
            status, word, text = refused
            response = self.build_refusal(status, word, text)
            if self.fault is Fault.RATE_LIMITED:
                response.headers["retry-after"] = str(RETRY_AFTER)
            raise Refused(response)
        self.creates += 1
        if self.fault is Fault.LOST_ANSWER:
            raise Dropped
        id_ = f"{self.name}-{self.creates:08d}-0000-4000-8000-000000000000"
        self.operations[id_] = self.polls
        return id_

    def advance(self, id_: str) -> OperationState:
        """The state of an operation; each call is one poll, and brings it nearer to its end."""
        if id_ not in self.operations:
            return OperationState.MISSING
        if id_ in self.cancelled:
            return OperationState.CANCELLED
        if self.operations[id_] > 0:
            self.operations[id_] -= 1
            return (
                OperationState.UNKNOWN_STATUS
                if self.fault is Fault.UNKNOWN_STATUS
                else OperationState.WAITING
            )
        return _ENDS.get(self.fault, OperationState.READY) if self.fault else OperationState.READY

    def build_invalid_error(self, text: str) -> Refused:
        return Refused(self.build_refusal(422, "invalid_request", text))

    async def read_json(
        self, request: Request, fields: Mapping[str, Check], required: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The JSON body; refused unless it has only known fields with allowed values."""
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            raise Refused(
                self.build_refusal(
                    415, "invalid_request", "the content type must be application/json"
                )
            )
        body = await request.json()
        self.check_fields(body, fields, required)
        return dict(body)

    async def read_form(
        self, request: Request, fields: Mapping[str, Check], required: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The multipart form, the first of each field; refused as `read_json` refuses a body."""
        kind = request.headers.get("content-type", "")
        form = {name: one for name, (one, *_) in parse_form(kind, await request.body()).items()}
        self.check_fields(form, fields, required)
        return form

    def check_fields(
        self, body: Any, fields: Mapping[str, Check], required: tuple[str, ...] = ()
    ) -> None:
        if not isinstance(body, dict):
            raise self.build_invalid_error("not an object")
        for name in required:
            if not body.get(name):
                raise self.build_invalid_error(f"{name} is required")
        for name, value in body.items():
            if name not in fields:
                raise self.build_invalid_error(f"{name} is not permitted")
            if not _is_allowed(value, fields[name]):
                raise self.build_invalid_error(f"{name} has a wrong value")

    def build_api_url(self, request: Request, path: str) -> str:
        """An address of the API, at the host that this request used."""
        if self.fault is Fault.FOREIGN_ADDRESS:
            return f"https://api.attacker.example{path}"
        return f"{request.url.scheme}://{request.url.netloc}{path}"

    def build_result_url(self, request: Request, name: str) -> str:
        """The address of a result: on another host, unless the fake is served on one port."""
        if request.url.hostname in {"127.0.0.1", "localhost"}:
            return f"{request.url.scheme}://{request.url.netloc}/files/{name}"
        return f"{self.delivery}/files/{name}"

    async def _handle_file(self, request: Request) -> Response:
        if any(self.key in value for value in request.headers.values()):
            return PlainTextResponse("the key came along", status_code=400)
        if self.fault is Fault.EXPIRED:
            return PlainTextResponse("<Error>Request has expired</Error>", status_code=403)
        return Response(self.files[request.path_params["name"].rpartition(".")[2]])


_REFUSALS = {
    Fault.RATE_LIMITED: (429, "rate_limit_exceeded", "Too many requests."),
    Fault.RATE_LIMITED_WITHOUT_TIME: (429, "rate_limit_exceeded", "Too many requests."),
    Fault.BUSY: (
        429,
        "too_many_concurrent_requests",
        "Concurrency limit reached: 24 active tasks.",
    ),
    Fault.NO_CREDIT: (402, "insufficient_quota", "Insufficient credits."),
    Fault.PRIVATE_TEXT: (422, "invalid_request", PRIVATE_MESSAGE),
    Fault.GATEWAY_TIMEOUT: (504, "gateway_timeout", "upstream request timeout"),
}
_ENDS = {
    Fault.MODERATION: OperationState.MODERATED,
    Fault.FAILED: OperationState.FAILED,
    Fault.NO_RESULT: OperationState.NO_RESULT,
}


def parse_form(content_type: str, body: bytes) -> dict[str, list[str | bytes]]:
    """Parse a multipart/form-data body (RFC 7578): texts as str, files as bytes, in order."""
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
def serve_on_port(fake: FakeProvider) -> Iterator[str]:
    """Serve the fake on a free port of this machine, in a thread; yields its origin."""
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
    """The application without a socket; a Dropped is the error that a socket would give."""

    def __init__(self, app: Any) -> None:
        self._inner = httpx.ASGITransport(app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._inner.handle_async_request(request)
        except Dropped as error:
            raise httpx.ReadError("connection reset by peer", request=request) from error


async def _read_call(request: Request) -> Call:
    kind, body = request.headers.get("content-type", ""), await request.body()
    content: Any = body
    if kind.startswith("application/json") and body:
        with contextlib.suppress(ValueError):  # Google's client names a file's bytes so
            content = await request.json()
    elif kind.startswith("multipart/form-data"):
        content = parse_form(kind, body)
    return Call(
        request.method,
        request.url.hostname or "",
        request.url.path,
        dict(request.headers),
        dict(request.query_params),
        content,
    )


def _is_allowed(value: Any, check: Check) -> bool:
    if isinstance(check, frozenset):
        return value in check
    if isinstance(check, type | tuple):
        return isinstance(value, check) and not (
            isinstance(value, bool) and bool not in _list_types(check)
        )
    return check(value)


def _list_types(check: type | tuple[type, ...]) -> tuple[type, ...]:
    return check if isinstance(check, tuple) else (check,)


def one_of(*values: Any) -> frozenset[Any]:
    return frozenset(values)


def between(low: float, high: float, *, multiple: int | None = None) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        right = isinstance(value, int if multiple else int | float) and not isinstance(value, bool)
        return right and low <= value <= high and (multiple is None or value % multiple == 0)

    return check


def is_url(value: Any) -> bool:
    """True for the address of a file, or a data URI."""
    return isinstance(value, str) and value.startswith(("https://", "data:"))


def are_urls(most: int) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list) and 1 <= len(value) <= most and all(map(is_url, value))
    )
