"""The gRPC server: google.cloud.tasks v2, v2beta3 and v2beta2, Locations, Operations, IAM, health.

It uses the message classes of the installed client: version 2.25 has methods and fields that the
public .proto files lack.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import grpc
import grpc.aio
from google.cloud import tasks_v2, tasks_v2beta2, tasks_v2beta3
from google.cloud.location import locations_pb2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format, wrappers_pb2
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_status import rpc_status

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError, Code, entity_not_found, invalid_argument
from taskreel_cloud_tasks.api_methods import ApiMethods
from taskreel_cloud_tasks.api_versions import V2, V2BETA2, V2BETA3, ApiVersion
from taskreel_cloud_tasks.codec_field import FieldValueError
from taskreel_cloud_tasks.grpc_create_task import create_http_task
from taskreel_cloud_tasks.method_messages import (
    BatchCreateTasksMetadata,
    BatchCreateTasksResponse,
    BatchDeleteTasksMetadata,
    Empty,
    Operation,
)

_log = logging.getLogger(__name__)

_MAX_DEADLINE_S = 30.0
_MAX_MESSAGE = 32 << 20
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a port in use is an error, not shared
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
)
_SERVING = 1
"""grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING."""
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _protobuf_class(message: Any) -> type[Any]:
    """Return the plain protobuf class under a proto-plus class."""
    plain: type[Any] = message.pb()
    return plain


_RESPONSES = {
    "ListQueues": "ListQueuesResponse",
    "GetQueue": "Queue",
    "CreateQueue": "Queue",
    "UpdateQueue": "Queue",
    "PurgeQueue": "Queue",
    "PauseQueue": "Queue",
    "ResumeQueue": "Queue",
    "ListTasks": "ListTasksResponse",
    "GetTask": "Task",
    "CreateTask": "Task",
    "RunTask": "Task",
    "GetCmekConfig": "CmekConfig",
    "UpdateCmekConfig": "CmekConfig",
}
_EMPTY = ("DeleteQueue", "DeleteTask")
_BATCHES = ("BatchCreateTasks", "BatchDeleteTasks")
_IAM: Mapping[str, tuple[type[Any], type[Any]]] = {
    "GetIamPolicy": (iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy),
    "SetIamPolicy": (iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy),
    "TestIamPermissions": (
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
    ),
}


def _list_methods(api: ModuleType) -> dict[str, tuple[type[Any], type[Any]]]:
    """Return the request and response classes of the methods of one version's CloudTasks."""

    def request_of(name: str) -> type[Any]:
        return _protobuf_class(getattr(api, f"{name}Request"))

    methods = {
        name: (request_of(name), _protobuf_class(getattr(api, response)))
        for name, response in _RESPONSES.items()
        if hasattr(api, f"{name}Request")
    }
    methods |= {name: (request_of(name), empty_pb2.Empty) for name in _EMPTY}
    methods |= {
        name: (request_of(name), operations_pb2.Operation)
        for name in _BATCHES
        if hasattr(api, f"{name}Request")
    }
    return {**methods, **_IAM}


_LOCATIONS: Mapping[str, tuple[type[Any], type[Any]]] = {
    "ListLocations": (locations_pb2.ListLocationsRequest, locations_pb2.ListLocationsResponse),
    "GetLocation": (locations_pb2.GetLocationRequest, locations_pb2.Location),
}
_OPERATIONS: Mapping[str, tuple[type[Any], type[Any]]] = {
    "GetOperation": (operations_pb2.GetOperationRequest, operations_pb2.Operation),
}
_SERVICES: Mapping[str, tuple[ApiVersion, Mapping[str, tuple[type[Any], type[Any]]]]] = {
    "google.cloud.tasks.v2.CloudTasks": (V2, _list_methods(tasks_v2)),
    "google.cloud.tasks.v2beta3.CloudTasks": (V2BETA3, _list_methods(tasks_v2beta3)),
    "google.cloud.tasks.v2beta2.CloudTasks": (V2BETA2, _list_methods(tasks_v2beta2)),
    "google.cloud.location.Locations": (V2, _LOCATIONS),
    "google.longrunning.Operations": (V2, _OPERATIONS),
}
_INSIDE_OPERATIONS: Mapping[type, str] = {
    BatchCreateTasksMetadata: "BatchCreateTasksMetadata",
    BatchCreateTasksResponse: "BatchCreateTasksResponse",
    BatchDeleteTasksMetadata: "BatchDeleteTasksMetadata",
}
_MODULES: Mapping[str, ModuleType] = {"v2": tasks_v2, "v2beta3": tasks_v2beta3}

MethodHandler = Callable[[bytes, Any], Awaitable[Any]]


