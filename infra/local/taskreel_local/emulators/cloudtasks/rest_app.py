"""The REST door: Google's v2 JSON over HTTP, as gcloud and the REST transport speak it. A plain ASGI application."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from taskreel_local.emulators.cloudtasks import message_codec
from taskreel_local.emulators.cloudtasks.api_errors import ApiError, Code, invalid
from taskreel_local.emulators.cloudtasks.api_methods import Api
from taskreel_local.emulators.cloudtasks.codec_field import FieldValueError
from taskreel_local.emulators.cloudtasks.control_api import ControlApi
from taskreel_local.emulators.cloudtasks.method_messages import (
    BatchCreateTasksMetadata,
    BatchCreateTasksResponse,
    BatchDeleteTasksMetadata,
    BufferTaskRequest,
    Empty,
    GetQueueRequest,
    Operation,
)
from taskreel_local.emulators.cloudtasks.task_tokens import TaskTokens

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LOCATION = r"projects/[^/]+/locations/[^/]+"
_QUEUE = rf"{_LOCATION}/queues/[^/]+"
_VERSION = r"/v2(?:beta3)?/"
_MAX_BODY = 32 << 20

_SYSTEM_PARAMETERS = frozenset(
    {
        "$.xgafv",
        "$alt",
        "access_token",
        "alt",
        "callback",
        "fields",
        "key",
        "oauth_token",
        "prettyPrint",
        "quotaUser",
    }
    | {"uploadType", "upload_protocol", "$prettyPrint"}
)
_TYPE = "type.googleapis.com/google.cloud.tasks.v2."
_TYPES: dict[type, str] = {
    BatchCreateTasksMetadata: f"{_TYPE}BatchCreateTasksMetadata",
    BatchDeleteTasksMetadata: f"{_TYPE}BatchDeleteTasksMetadata",
    BatchCreateTasksResponse: f"{_TYPE}BatchCreateTasksResponse",
    Empty: "type.googleapis.com/google.protobuf.Empty",
}


@dataclass(frozen=True, slots=True)
class Route:
    """One binding of a method: the first group of `path` fills `field`, the body fills `body` (or all, `*`)."""

    verb: str
    path: re.Pattern[str]
    method: str
    field: str
    body: str = ""


def _route(verb: str, path: str, method: str, field: str, body: str = "") -> Route:
    return Route(verb, re.compile(_VERSION + path), method, field, body)


ROUTES = (
    _route("POST", rf"({_QUEUE})/tasks:batchCreate", "BatchCreateTasks", "parent", "*"),
    _route("POST", rf"({_QUEUE})/tasks", "CreateTask", "parent", "*"),
    _route("POST", rf"({_QUEUE})/tasks:batchDelete", "BatchDeleteTasks", "parent", "*"),
    _route("POST", rf"({_QUEUE}/tasks/[^/]+):run", "RunTask", "name", "*"),
    _route("GET", rf"({_QUEUE})/tasks", "ListTasks", "parent"),
    _route("GET", rf"({_QUEUE}/tasks/[^/]*)", "GetTask", "name"),
    _route("DELETE", rf"({_QUEUE}/tasks/[^/]*)", "DeleteTask", "name"),
    _route("GET", rf"({_LOCATION})/queues", "ListQueues", "parent"),
    _route("POST", rf"({_LOCATION})/queues", "CreateQueue", "parent", "queue"),
    _route("POST", rf"({_QUEUE}):pause", "PauseQueue", "name", "*"),
    _route("POST", rf"({_QUEUE}):resume", "ResumeQueue", "name", "*"),
    _route("POST", rf"({_QUEUE}):purge", "PurgeQueue", "name", "*"),
    _route("GET", rf"({_QUEUE}):getIamPolicy", "GetIamPolicy", "resource"),
    _route("POST", rf"({_QUEUE}):getIamPolicy", "GetIamPolicy", "resource", "*"),
    _route("POST", rf"({_QUEUE}):setIamPolicy", "SetIamPolicy", "resource", "*"),
    _route("POST", rf"({_QUEUE}):testIamPermissions", "TestIamPermissions", "resource", "*"),
    _route("GET", rf"({_QUEUE})", "GetQueue", "name"),
    _route("PATCH", rf"({_QUEUE})", "UpdateQueue", "queue.name", "queue"),
    _route("DELETE", rf"({_QUEUE})", "DeleteQueue", "name"),
    _route("GET", r"(projects/[^/]+)/locations", "ListLocations", "name"),
    _route("GET", rf"({_LOCATION})", "GetLocation", "name"),
    _route("GET", rf"({_LOCATION}/cmekConfig)", "GetCmekConfig", "name"),
    _route(
        "PATCH", rf"({_LOCATION}/cmekConfig)", "UpdateCmekConfig", "cmek_config.name", "cmek_config"
    ),
    _route("GET", rf"({_LOCATION}/operations/[^/]+)", "GetOperation", "name"),
)
_BUFFER = re.compile(_VERSION + rf"({_QUEUE})/tasks(?:/([^/]+))?:buffer")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON body."""

    status: int
    body: Any


