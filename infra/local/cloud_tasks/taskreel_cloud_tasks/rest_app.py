"""The REST API: Google's v2 JSON over HTTP, as gcloud and the REST transport use it.

A plain ASGI application.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError, Code, invalid_argument
from taskreel_cloud_tasks.api_methods import ApiMethods
from taskreel_cloud_tasks.api_versions import V2, V2BETA2, VERSIONS, ApiVersion
from taskreel_cloud_tasks.codec_field import FieldValueError
from taskreel_cloud_tasks.control_api import ControlApi
from taskreel_cloud_tasks.method_messages import (
    BatchCreateTasksMetadata,
    BatchCreateTasksResponse,
    BatchDeleteTasksMetadata,
    BufferTaskRequest,
    Empty,
    Operation,
)
from taskreel_cloud_tasks.task_tokens import TaskTokens

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LOCATION = r"projects/[^/]+/locations/[^/]+"
_QUEUE = rf"{_LOCATION}/queues/[^/]+"
#: firebase-admin calls CLOUD_TASKS_EMULATOR_HOST without a version.
_VERSION = re.compile(r"/(?:(v2|v2beta2|v2beta3)/)?(?=projects/)")
_MAX_BODY = 32 << 20
_READS = frozenset({"GET", "HEAD"})

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
_TYPE = "type.googleapis.com/google.cloud.tasks.{version}."
_TYPES: dict[type, str] = {
    BatchCreateTasksMetadata: _TYPE + "BatchCreateTasksMetadata",
    BatchDeleteTasksMetadata: _TYPE + "BatchDeleteTasksMetadata",
    BatchCreateTasksResponse: _TYPE + "BatchCreateTasksResponse",
    Empty: "type.googleapis.com/google.protobuf.Empty",
}


@dataclass(frozen=True, slots=True)
class Route:
    """One binding of a method to a path.

    The first group of `path` fills `field`; the request body fills the field `body`, or the whole
    message if that is `*`.
    """

    verb: str
    path: re.Pattern[str]
    method: str
    field: str
    body: str = ""


def _make_route(verb: str, path: str, method: str, field: str, body: str = "") -> Route:
    return Route(verb, re.compile(path), method, field, body)


ROUTES = (
    _make_route("POST", rf"({_QUEUE})/tasks:batchCreate", "BatchCreateTasks", "parent", "*"),
    _make_route("POST", rf"({_QUEUE})/tasks", "CreateTask", "parent", "*"),
    _make_route("POST", rf"({_QUEUE})/tasks:batchDelete", "BatchDeleteTasks", "parent", "*"),
    _make_route("POST", rf"({_QUEUE}/tasks/[^/]+):run", "RunTask", "name", "*"),
    _make_route("GET", rf"({_QUEUE})/tasks", "ListTasks", "parent"),
    _make_route("GET", rf"({_QUEUE}/tasks/[^/]*)", "GetTask", "name"),
    _make_route("DELETE", rf"({_QUEUE}/tasks/[^/]*)", "DeleteTask", "name"),
    _make_route("GET", rf"({_LOCATION})/queues", "ListQueues", "parent"),
    _make_route("POST", rf"({_LOCATION})/queues", "CreateQueue", "parent", "queue"),
    _make_route("POST", rf"({_QUEUE}):pause", "PauseQueue", "name", "*"),
    _make_route("POST", rf"({_QUEUE}):resume", "ResumeQueue", "name", "*"),
    _make_route("POST", rf"({_QUEUE}):purge", "PurgeQueue", "name", "*"),
    _make_route("GET", rf"({_QUEUE}):getIamPolicy", "GetIamPolicy", "resource"),
    _make_route("POST", rf"({_QUEUE}):getIamPolicy", "GetIamPolicy", "resource", "*"),
    _make_route("POST", rf"({_QUEUE}):setIamPolicy", "SetIamPolicy", "resource", "*"),
    _make_route("POST", rf"({_QUEUE}):testIamPermissions", "TestIamPermissions", "resource", "*"),
    _make_route("GET", rf"({_QUEUE})", "GetQueue", "name"),
    _make_route("PATCH", rf"({_QUEUE})", "UpdateQueue", "queue.name", "queue"),
    _make_route("DELETE", rf"({_QUEUE})", "DeleteQueue", "name"),
    _make_route("GET", r"(projects/[^/]+)/locations", "ListLocations", "name"),
    _make_route("GET", rf"({_LOCATION})", "GetLocation", "name"),
    _make_route("GET", rf"({_LOCATION}/cmekConfig)", "GetCmekConfig", "name"),
    _make_route(
        "PATCH", rf"({_LOCATION}/cmekConfig)", "UpdateCmekConfig", "cmek_config.name", "cmek_config"
    ),
    _make_route("GET", rf"({_LOCATION}/operations/[^/]+)", "GetOperation", "name"),
)
_PULL_ROUTES = (
    _make_route("POST", rf"({_QUEUE})/tasks:lease", "LeaseTasks", "parent", "*"),
    _make_route("POST", rf"({_QUEUE}/tasks/[^/]+):acknowledge", "AcknowledgeTask", "name", "*"),
    _make_route("POST", rf"({_QUEUE}/tasks/[^/]+):renewLease", "RenewLease", "name", "*"),
    _make_route("POST", rf"({_QUEUE}/tasks/[^/]+):cancelLease", "CancelLease", "name", "*"),
)
"""Of v2beta2; refused in words."""
#: gcloud and Google's discovery clients leave the task's id empty: `tasks/:buffer`.
_BUFFER = re.compile(rf"({_QUEUE})/tasks(?:/([^/]*))?:buffer")


@dataclass(frozen=True, slots=True)
class JsonResponse:
    """A status and a JSON body."""

    status: int
    body: Any


class RestApp:
    """The ASGI application.

    Serves `/v2/…`, `/v2beta3/…`, `/v2beta2/…`, `/control/…`, OIDC discovery and keys.
    """

    def __init__(self, api: ApiMethods, control: ControlApi | None = None) -> None:
        self._api = api
        self._control = control or ControlApi(api)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await _handle_lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"] == "/" and scope["method"] in _READS:
            await _send_page(send, with_body=scope["method"] == "GET")
        elif scope["type"] == "http":
            response = await self._handle_request(scope, receive)
            await _send_response(send, response)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _handle_request(self, scope: Scope, receive: Receive) -> JsonResponse:
        try:
            body = await _read_body(receive)
            query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            return await self._route_request(scope["method"], scope["path"], query, body, scope)
        except FieldValueError as error:
            return _error_response(error.to_api_error())
        except ApiError as error:
            return _error_response(error)
        except Exception:  # noqa: BLE001 - the last place before the caller
            _log.exception("a call failed")
            return _error_response(ApiError(Code.INTERNAL, "Internal error encountered."))

    async def _route_request(
        self, verb: str, path: str, query: dict[str, str], body: bytes, scope: Scope
    ) -> JsonResponse:
        if path.startswith("/control/"):
            return JsonResponse(
                200,
                await self._control.handle_request(
                    verb, path.removeprefix("/control/"), query, _parse_body(body)
                ),
            )
        found = _VERSION.match(path)
        if found is None:
            return self._serve_well_known(verb, path)
        resource = path[found.end() :]
        version = VERSIONS[found[1] or "v2"]
        buffered = _BUFFER.fullmatch(resource) if verb == "POST" else None
        if buffered is not None and version is not V2BETA2:
            return await self._buffer_task(buffered, body, scope)
        for route in ROUTES if version is not V2BETA2 else (*_PULL_ROUTES, *ROUTES):
            match = route.path.fullmatch(resource) if route.verb == verb else None
            if match is not None:
                shape = self._api.request_type(route.method, version)
                parsed = _parse_body(body) if route.body else {}
                data = _build_request(route, match[1], query, parsed)
                return await self._call_method(route.method, version, shape, data, query)
        return _no_such_method(verb, path)

    async def _call_method(
        self,
        name: str,
        version: ApiVersion,
        shape: type,
        data: dict[str, Any],
        query: dict[str, str],
    ) -> JsonResponse:
        request: Any = message_codec.from_json(shape, data)
        if name == "UpdateQueue":
            missing = [path for path in request.update_mask if not _has_path(data["queue"], path)]
            request = replace(request, cleared=frozenset(missing))
        result = await self._api.call(name, request, version)
        enum_ints = "enum-encoding=int" in query.get("$alt", "")
        return JsonResponse(200, _render_result(result, enum_ints=enum_ints, version=version))

    async def _buffer_task(self, match: re.Match[str], body: bytes, scope: Scope) -> JsonResponse:
        content_type = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
        request = BufferTaskRequest(
            queue=match[1], task_id=match[2] or "", body=body, content_type=content_type
        )
        result = await self._api.methods["BufferTask"].call(request)
        return JsonResponse(200, _render_result(result, enum_ints=False, version=V2))

    def _serve_well_known(self, verb: str, path: str) -> JsonResponse:
        if verb == "GET" and path == "/healthz":
            return JsonResponse(200, {"status": "SERVING"})
        tokens = self._api.engine.tokens
        if verb == "GET" and isinstance(tokens, TaskTokens):
            if path == "/.well-known/openid-configuration":
                return JsonResponse(200, tokens.discovery_document())
            if path in {"/oauth2/v3/certs", "/jwks"}:
                return JsonResponse(200, tokens.jwks_document())
            if path in {"/oauth2/v1/certs", "/certs"}:
                return JsonResponse(200, tokens.certificates())
        return _no_such_method(verb, path)


def _no_such_method(verb: str, path: str) -> JsonResponse:
    return _error_response(ApiError(Code.NOT_FOUND, f"No method is bound to {verb} {path[:200]}."))


def _has_path(data: Any, path: str) -> bool:
    """Return True if a JSON object has a value at a path, in either spelling of its names."""
    for step in path.split("."):
        names = {step, message_codec.to_camel_case(step), message_codec.to_snake_case(step)}
        found = [data[name] for name in names if name in data] if isinstance(data, dict) else []
        if not found or found[0] is None:
            return False
        data = found[0]
    return True


def _build_request(route: Route, resource: str, query: dict[str, str], body: Any) -> dict[str, Any]:
    """Return the request message as JSON, merged from path, query and body."""
    request: dict[str, Any] = {}
    if route.body == "*":
        if not isinstance(body, dict):
            raise invalid_argument("Invalid JSON payload received. The body must be an object.")
        request = dict(body)
    elif route.body:
        request[route.body] = dict(body) if isinstance(body, dict) else body
    for name, value in query.items():
        if name not in _SYSTEM_PARAMETERS:
            _set_path(request, name, value)
    _set_path(request, route.field, resource)
    return request


def _set_path(request: dict[str, Any], path: str, value: str) -> None:
    *outer, name = path.split(".")
    for step in outer:
        inside = request.setdefault(step, {})
        if not isinstance(inside, dict):
            raise invalid_argument(f"Invalid value at '{step}': it must be an object.")
        request = inside
    request[name] = value


def _parse_body(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"Invalid JSON payload received. {str(error)[:200]}") from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"Unexpected token: {text}")


def _render_result(result: Any, *, enum_ints: bool, version: ApiVersion) -> dict[str, Any]:
    if isinstance(result, Operation):
        return _render_operation(result, enum_ints=enum_ints, version=version)
    return message_codec.to_json(result, enum_ints=enum_ints)


def _render_operation(
    operation: Operation, *, enum_ints: bool, version: ApiVersion
) -> dict[str, Any]:
    def render(message: Any) -> dict[str, Any]:
        name = _TYPES[type(message)].format(version=version.name)
        return {"@type": name, **message_codec.to_json(message, enum_ints=enum_ints)}

    shown: dict[str, Any] = {"name": operation.name, "done": True}
    shown["metadata"] = render(operation.metadata)
    if operation.error is not None:
        shown["error"] = message_codec.to_json(operation.error)
    elif operation.response is not None:
        shown["response"] = render(operation.response)
    return shown


def _error_response(error: ApiError) -> JsonResponse:
    shown: dict[str, Any] = {
        "code": error.http_status,
        "message": error.message,
        "status": error.code.name,
    }
    if error.details:
        shown["details"] = list(error.details)
    return JsonResponse(error.http_status, {"error": shown})


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        if len(body) > _MAX_BODY:
            raise invalid_argument("Request payload size exceeds the limit.")
        message = await receive()
        body += message.get("body", b"")
    return body


async def _send_response(send: Send, response: JsonResponse) -> None:
    data = json.dumps(response.body).encode()
    headers = [
        (b"content-type", b"application/json; charset=UTF-8"),
        (b"content-length", b"%d" % len(data)),
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


async def _send_page(send: Send, *, with_body: bool) -> None:
    from taskreel_cloud_tasks.page import load_page

    text, headers = load_page()
    headers = [*headers, (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text if with_body else b""})


async def _handle_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