class GrpcServer:
    """A grpc.aio server in the caller's event loop."""

    def __init__(self, api: ApiMethods, host: str, port: int) -> None:
        self._api = api
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._server = grpc.aio.server(options=_OPTIONS)
        for service, (version, methods) in _SERVICES.items():
            handlers = {
                name: self._make_handler(version, name, *types) for name, types in methods.items()
            }
            for name in version.refused:
                handlers[name] = _make_refusal(version, name)
            if version is V2 and "CreateTask" in methods:
                handlers["CreateTask"] = self._make_create_handler(
                    *methods["CreateTask"], handlers["CreateTask"]
                )
            self._add_service(service, handlers)
        self._add_service("grpc.health.v1.Health", {"Check": _check_health})

    async def start(self) -> int:
        """Listen and return the port. Raises OSError if it is in use."""
        try:
            port: int = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}: {error}") from None
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Accept no more calls and finish running ones."""
        await self._server.stop(grace=1.0)

    def _add_service(self, service: str, handlers: Mapping[str, MethodHandler]) -> None:
        """Register the methods of one service.

        Requests arrive as bytes, so that a message that cannot be parsed is answered with
        INVALID_ARGUMENT and not with a stack trace of gRPC.
        """
        method_handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_unary_rpc_method_handler(
                _with_error_handling(handler),
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, handler in handlers.items()
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, method_handlers),)
        )

    def _make_handler(
        self, version: ApiVersion, name: str, request_type: type[Any], response_type: type[Any]
    ) -> MethodHandler:
        message = self._api.request_type(name, version)

        async def handle_call(data: bytes, _context: Any) -> Any:
            request: Any = message_codec.from_pb(message, request_type.FromString(data))
            result = await self._api.call(name, request, version)
            if isinstance(result, Operation):
                return _pack_operation(result, version)
            return response_type(**message_codec.to_pb_fields(result))

        return handle_call

    def _make_create_handler(
        self, request_type: type[Any], response_type: type[Any], general: MethodHandler
    ) -> MethodHandler:
        async def handle_call(data: bytes, context: Any) -> Any:
            request = request_type.FromString(data)
            if request.task.HasField("http_request"):
                return await create_http_task(self._api.engine, request, response_type)
            return await general(data, context)

        return handle_call


async def _check_health(data: bytes, _context: Any) -> Any:
    """Answer SERVING for the whole server and for each of its services.

    The standard probes of containers call this. On the wire HealthCheckRequest and -Response are
    the same as these wrappers, one string and one number, which saves a dependency.
    """
    service = wrappers_pb2.StringValue.FromString(data).value
    if service and service not in _SERVICES:
        raise entity_not_found()
    return wrappers_pb2.Int32Value(value=_SERVING)


def _make_refusal(version: ApiVersion, name: str) -> MethodHandler:
    async def handle_call(_data: bytes, _context: Any) -> Any:
        version.check_method(name)

    return handle_call


def _with_error_handling(handler: MethodHandler) -> MethodHandler:
    """Turn every refusal into a status; an unexpected error is logged and answered INTERNAL."""

    async def handle_call(data: bytes, context: Any) -> Any:
        try:
            _check_deadline(context.time_remaining())
            return await handler(data, context)
        except ApiError as error:
            refusal = error
        except FieldValueError as error:
            refusal = error.to_api_error()
        except DecodeError:
            refusal = invalid_argument("The request is not a valid message.")
        except Exception:  # noqa: BLE001 - the last place before the caller
            _log.exception("a call failed")
            refusal = ApiError(Code.INTERNAL, "Internal error encountered.")
        await _abort_call(context, refusal)
        return None

    return handle_call


def _check_deadline(remaining_s: float | None) -> None:
    """Refuse a call with a deadline over 30 s, as the service does.

    See googleapis/google-cloud-ruby#3941.
    """
    if remaining_s is None or not _MAX_DEADLINE_S < remaining_s < 86_400 * 365:
        return
    moment = datetime.now(UTC) + timedelta(seconds=remaining_s)
    raise invalid_argument(
        f"The request deadline is {moment.isoformat()}. "
        "The deadline cannot be more than 30s in the future."
    )


async def _abort_call(context: Any, error: ApiError) -> None:
    if not error.details:
        await context.abort(_CODES[int(error.code)], error.message)
    status = status_pb2.Status(code=int(error.code), message=error.message)
    for detail in error.details:
        json_format.ParseDict(detail, status.details.add())
    await context.abort_with_status(rpc_status.to_status(status))


def _pack_operation(operation: Operation, version: ApiVersion) -> Any:
    shown = operations_pb2.Operation(name=operation.name, done=True)
    shown.metadata.Pack(_to_protobuf(operation.metadata, version))
    if operation.error is not None:
        shown.error.CopyFrom(status_pb2.Status(**message_codec.to_pb_fields(operation.error)))
    elif operation.response is not None:
        shown.response.Pack(_to_protobuf(operation.response, version))
    return shown


def _to_protobuf(message: Any, version: ApiVersion) -> Any:
    if isinstance(message, Empty):
        return empty_pb2.Empty()
    made = getattr(_MODULES[version.name], _INSIDE_OPERATIONS[type(message)])
    return _protobuf_class(made)(**message_codec.to_pb_fields(message))