class RestApp:
    """ASGI: `/v2/…` (and `/v2beta3/…` with the same messages), `/control/…`, OIDC discovery and keys."""

    def __init__(self, api: Api, control: ControlApi | None = None) -> None:
        self._api = api
        self._control = control or ControlApi(api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            answer = await self._answer(scope, receive)
            await _respond(send, answer)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            body = await _read(receive)
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            return await self._dispatch(scope["method"], scope["path"], query, body, scope)
        except FieldValueError as error:
            return _refusal(error.api_error())
        except ApiError as error:
            return _refusal(error)
        except Exception:  # noqa: BLE001 - the last place before the caller
            _log.exception("a call failed")
            return _refusal(ApiError(Code.INTERNAL, "Internal error encountered."))

    async def _dispatch(
        self, verb: str, path: str, query: dict[str, str], body: bytes, scope: Scope
    ) -> Answer:
        if path.startswith("/control/"):
            return Answer(
                200,
                await self._control.answer(
                    verb, path.removeprefix("/control/"), query, _parsed(body)
                ),
            )
        buffered = _BUFFER.fullmatch(path) if verb == "POST" else None
        if buffered is not None:
            return await self._buffer(buffered, body, scope)
        for route in ROUTES:
            match = route.path.fullmatch(path) if route.verb == verb else None
            if match is not None:
                return await self._call(
                    route, match[1], query, _parsed(body) if route.body else {}, path
                )
        return self._well_known(verb, path)

    async def _call(
        self, route: Route, resource: str, query: dict[str, str], body: Any, path: str
    ) -> Answer:
        method = self._api.methods[route.method]
        request: Any = message_codec.from_json(
            method.request, _request(route, resource, query, body)
        )
        result = await method.call(request)
        enum_ints = "enum-encoding=int" in query.get("$alt", "")
        shown = _shown(result, enum_ints=enum_ints)
        if (
            isinstance(request, GetQueueRequest)
            and path.startswith("/v2beta3/")
            and "stats" in request.read_mask
        ):
            shown["stats"] = message_codec.to_json(self._api.queue_stats(request.name))
        return Answer(200, shown)

    async def _buffer(self, match: re.Match[str], body: bytes, scope: Scope) -> Answer:
        content_type = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
        request = BufferTaskRequest(
            queue=match[1], task_id=match[2] or "", body=body, content_type=content_type
        )
        result = await self._api.methods["BufferTask"].call(request)
        return Answer(200, _shown(result, enum_ints=False))

    def _well_known(self, verb: str, path: str) -> Answer:
        tokens = self._api.engine.tokens
        if verb == "GET" and isinstance(tokens, TaskTokens):
            if path == "/.well-known/openid-configuration":
                return Answer(200, tokens.discovery())
            if path == "/oauth2/v3/certs":
                return Answer(200, tokens.jwks())
        return _refusal(ApiError(Code.NOT_FOUND, f"No method is bound to {verb} {path[:200]}."))


def _request(route: Route, resource: str, query: dict[str, str], body: Any) -> dict[str, Any]:
    """The request message in JSON, put together from path, query and body."""
    request: dict[str, Any] = {}
    if route.body == "*":
        if not isinstance(body, dict):
            raise invalid("Invalid JSON payload received. The body must be an object.")
        request = dict(body)
    elif route.body:
        request[route.body] = dict(body) if isinstance(body, dict) else body
    for name, value in query.items():
        if name not in _SYSTEM_PARAMETERS:
            _put(request, name, value)
    _put(request, route.field, resource)
    return request


def _put(request: dict[str, Any], path: str, value: str) -> None:
    *outer, name = path.split(".")
    for step in outer:
        inside = request.setdefault(step, {})
        if not isinstance(inside, dict):
            raise invalid(f"Invalid value at '{step}': it must be an object.")
        request = inside
    request[name] = value


def _parsed(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid(f"Invalid JSON payload received. {str(error)[:200]}") from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"Unexpected token: {text}")


def _shown(result: Any, *, enum_ints: bool) -> dict[str, Any]:
    if isinstance(result, Operation):
        return _operation(result, enum_ints=enum_ints)
    return message_codec.to_json(result, enum_ints=enum_ints)


def _operation(operation: Operation, *, enum_ints: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": operation.name, "done": True}
    shown["metadata"] = _any(operation.metadata, enum_ints=enum_ints)
    if operation.error is not None:
        shown["error"] = message_codec.to_json(operation.error)
    elif operation.response is not None:
        shown["response"] = _any(operation.response, enum_ints=enum_ints)
    return shown


def _any(message: Any, *, enum_ints: bool) -> dict[str, Any]:
    return {"@type": _TYPES[type(message)], **message_codec.to_json(message, enum_ints=enum_ints)}


def _refusal(error: ApiError) -> Answer:
    shown: dict[str, Any] = {
        "code": error.http_status,
        "message": error.message,
        "status": error.code.name,
    }
    if error.details:
        shown["details"] = list(error.details)
    return Answer(error.http_status, {"error": shown})


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        if len(body) > _MAX_BODY:
            raise invalid("Request payload size exceeds the limit.")
        message = await receive()
        body += message.get("body", b"")
    return body


async def _respond(send: Send, answer: Answer) -> None:
    data = json.dumps(answer.body).encode()
    headers = [
        (b"content-type", b"application/json; charset=UTF-8"),
        (b"content-length", b"%d" % len(data)),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
