"""The Firestore calls of the store, through Google's generated client.

Each call has a time limit and is tried again only where that is safe. The messages are protobuf
messages as the codec makes and reads them; the client's own wrapper is put around them unopened.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport
from google.cloud.firestore_v1.types import firestore

from taskreel.adapters.gcp.error_advice import Service
from taskreel.adapters.gcp.firestore.buffer import Document, Key
from taskreel.adapters.gcp.firestore.codec import (
    document_name,
    encode_filters,
    encode_query,
    format_version,
    read_document,
)
from taskreel.adapters.gcp.firestore.group_overlay import EncodedWrite
from taskreel.adapters.gcp.google_client import (
    RETRY_WAITS,
    TEMPORARY_CODES,
    RetryBudget,
    build_client,
    is_temporary,
    was_never_sent,
)
from taskreel.domain.errors import StoreError, StoreRefusedError
from taskreel.ports import Query

T = TypeVar("T")

_Commit = firestore.CommitRequest.pb()
_BatchGet = firestore.BatchGetDocumentsRequest.pb()
_RunQuery = firestore.RunQueryRequest.pb()
_RunAggregation = firestore.RunAggregationQueryRequest.pb()
_Listen = firestore.ListenRequest.pb()

#: Nothing was written: a condition of the commit was false, or others wrote the same documents.
_REFUSED_CODES = frozenset(
    {
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ABORTED,
    }
)

#: The content of the call is at fault, and not the service or its set-up.
_INVALID = grpc.StatusCode.INVALID_ARGUMENT

#: Statuses with which a long stream also ends in normal operation, when a token expires or a server
#: moves its connections.
STREAM_END_CODES = TEMPORARY_CODES | {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.OUT_OF_RANGE,
}
#: No request waits for a stream, so opening it may take longer than a restart of Firestore.
_STREAM_WAITS = (0.1, 0.3, 1.0, 2.0, 4.0)


class CommitRefusedError(Exception):
    """A condition of the commit was false.

    `maybe_ours` is True if an earlier try got no response: then our own commit may be the change
    that made the condition false.
    """

    def __init__(self, *, maybe_ours: bool) -> None:
        super().__init__("commit refused")
        self.maybe_ours = maybe_ours


class Database:
    """One Firestore database. Belongs to the event loop that built it; raises StoreError."""

    def __init__(
        self,
        service: Service,
        project: str,
        database: str,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    ) -> None:
        self._name = f"projects/{project}/databases/{database}"
        #: The beginning of every document's name.
        self.root = f"{self._name}/documents"
        self._budget = RetryBudget(service, StoreError)
        self._metadata = [("google-cloud-resource-prefix", self._name)]
        if service.emulator is not None:
            # Tells the emulator that the caller is a server, to which security rules do not apply.
            self._metadata.append(("authorization", "Bearer owner"))
        self._client = build_client(
            FirestoreAsyncClient,
            FirestoreGrpcAsyncIOTransport,
            service,
            StoreError,
            interceptors,
        )

    async def get_documents(self, keys: Sequence[Key]) -> dict[Key, Document]:
        """Read several documents in one call; absent ones are omitted. One read a key."""
        if not keys:
            return {}
        message = _BatchGet(
            database=self._name, documents=[document_name(self.root, key) for key in keys]
        )
        request = firestore.BatchGetDocumentsRequest.wrap(message)

        async def read(seconds: float) -> dict[Key, Document]:
            stream = await self._client.batch_get_documents(
                request, retry=None, timeout=seconds, metadata=self._metadata
            )
            found: dict[Key, Document] = {}
            async for response in stream:
                answer = firestore.BatchGetDocumentsResponse.pb(response)
                if answer.HasField("found"):
                    document = read_document(answer.found)
                    found[document.collection, document.id] = document
            return found

        return await self._run_call(read)

    async def run_query(self, query: Query[Any]) -> list[Document]:
        """Read the matching documents in order. One read a row."""
        message = _RunQuery(parent=self.root, structured_query=encode_query(self.root, query))
        request = firestore.RunQueryRequest.wrap(message)

        async def read(seconds: float) -> list[Document]:
            stream = await self._client.run_query(
                request, retry=None, timeout=seconds, metadata=self._metadata
            )
            documents: list[Document] = []
            async for response in stream:
                answer = firestore.RunQueryResponse.pb(response)
                if answer.HasField("document"):
                    documents.append(read_document(answer.document))
            return documents

        return await self._run_call(read)

    async def aggregate(self, query: Query[Any], totals: Sequence[str]) -> dict[str, int | float]:
        """Count the matching documents and add up the fields in `totals`."""
        message = _RunAggregation(parent=self.root)
        aggregation = message.structured_aggregation_query
        aggregation.structured_query.CopyFrom(encode_filters(query))
        aggregation.aggregations.add(alias="count").count.SetInParent()
        for position, field in enumerate(totals):
            added = aggregation.aggregations.add(alias=f"sum{position}")
            added.sum.field.field_path = field
        request = firestore.RunAggregationQueryRequest.wrap(message)

        async def read(seconds: float) -> dict[str, int | float]:
            stream = await self._client.run_aggregation_query(
                request, retry=None, timeout=seconds, metadata=self._metadata
            )
            values: dict[str, int | float] = {}
            async for response in stream:
                answer = firestore.RunAggregationQueryResponse.pb(response)
                for alias, value in answer.result.aggregate_fields.items():
                    values[alias] = _read_number(value)
            sums = {field: values[f"sum{position}"] for position, field in enumerate(totals)}
            return {"count": values["count"], **sums}

        return await self._run_call(read)

    async def commit(self, writes: Sequence[EncodedWrite]) -> list[str]:
        """Carry out all writes or none; return the versions that the documents have now.

        Raises CommitRefusedError when a condition is false.

        A try without a response may have been carried out. Another one is safe only if it cannot
        write twice: when one of the conditions can be true only once, or when no field is
        incremented. A call that never reached the server is always safe to repeat.
        """
        message = _Commit(database=self._name, writes=[one.message for one in writes])
        request = firestore.CommitRequest.wrap(message)
        holds_once = any(one.write.is_carried_out_once for one in writes)
        repeatable = holds_once or not any(one.write.has_increments for one in writes)
        unanswered = False

        async def send(seconds: float) -> list[str]:
            nonlocal unanswered
            try:
                response = await self._client.commit(
                    request, retry=None, timeout=seconds, metadata=self._metadata
                )
                results = firestore.CommitResponse.pb(response).write_results
                return [format_version(result.update_time) for result in results]
            except GoogleAPICallError as error:
                if error.grpc_status_code in _REFUSED_CODES and not _is_missing_database(error):
                    raise CommitRefusedError(maybe_ours=unanswered) from error
                unanswered = unanswered or not was_never_sent(error)
                raise

        def may_retry(error: GoogleAPICallError) -> bool:
            return is_temporary(error) and (repeatable or was_never_sent(error))

        return await self._run_call(send, may_retry=may_retry)

    async def _run_call(
        self,
        call: Callable[[float], Awaitable[T]],
        *,
        may_retry: Callable[[GoogleAPICallError], bool] = is_temporary,
        waits: Sequence[float] = RETRY_WAITS,
    ) -> T:
        """Run a call within its budget. Raises StoreError, or StoreRefusedError for its content."""
        try:
            return await self._budget.run_call(self._name, call, may_retry=may_retry, waits=waits)
        except StoreError as error:
            cause = error.__cause__
            if isinstance(cause, GoogleAPICallError) and cause.grpc_status_code is _INVALID:
                raise StoreRefusedError(error.message) from cause
            raise

    async def listen(self, requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """Yield the responses of one Listen stream, as protobuf messages, until it ends.

        None stands for a message that gRPC could not read. The stream has no time limit: it lasts
        until the iteration is closed. Raises GoogleAPICallError when it breaks.
        """
        # The client declares any iterable; it is a gRPC call, which must be cancelled.
        stream: Any = await self._client.listen(
            requests, retry=None, timeout=None, metadata=self._metadata
        )
        try:
            async for response in stream:
                yield None if response is None else firestore.ListenResponse.pb(response)
        finally:
            stream.cancel()

    def watch_request(self, target: int, key: Key) -> Any:
        """The request that adds a document to a Listen stream, as the number `target`."""
        message = _Listen(database=self._name)
        message.add_target.target_id = target
        message.add_target.documents.documents.append(document_name(self.root, key))
        return firestore.ListenRequest.wrap(message)

    def watch_query_request(self, target: int, query: Query[Any]) -> Any:
        """The request that adds a query to a Listen stream, as the number `target`."""
        message = _Listen(database=self._name)
        message.add_target.target_id = target
        message.add_target.query.parent = self.root
        message.add_target.query.structured_query.CopyFrom(encode_query(self.root, query))
        return firestore.ListenRequest.wrap(message)

    def unwatch_request(self, target: int) -> Any:
        """The request that removes a document from a Listen stream."""
        return firestore.ListenRequest.wrap(_Listen(database=self._name, remove_target=target))

    async def run_stream(self, follow: Callable[[float], Awaitable[None]]) -> None:
        """Run `follow`; if it fails before its first response, again, five times at most."""

        def may_retry(error: GoogleAPICallError) -> bool:
            return error.grpc_status_code in STREAM_END_CODES

        await self._run_call(follow, may_retry=may_retry, waits=_STREAM_WAITS)

    async def close(self) -> None:
        """End the calls that are under way and close the connection."""
        await self._client.transport.close()


def _read_number(value: Any) -> int | float:
    if value.WhichOneof("value_type") == "double_value":
        return float(value.double_value)
    return int(value.integer_value)


def _is_missing_database(error: GoogleAPICallError) -> bool:
    """True if NOT_FOUND means the database and not a document."""
    not_found = error.grpc_status_code is grpc.StatusCode.NOT_FOUND
    return not_found and "database" in str(error.message).lower()
