"""A read-only MCP server for assistants, at MCP_PATH: the Model Context Protocol over HTTP.

It has no sessions and no streams: each POST is one message, answered by one JSON object, so any
instance serves any request. Tools ask the public API in this process with the token of the request,
so its rights, its limits and its answers are those of the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

import httpx
from pydantic import ValidationError
from pydantic_core import from_json, to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from taskreel.domain.validation_messages import invalid_model
from taskreel.web.auth import authenticate
from taskreel.web.http import read_body
from taskreel.web.mcp_tools import TOOLS, AskApi, RefusedError, Tool
from taskreel.web.problems import install_handlers

#: The revisions of the protocol that are spoken, newest first.
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
_INSTRUCTIONS = (
    "Reads the jobs of an AI media service: images, videos, speech and films that were asked for, "
    "their states, costs and results. Nothing can be created or changed here."
)
# Codes of JSON-RPC, and of the protocol.
_PARSE_ERROR, _INVALID_REQUEST, _UNKNOWN_METHOD, _INVALID_PARAMETERS = (
    -32700,
    -32600,
    -32601,
    -32602,
)
_UNSUPPORTED_VERSION = -32022


class _RpcError(Exception):
    """A refusal of a message, with its code and the HTTP status."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data


def build_mcp_server(path: str, api: ASGIApp) -> Starlette:
    """The application at `path`, which asks `api`."""
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=api, raise_app_exceptions=False), base_url="http://api"
    )

    async def handle(request: Request) -> Response:
        await authenticate(request)
        authorization = request.headers["authorization"]

        async def ask(
            method: str,
            path: str,
            /,
            *,
            query: Mapping[str, Any] | None = None,
            body: Mapping[str, Any] | None = None,
        ) -> dict[str, Any]:
            answer = await client.request(
                method,
                path,
                params=query,
                content=None if body is None else to_json(body),
                headers={"Authorization": authorization},
            )
            if answer.is_redirect:  # of a path that an argument has changed
                raise RefusedError({"detail": "An argument contains a character of a path."})
            found: dict[str, Any] = answer.json()
            if answer.is_error:
                raise RefusedError(found)
            return found

        return await _answer(request, ask)

    app = Starlette(routes=[Route(path, handle, methods=["POST"])])
    install_handlers(app)
    return app


async def _answer(request: Request, ask: AskApi) -> Response:
    id_: Any = None
    try:
        message = _parse_message(await read_body(request))
        id_ = message.get("id")
        _check_version(request.headers.get("mcp-protocol-version"))
        if id_ is None or "method" not in message:
            # A notification, or an answer to a question that was never asked.
            return Response(status_code=HTTPStatus.ACCEPTED)
        result = await _call_method(ask, message["method"], message.get("params") or {})
    except _RpcError as error:
        shown: dict[str, Any] = {"code": error.code, "message": error.message}
        if error.data is not None:
            shown["data"] = error.data
        return _respond({"jsonrpc": "2.0", "id": id_, "error": shown}, error.status)
    return _respond({"jsonrpc": "2.0", "id": id_, "result": result})


def _parse_message(raw: bytes) -> dict[str, Any]:
    try:
        message = from_json(raw)
    except ValueError:
        text = "The body is not valid JSON."
        raise _RpcError(_PARSE_ERROR, text, status=HTTPStatus.BAD_REQUEST) from None
    wrong = "Send one JSON-RPC 2.0 message: an object with jsonrpc, and method with params."
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise _RpcError(_INVALID_REQUEST, wrong, status=HTTPStatus.BAD_REQUEST)
    if not isinstance(message.get("params", {}), dict | None):
        raise _RpcError(_INVALID_REQUEST, wrong, status=HTTPStatus.BAD_REQUEST)
    if not isinstance(message.get("id"), str | int | None):
        raise _RpcError(_INVALID_REQUEST, wrong, status=HTTPStatus.BAD_REQUEST)
    return message


def _check_version(version: str | None) -> None:
    """Raise _RpcError for a revision that is not spoken; a client may then begin with another."""
    if version is not None and version not in VERSIONS:
        raise _RpcError(
            _UNSUPPORTED_VERSION,
            f"MCP-Protocol-Version {version[:40]!r} is not supported.",
            status=HTTPStatus.BAD_REQUEST,
            data={"supported": list(VERSIONS), "requested": version[:40]},
        )


async def _call_method(ask: AskApi, method: Any, params: dict[str, Any]) -> dict[str, Any]:
    match method:
        case "initialize":
            wanted = params.get("protocolVersion")
            return {
                "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "taskreel", "title": "Taskreel", "version": "1"},
                "instructions": _INSTRUCTIONS,
            }
        case "ping":
            return {}
        case "tools/list":
            return {"tools": list(_describe_tools())}
        case "tools/call":
            return await _call_tool(ask, params)
        case _:
            raise _RpcError(_UNKNOWN_METHOD, f"There is no method {str(method)[:100]!r} here.")


@cache
def _describe_tools() -> tuple[dict[str, Any], ...]:
    return tuple(map(_describe_tool, TOOLS.values()))


def _describe_tool(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.arguments.model_json_schema(by_alias=True),
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    }


async def _call_tool(ask: AskApi, params: dict[str, Any]) -> dict[str, Any]:
    tool = TOOLS.get(str(params.get("name")))
    if tool is None:
        names = ", ".join(TOOLS)
        raise _RpcError(_INVALID_PARAMETERS, f"There is no such tool. There are: {names}.")
    try:
        given = tool.arguments.model_validate(params.get("arguments") or {})
    except ValidationError as error:
        refusal = invalid_model(error, tool.arguments)
        return _build_result({"detail": refusal.message, **refusal.details}, is_error=True)
    try:
        return _build_result(await tool.ask(ask, given), is_error=False)
    except RefusedError as error:
        return _build_result(dict(error.problem), is_error=True)


def _build_result(found: dict[str, Any], *, is_error: bool) -> dict[str, Any]:
    """The result in both forms: text for an assistant, structure for a program."""
    text = {"type": "text", "text": to_json(found).decode()}
    return {"content": [text], "structuredContent": found, "isError": is_error}


def _respond(body: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(to_json(body), status.value, media_type="application/json")
