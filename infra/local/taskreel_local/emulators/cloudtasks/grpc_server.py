"""The gRPC door: google.cloud.tasks.v2 with Locations, Operations and IAM, on the installed client's messages.

The client of 2.25 knows methods and fields that the public .proto files lack, so its classes are the contract.
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

from taskreel_local.emulators.cloudtasks import message_codec
from taskreel_local.emulators.cloudtasks.api_errors import ApiError, Code, invalid
from taskreel_local.emulators.cloudtasks.api_methods import Api
from taskreel_local.emulators.cloudtasks.codec_field import FieldValueError
from taskreel_local.emulators.cloudtasks.method_messages import (
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
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a share of the calls
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
)
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def _pb(message: Any) -> type[Any]:
    """The plain protobuf class under one of the client's."""
    plain: type[Any] = message.pb()
    return plain


_TASKS: Mapping[str, tuple[type[Any], type[Any]]] = {
    "ListQueues": (_pb(tasks_v2.ListQueuesRequest), _pb(tasks_v2.ListQueuesResponse)),
    "GetQueue": (_pb(tasks_v2.GetQueueRequest), _pb(tasks_v2.Queue)),
    "CreateQueue": (_pb(tasks_v2.CreateQueueRequest), _pb(tasks_v2.Queue)),
    "UpdateQueue": (_pb(tasks_v2.UpdateQueueRequest), _pb(tasks_v2.Queue)),
    "DeleteQueue": (_pb(tasks_v2.DeleteQueueRequest), empty_pb2.Empty),
    "PurgeQueue": (_pb(tasks_v2.PurgeQueueRequest), _pb(tasks_v2.Queue)),
    "PauseQueue": (_pb(tasks_v2.PauseQueueRequest), _pb(tasks_v2.Queue)),
    "ResumeQueue": (_pb(tasks_v2.ResumeQueueRequest), _pb(tasks_v2.Queue)),
    "GetIamPolicy": (iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy),
    "SetIamPolicy": (iam_policy_pb2.SetIamPolicyRequest, policy_pb2.Policy),
    "TestIamPermissions": (
        iam_policy_pb2.TestIamPermissionsRequest,
        iam_policy_pb2.TestIamPermissionsResponse,
    ),
    "ListTasks": (_pb(tasks_v2.ListTasksRequest), _pb(tasks_v2.ListTasksResponse)),
    "GetTask": (_pb(tasks_v2.GetTaskRequest), _pb(tasks_v2.Task)),
    "CreateTask": (_pb(tasks_v2.CreateTaskRequest), _pb(tasks_v2.Task)),
    "BatchCreateTasks": (_pb(tasks_v2.BatchCreateTasksRequest), operations_pb2.Operation),
    "BatchDeleteTasks": (_pb(tasks_v2.BatchDeleteTasksRequest), operations_pb2.Operation),
    "DeleteTask": (_pb(tasks_v2.DeleteTaskRequest), empty_pb2.Empty),
    "RunTask": (_pb(tasks_v2.RunTaskRequest), _pb(tasks_v2.Task)),
    "GetCmekConfig": (_pb(tasks_v2.GetCmekConfigRequest), _pb(tasks_v2.CmekConfig)),
    "UpdateCmekConfig": (_pb(tasks_v2.UpdateCmekConfigRequest), _pb(tasks_v2.CmekConfig)),
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
    BatchCreateTasksMetadata: _pb(tasks_v2.BatchCreateTasksMetadata),
    BatchCreateTasksResponse: _pb(tasks_v2.BatchCreateTasksResponse),
    BatchDeleteTasksMetadata: _pb(tasks_v2.BatchDeleteTasksMetadata),
    Empty: empty_pb2.Empty,
}

MethodHandler = Callable[[bytes, Any], Awaitable[Any]]


