"""Google's generated async clients: how one is built, and the time budget of each call to it.

A client belongs to the event loop that built it, and gunicorn forks after import. So the adapters
build their client on first use, and import this module only then.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError

from taskreel.adapters.gcp.error_advice import (
    Service,
    explain_error,
    explain_missing_credentials,
)
from taskreel.domain.errors import TaskreelError

if TYPE_CHECKING:
    from google.cloud.firestore_v1.services.firestore.transports import (
        FirestoreGrpcAsyncIOTransport,
    )
    from google.cloud.tasks_v2.services.cloud_tasks.transports import (
        CloudTasksGrpcAsyncIOTransport,
    )

    Transport = FirestoreGrpcAsyncIOTransport | CloudTasksGrpcAsyncIOTransport

T = TypeVar("T")
C = TypeVar("C")
E = TypeVar("E", bound=TaskreelError)

_CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 60_000),
    # gRPC waits up to two minutes before it connects again. After an outage the first call should
    # succeed as soon as the service is back.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

#: The time limit of one try, and of all tries of a call including the waits between them. A
#: response normally takes tens of milliseconds; when one is lost, the next try is quick again.
TRY_SECONDS = 5.0
CALL_SECONDS = 10.0

#: The longest wait before each further try, in seconds; the wait itself is random (full jitter).
RETRY_WAITS = (0.1, 0.3, 0.9)

#: Statuses after which another try may succeed.
TEMPORARY_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        # Sent by a server; a cancellation of ours raises CancelledError instead. Firestore's
        # emulator fails a commit with it when a stream that watches the document ends meanwhile.
        grpc.StatusCode.CANCELLED,
    }
)


def build_client(
    client_type: Callable[..., C],
    transport_type: type[Transport],
    service: Service,
    error_type: type[TaskreelError],
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> C:
    """Build a generated async client in the running event loop.

    Credentials, quota project, universe domain and mutual TLS are found by the client, from its
    usual environment variables. `interceptors` see every call of the channel.

    Raises `error_type` when there are no credentials.
    """
    emulator = service.emulator
    open_channel = partial(_open_channel, transport_type, emulator is not None, interceptors)
    try:
        return client_type(
            credentials=None if emulator is None else AnonymousCredentials(),
            transport=partial(transport_type, channel=open_channel),
            client_options=ClientOptions(api_endpoint=emulator or service.endpoint),
        )
    except DefaultCredentialsError as error:
        raise error_type(explain_missing_credentials(service)) from error


def _open_channel(
    transport_type: type[Transport],
    is_emulator: bool,  # noqa: FBT001 - bound by position in a partial
    interceptors: Sequence[grpc.aio.ClientInterceptor],
    host: str,
    *,
    options: Sequence[tuple[str, int]],
    **settings: Any,
) -> grpc.aio.Channel:
    """Open the channel as the transport would, with our options and interceptors added.

    An emulator speaks plain HTTP/2, which none of the client's own options selects.
    """
    options = [*options, *_CHANNEL_OPTIONS]
    if is_emulator:
        return grpc.aio.insecure_channel(host, options=options, interceptors=interceptors)
    return transport_type.create_channel(
        host, options=options, interceptors=interceptors, **settings
    )


def is_temporary(error: GoogleAPICallError) -> bool:
    """True if another try may succeed. The caller decides if one is safe."""
    return error.grpc_status_code in TEMPORARY_CODES


def was_never_sent(error: GoogleAPICallError) -> bool:
    """True if the server has certainly not seen the call."""
    unavailable = error.grpc_status_code is grpc.StatusCode.UNAVAILABLE
    return unavailable and "failed to connect" in str(error.message)


class RetryBudget(Generic[E]):
    """Runs calls to one service within a time budget; failures are raised as `error_type`.

    The clients' own `AsyncRetry` is not used (every call passes `retry=None`): it has no limit on
    the number of tries, so a service that is down would be called for the whole ten seconds, and it
    gives each try the same time limit, however little of the budget remains.
    """

    def __init__(
        self,
        service: Service,
        error_type: type[E],
        *,
        seconds: float | None = None,
        waits: Sequence[float] = RETRY_WAITS,
    ) -> None:
        self.service = service
        self._error_type = error_type
        self._seconds = seconds
        self._waits = waits

    async def run_call(
        self,
        resource: str,
        call: Callable[[float], Awaitable[T]],
        *,
        may_retry: Callable[[GoogleAPICallError], bool] = is_temporary,
        waits: Sequence[float] | None = None,
    ) -> T:
        """Run `call`, again while `may_retry` allows it, and return its result.

        `call` gets its time limit in seconds. `resource` is named in the error.
        """
        deadline = time.monotonic() + (self._seconds or CALL_SECONDS)
        for wait in (*(self._waits if waits is None else waits), None):
            try:
                return await call(min(TRY_SECONDS, deadline - time.monotonic()))
            except GoogleAPICallError as error:
                late = wait is not None and time.monotonic() + wait > deadline
                if wait is None or late or not may_retry(error):
                    raise self._explain(resource, error) from error
            await asyncio.sleep(random.uniform(0, wait))  # noqa: S311 - jitter
        raise AssertionError("unreachable")

    def _explain(self, resource: str, error: GoogleAPICallError) -> E:
        code = "UNKNOWN" if error.grpc_status_code is None else error.grpc_status_code.name
        return self._error_type(
            explain_error(self.service, resource, code, str(error.message or ""))
        )
