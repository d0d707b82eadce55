"""The public API's application: one router before the hot routes and FastAPI.

The routes that carry nearly all requests are called without FastAPI's layers, which take longer
than their own work; FastAPI, and the modules of all other routes, are imported on first need. Both
ways share everything else: these middlewares, authentication, validation, problems, and the
handlers themselves. FastAPI's document describes the hot routes too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskreel.domain.errors import TaskreelError
from taskreel.jobtypes import JOB_TYPES
from taskreel.web.auth import ApiContext
from taskreel.web.cors import allow_origins
from taskreel.web.http import (
    index_headers,
    list_security_headers,
    read_request_id,
    read_trace,
)
from taskreel.web.other_apis import build_other_api, find_other_api
from taskreel.web.problems import answer_crash, answer_error
from taskreel.web.request_rates import list_rate_headers

if TYPE_CHECKING:
    from taskreel.web.issuer_sign_in import IssuerSignIn

Handler = Callable[[Request], Awaitable[Response]]

_JOBS = "/api/jobs/"
_DASHBOARD = "/dashboard"
_BELOW_DASHBOARD = f"{_DASHBOARD}/"
_JOB_ID = "job_"
_JOB_TYPES = frozenset(JOB_TYPES)


class PublicApi:
    """The ASGI application that serves callers with a token: this API, and those of others."""

    def __init__(
        self,
        context: ApiContext,
        build_rest: Callable[[], ASGIApp],
        *,
        origins: Sequence[str] = (),
        media_origins: Sequence[str] = (),
        sign_in: IssuerSignIn | None = None,
        mcp_path: str | None = None,
    ) -> None:
        """Serve with `context`.

        Args:
            context: The parts that every request needs.
            build_rest: Imports and builds the application of all other routes.
            origins: The origins whose pages may call the API.
            media_origins: The origins of signed URLs, whose files the dashboard shows.
            sign_in: The issuer's sign-in page, which the dashboard opens.
            mcp_path: The path of the MCP server; None has none.
        """
        self._context = context
        self._build_rest = build_rest
        self._rest: ASGIApp | None = None
        self._other_apis: dict[str, ASGIApp] = {}
        self._media_origins = media_origins
        self._sign_in = sign_in
        self._mcp_path = mcp_path
        self._mcp_server: ASGIApp | None = None
        self._app = allow_origins(self._route, origins)
        #: With origins to choose from, answers differ by the origin, as `CORSMiddleware` says.
        self._vary = [(b"vary", b"Origin")] if origins else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        self._context.attach(scope)
        headers = index_headers(scope)
        read_trace(headers)
        request_id = read_request_id(headers)
        handler = _find_hot_handler(scope) or self._find_page(scope)
        if handler is not None and b"origin" not in headers:
            # No page of a browser asks: nothing is between the handler and the server.
            response = await _respond(handler, Request(scope, receive))
            sent = [*response.raw_headers, *self._vary]
            response.raw_headers = _complete_headers(sent, scope, request_id)
            await response(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = message.get("headers", ())
                message["headers"] = _complete_headers(sent, scope, request_id)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        handler = _find_hot_handler(scope) or self._find_page(scope)
        if handler is not None:
            response = await _respond(handler, Request(scope, receive))
            await response(scope, receive, send)
            return
        if self._mcp_path is not None and scope["path"] == self._mcp_path:
            await self._find_mcp_server(self._mcp_path)(scope, receive, send)
            return
        other_api = find_other_api(scope["path"])
        if other_api is not None:
            if other_api not in self._other_apis:
                self._other_apis[other_api] = build_other_api(other_api)
            await self._other_apis[other_api](scope, receive, send)
            return
        if self._rest is None:
            self._rest = self._build_rest()
        await self._rest(scope, receive, send)

    def _find_mcp_server(self, path: str) -> ASGIApp:
        if self._mcp_server is None:
            from taskreel.web.mcp_server import build_mcp_server

            self._mcp_server = build_mcp_server(path, self)
        return self._mcp_server

    def _find_page(self, scope: Scope) -> Handler | None:
        """The handler of the dashboard's addresses, and of `/`, which leads there."""
        path: str = scope["path"]
        if scope["type"] != "http":
            return None
        if path == _DASHBOARD or path.startswith(_BELOW_DASHBOARD):
            return self._serve_dashboard
        return _serve_entry if path == "/" else None

    async def _serve_dashboard(self, request: Request) -> Response:
        from taskreel.web.dashboard import serve_dashboard

        return await serve_dashboard(request, self._media_origins, self._sign_in)


def _complete_headers(
    sent: Sequence[tuple[bytes, bytes]], scope: Scope, request_id: bytes
) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, with those of every answer that it has not set itself."""
    added = [
        (b"x-request-id", request_id),
        *list_rate_headers(scope),
        *list_security_headers(scope["path"]),
    ]
    # OpenAI's routes answer with the job's id in place of the request's.
    present = dict(sent)
    return [*sent, *[one for one in added if one[0] not in present]]


async def _serve_entry(request: Request) -> Response:
    from taskreel.web.dashboard import serve_entry

    return serve_entry(request, ApiContext.of(request).base_url)


def _find_hot_handler(scope: Scope) -> Handler | None:
    """The hot route's handler, with its parameters in the scope; None for FastAPI's routes.

    Only paths that no other route can have: the name of a job type, and the form of a job's id.
    """
    path: str = scope["path"]
    if scope["type"] != "http" or not path.startswith(_JOBS):
        return None
    match scope["method"], path.removeprefix(_JOBS).split("/"):
        case "POST", [job_type] if job_type in _JOB_TYPES:
            scope["path_params"] = {"job_type": job_type}
            return _load_handler("job_submission", "post_job")
        case "GET", ["health"]:
            return _load_handler("health", "read_health")
        case "GET", [job_id] if job_id.startswith(_JOB_ID):
            scope["path_params"] = {"job_id": job_id}
            return _load_handler("job_lookup", "read_job")
        case "GET", [job_type, job_id] if job_type in _JOB_TYPES and job_id.startswith(_JOB_ID):
            scope["path_params"] = {"job_type": job_type, "job_id": job_id}
            return _load_handler("job_lookup", "read_job")
    return None


@cache
def _load_handler(module: str, name: str) -> Handler:
    """A hot route's handler, imported with its first request: cold start."""
    handler: Handler = getattr(import_module(f"taskreel.web.{module}"), name)
    return handler


async def _respond(handler: Handler, request: Request) -> Response:
    try:
        return await handler(request)
    except TaskreelError as error:
        return await answer_error(request, error)
    except Exception as error:  # noqa: BLE001 - it is logged, and answered as a problem
        return await answer_crash(request, error)
