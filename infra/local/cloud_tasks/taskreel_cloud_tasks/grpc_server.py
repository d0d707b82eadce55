"""The gRPC server: google.cloud.tasks.v2 with Locations, Operations and IAM.

It uses the message classes of the installed client: version 2.25 has methods and fields that the
public .proto files lack.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import grpc.aio
from google.cloud import tasks_v2, tasks_v2beta3
from google.cloud.location import locations_pb2
from google.iam.v1 import iam_policy_pb2, policy_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc_status import rpc_status

from taskreel_cloud_tasks import message_codec
from taskreel_cloud_tasks.api_errors import ApiError, Code, invalid_argument
from taskreel_cloud_tasks.api_methods import ApiMethods
from taskreel_cloud_tasks.codec_field import FieldValueError
from taskreel_cloud_tasks.method_messages import (
    BatchCreateTasksMetadata,
    BatchCreateTasksResponse,
    BatchDeleteTasksMetadata,
    Empty,
    GetQueueRequest,
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
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _protobuf_class(message: Any) -> type[Any]:
    """Return the plain protobuf class under a proto-plus class."""
    plain: type[Any] = message.pb()
    return plain


_TASKS: Mapping[str, tuple[type[Any], type[Any]]] = {
    "ListQueues": (
        _protobuf_class(tasks_v2.ListQueuesRequest),
        _protobuf_class(tasks_v2.ListQueuesResponse),
    ),
    "GetQueue": (_protobuf_class(tasks_v2.GetQueueRequest), _protobuf_class(tasks_v2.Queue)),
    "CreateQueue": (_protobuf_class(tasks_v2.CreateQueueRequest), _protobuf_class(tasks_v2.Queue)),
    "UpdateQueue": (_protobuf_class(tasks_v2.UpdateQueueRequest), _protobuf_class(tasks_v2.Queue)),
    "DeleteQueue": (_protobuf_class(tasks_v2.DeleteQueueRequest), empty_pb2.Empty),
    "PurgeQueue": (_protobuf_class(tasks_v2.PurgeQueueRequest), _protobuf_class(tasks_v2.Queue)),
    "PauseQueue": (_protobuf_class(tasks_v2.PauseQueueRequest), _protobuf_class(tasks_v2.Queue)),
    "ResumeQueue": (_protobuf_class(tasks_v2.ResumeQueueRequest), _protobuf_class(tasks_v2.Queue)),
    "GetIamPolicy": (iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy),
    "SetIamPolicy": (iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy),
    "TestIamPermissions": (
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
    ),
    "ListTasks": (
        _protobuf_class(tasks_v2.ListTasksRequest),
        _protobuf_class(tasks_v2.ListTasksResponse),
    ),
    "GetTask": (_protobuf_class(tasks_v2.GetTaskRequest), _protobuf_class(tasks_v2.Task)),
    "CreateTask": (_protobuf_class(tasks_v2.CreateTaskRequest), _protobuf_class(tasks_v2.Task)),
    "BatchCreateTasks": (
        _protobuf_class(tasks_v2.BatchCreateTasksRequest),
        operations_pb2.Operation,
    ),
    "BatchDeleteTasks": (
        _protobuf_class(tasks_v2.BatchDeleteTasksRequest),
        operations_pb2.Operation,
    ),
    "DeleteTask": (_protobuf_class(tasks_v2.DeleteTaskRequest), empty_pb2.Empty),
    "RunTask": (_protobuf_class(tasks_v2.RunTaskRequest), _protobuf_class(tasks_v2.Task)),
    "GetCmekConfig": (
        _protobuf_class(tasks_v2.GetCmekConfigRequest),
        _protobuf_class(tasks_v2.CmekConfig),
    ),
    "UpdateCmekConfig": (
        _protobuf_class(tasks_v2.UpdateCmekConfigRequest),
        _protobuf_class(tasks_v2.CmekConfig),
    ),
}
_LOCATIONS: Mapping[str, tuple[type[Any], type[Any]]] = {
    "ListLocations": (locations_pb2.ListLocationsRequest, locations_pb2.ListLocationsResponse),
    "GetLocation": (locations_pb2.GetLocationRequest, locations_pb2.Location),
}
_OPERATIONS: Mapping[str, tuple[type[Any], type[Any]]] = {
    "GetOperation": (operations_pb2.GetOperationRequest, operations_pb2.Operation),
}
_SERVICES: Mapping[str, Mapping[str, tuple[type[Any], type[Any]]]] = {
    "google.cloud.tasks.v2.CloudTasks": _TASKS,
    "google.cloud.location.Locations": _LOCATIONS,
    "google.longrunning.Operations": _OPERATIONS,
}
_INSIDE_OPERATIONS: Mapping[type, type[Any]] = {
    BatchCreateTasksMetadata: _protobuf_class(tasks_v2.BatchCreateTasksMetadata),
    BatchCreateTasksResponse: _protobuf_class(tasks_v2.BatchCreateTasksResponse),
    BatchDeleteTasksMetadata: _protobuf_class(tasks_v2.BatchDeleteTasksMetadata),
    Empty: empty_pb2.Empty,
}

MethodHandler = Callable[[bytes, Any], Awaitable[Any]]


class GrpcServer:
    """A grpc.aio server in the caller's event loop."""

    def __init__(self, api: ApiMethods, host: str, port: int) -> None:
        self._api = api
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._server = grpc.aio.server(options=_OPTIONS)
        for service, methods in _SERVICES.items():
            self._add_service(
                service, {name: self._make_handler(name, *types) for name, types in methods.items()}
            )
        self._add_service(
            "google.cloud.tasks.v2beta3.CloudTasks", {"GetQueue": self._get_queue_with_stats}
        )

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
        self, name: str, request_type: type[Any], response_type: type[Any]
    ) -> MethodHandler:
        method = self._api.methods[name]

        async def handle_call(data: bytes, _context: Any) -> Any:
            result = await method.call(
                message_codec.from_pb(method.request, request_type.FromString(data))
            )
            if isinstance(result, Operation):
                return _pack_operation(result)
            return message_codec.into_pb(result, response_type())

        return handle_call

    async def _get_queue_with_stats(self, data: bytes, _context: Any) -> Any:
        """GetQueue of v2beta3, the only method that returns the number of tasks in a queue."""
        asked = _protobuf_class(tasks_v2beta3.GetQueueRequest).FromString(data)
        queue = await self._api.methods["GetQueue"].call(GetQueueRequest(name=asked.name))
        response = _protobuf_class(tasks_v2beta3.Queue)()
        for name in (
            "name",
            "rate_limits",
            "retry_config",
            "state",
            "purge_time",
            "stackdriver_logging_config",
        ):
            value = getattr(queue, name)
            if value is not None:
                message_codec.get_field(type(queue), name).field_type.into_pb(response, name, value)
        if "stats" in asked.read_mask.paths:
            message_codec.into_pb(self._api.get_queue_stats(asked.name), response.stats)
        return response


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


def _pack_operation(operation: Operation) -> Any:
    shown = operations_pb2.Operation(name=operation.name, done=True)
    shown.metadata.Pack(_to_protobuf(operation.metadata))
    if operation.error is not None:
        message_codec.into_pb(operation.error, shown.error)
    elif operation.response is not None:
        shown.response.Pack(_to_protobuf(operation.response))
    return shown


def _to_protobuf(message: Any) -> Any:
    return message_codec.into_pb(message, _INSIDE_OPERATIONS[type(message)]())