class GrpcServer:
    """A grpc.aio server in the caller's event loop."""

    def __init__(self, api: Api, host: str, port: int) -> None:
        self._api = api
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._server = grpc.aio.server(options=_OPTIONS)
        for service, methods in _SERVICES.items():
            self._offer(
                service, {name: self._behaviour(name, *types) for name, types in methods.items()}
            )
        self._offer("google.cloud.tasks.v2beta3.CloudTasks", {"GetQueue": self._queue_with_stats})

    async def open(self) -> int:
        """Listen; the result is the port. Raises OSError when it is taken."""
        try:
            port: int = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}: {error}") from None
        await self._server.start()
        return port

    async def close(self) -> None:
        """Take no more calls, finish those under way."""
        await self._server.stop(grace=1.0)

    def _offer(self, service: str, behaviours: Mapping[str, MethodHandler]) -> None:
        """Requests arrive as bytes: what cannot be parsed is refused by us, not by a stack trace of gRPC's."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_unary_rpc_method_handler(
                _guarded(behaviour), response_serializer=lambda message: message.SerializeToString()
            )
            for name, behaviour in behaviours.items()
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, handlers),)
        )

    def _behaviour(
        self, name: str, request_type: type[Any], response_type: type[Any]
    ) -> MethodHandler:
        method = self._api.methods[name]

        async def answer(data: bytes, _context: Any) -> Any:
            result = await method.call(
                message_codec.from_pb(method.request, request_type.FromString(data))
            )
            if isinstance(result, Operation):
                return _operation(result)
            return message_codec.into_pb(result, response_type())

        return answer

    async def _queue_with_stats(self, data: bytes, _context: Any) -> Any:
        """v2beta3's GetQueue: the only place where Google tells how many tasks a queue holds."""
        asked = _pb(tasks_v2beta3.GetQueueRequest).FromString(data)
        queue = await self._api.methods["GetQueue"].call(GetQueueRequest(name=asked.name))
        answer = _pb(tasks_v2beta3.Queue)()
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
                message_codec.field(type(queue), name).field_type.into_pb(answer, name, value)
        if "stats" in asked.read_mask.paths:
            message_codec.into_pb(self._api.queue_stats(asked.name), answer.stats)
        return answer


def _guarded(behaviour: MethodHandler) -> MethodHandler:
    """Every refusal as a status; a fault of ours is INTERNAL and in the log."""

    async def answer(data: bytes, context: Any) -> Any:
        try:
            _check_deadline(context.time_remaining())
            return await behaviour(data, context)
        except ApiError as error:
            refusal = error
        except FieldValueError as error:
            refusal = error.api_error()
        except DecodeError:
            refusal = invalid("The request is not a valid message.")
        except Exception:  # noqa: BLE001 - the last place before the caller
            _log.exception("a call failed")
            refusal = ApiError(Code.INTERNAL, "Internal error encountered.")
        await _abort(context, refusal)
        return None

    return answer


def _check_deadline(remaining_s: float | None) -> None:
    """Refuse an RPC that may take over 30 s, as the service does (googleapis/google-cloud-ruby#3941)."""
    if remaining_s is None or not _MAX_DEADLINE_S < remaining_s < 86_400 * 365:
        return
    moment = datetime.now(UTC) + timedelta(seconds=remaining_s)
    text = f"The request deadline is {moment.isoformat()}. The deadline cannot be more than 30s in the future."
    raise invalid(text)


async def _abort(context: Any, error: ApiError) -> None:
    if not error.details:
        await context.abort(_CODES[int(error.code)], error.message)
    status = status_pb2.Status(code=int(error.code), message=error.message)
    for detail in error.details:
        json_format.ParseDict(detail, status.details.add())
    await context.abort_with_status(rpc_status.to_status(status))


def _operation(operation: Operation) -> Any:
    shown = operations_pb2.Operation(name=operation.name, done=True)
    shown.metadata.Pack(_inside(operation.metadata))
    if operation.error is not None:
        message_codec.into_pb(operation.error, shown.error)
    elif operation.response is not None:
        shown.response.Pack(_inside(operation.response))
    return shown


def _inside(message: Any) -> Any:
    return message_codec.into_pb(message, _INSIDE_OPERATIONS[type(message)]())
