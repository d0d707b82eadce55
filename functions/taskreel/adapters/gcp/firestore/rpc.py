"""The five Firestore calls that the store makes, each with a deadline, and with a second try where one is safe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.cloud.firestore_v1.types import firestore

from taskreel.adapters.gcp.channel import PASSING, GoogleChannel, never_sent, passes, routed
from taskreel.adapters.gcp.error_advice import Service
from taskreel.adapters.gcp.firestore.buffer import Key, Write
from taskreel.adapters.gcp.firestore.codec import (
    document_name,
    encode_query,
    encode_selection,
    encode_write,
    read_document,
)
from taskreel.domain.errors import StoreError
from taskreel.ports import Document, Query

_Commit = firestore.CommitRequest.pb()
_BatchGet = firestore.BatchGetDocumentsRequest.pb()
_RunQuery = firestore.RunQueryRequest.pb()
_RunAggregation = firestore.RunAggregationQueryRequest.pb()
_Listen = firestore.ListenRequest.pb()

#: A condition of the commit did not hold, or others were writing the same documents. Nothing was written.
_REFUSED = frozenset(
    {
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ABORTED,
    }
)

#: How long-lived streams end in health, too: an expired token, a server that moves its connections.
ENDS_A_STREAM = PASSING | {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.OUT_OF_RANGE}
#: Nobody waits for a stream, so it may outlast a restart of Firestore.
_STREAM_WAITS = (0.1, 0.3, 1.0, 2.0, 4.0)


class CommitRefusedError(Exception):
    """A condition did not hold. `perhaps_ours`: an earlier try had no answer and may be what stands in the way."""

    def __init__(self, *, perhaps_ours: bool) -> None:
        super().__init__("commit refused")
        self.perhaps_ours = perhaps_ours


class FirestoreRpc:
    """One database over one channel; built in the loop that uses it. Raises StoreError with what mends it."""

    def __init__(
        self,
        service: Service,
        project: str,
        database: str,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
    ) -> None:
        self._database = f"projects/{project}/databases/{database}"
        self.root = f"{self._database}/documents"
        self._channel = GoogleChannel(service, StoreError, interceptors)
        self._metadata = self._headers(project, database, emulated=service.emulator is not None)
        prefix = "/google.firestore.v1.Firestore"
        channel = self._channel
        self._commit = channel.unary(f"{prefix}/Commit", _Commit, firestore.CommitResponse.pb())
        self._get = channel.answers(
            f"{prefix}/BatchGetDocuments", _BatchGet, firestore.BatchGetDocumentsResponse.pb()
        )
        self._query = channel.answers(
            f"{prefix}/RunQuery", _RunQuery, firestore.RunQueryResponse.pb()
        )
        self._aggregate = channel.answers(
            f"{prefix}/RunAggregationQuery",
            _RunAggregation,
            firestore.RunAggregationQueryResponse.pb(),
        )
        self._listen = channel.talk(f"{prefix}/Listen", _Listen, firestore.ListenResponse.pb())

    async def get(self, keys: Sequence[Key]) -> dict[Key, Document]:
        """The documents that exist, in one call. One read a key."""
        if not keys:
            return {}
        request = _BatchGet(
            database=self._database, documents=[document_name(self.root, key) for key in keys]
        )

        async def read(seconds: float) -> dict[Key, Document]:
            answers = self._get(request, timeout=seconds, metadata=self._metadata)
            found = [
                read_document(answer.found) async for answer in answers if answer.HasField("found")
            ]
            return {(document.collection, document.id): document for document in found}

        return await self._channel.repeated(self._database, read)

    async def query(self, query: Query) -> list[Document]:
        """The matching documents. One read a row."""
        request = _RunQuery(parent=self.root, structured_query=encode_query(self.root, query))

        async def read(seconds: float) -> list[Document]:
            answers = self._query(request, timeout=seconds, metadata=self._metadata)
            return [
                read_document(answer.document)
                async for answer in answers
                if answer.HasField("document")
            ]

        return await self._channel.repeated(self._database, read)

    async def aggregate(self, query: Query, total: Sequence[str]) -> dict[str, int | float]:
        """The count of the matching documents and the sums of some fields."""
        request = _RunAggregation(parent=self.root)
        request.structured_aggregation_query.structured_query.CopyFrom(encode_selection(query))
        request.structured_aggregation_query.aggregations.add(alias="n").count.SetInParent()
        for position, field in enumerate(total):
            request.structured_aggregation_query.aggregations.add(
                alias=f"s{position}"
            ).sum.field.field_path = field

        async def read(seconds: float) -> dict[str, int | float]:
            answers = self._aggregate(request, timeout=seconds, metadata=self._metadata)
            fields = {
                name: value
                async for answer in answers
                for name, value in answer.result.aggregate_fields.items()
            }
            names = {
                "n": "count",
                **{f"s{position}": field for position, field in enumerate(total)},
            }
            return {ours: _number(fields[alias]) for alias, ours in names.items()}

        return await self._channel.repeated(self._database, read)

    async def commit(self, writes: Sequence[Write]) -> None:
        """All writes or none; CommitRefusedError when a condition does not hold.

        A try without an answer may have been carried out. It is repeated only where that cannot write twice: when one
        of the conditions can hold only once, or when nothing is added to what is there.
        """
        request = _Commit(
            database=self._database, writes=[encode_write(self.root, write) for write in writes]
        )
        repeatable = any(_holds_once(write) for write in writes) or not any(
            write.increments for write in writes
        )
        unanswered = False

        async def write(seconds: float) -> None:
            nonlocal unanswered
            try:
                await self._commit(request, timeout=seconds, metadata=self._metadata)
            except grpc.aio.AioRpcError as error:
                if error.code() in _REFUSED and not _names_database(error):
                    raise CommitRefusedError(perhaps_ours=unanswered) from error
                unanswered = unanswered or not never_sent(error)
                raise

        def again(error: grpc.aio.AioRpcError) -> bool:
            return passes(error) and (repeatable or never_sent(error))

        await self._channel.repeated(self._database, write, again=again)

    def listen(self, requests: AsyncIterator[Any]) -> grpc.aio.StreamStreamCall[Any, Any]:
        """A Listen stream; it lasts until it is cancelled or breaks."""
        return self._listen(requests, metadata=self._metadata)

    def added(self, target: int, key: Key) -> Any:
        """The request that begins to watch a document."""
        request = _Listen(database=self._database)
        request.add_target.target_id = target
        request.add_target.documents.documents.append(document_name(self.root, key))
        return request

    def removed(self, target: int) -> Any:
        """The request that ends it."""
        return _Listen(database=self._database, remove_target=target)

    async def reopened(self, follow: Callable[[float], Awaitable[None]]) -> None:
        """Follow a Listen stream; when it breaks before it has said a word, open another, five times at most."""

        def again(error: grpc.aio.AioRpcError) -> bool:
            return error.code() in ENDS_A_STREAM

        await self._channel.repeated(self._database, follow, again=again, waits=_STREAM_WAITS)

    async def close(self) -> None:
        """End what is under way and let the connection go."""
        await self._channel.close()

    def _headers(
        self, project: str, database: str, *, emulated: bool
    ) -> tuple[tuple[str, str], ...]:
        headers = (
            ("google-cloud-resource-prefix", self._database),
            *routed(project_id=project, database_id=database),
        )
        # The emulator's word for "not a web client": the security rules do not apply.
        return (*headers, ("authorization", "Bearer owner")) if emulated else headers


def _number(value: Any) -> int | float:
    kind = value.WhichOneof("value_type")
    return value.double_value if kind == "double_value" else value.integer_value  # type: ignore[no-any-return]


def _holds_once(write: Write) -> bool:
    """Whether a second commit of it is refused: it needs an absence or a version that the first one ends."""
    return write.condition is False or isinstance(write.condition, str)


def _names_database(error: grpc.aio.AioRpcError) -> bool:
    """NOT_FOUND may also mean that there is no such database."""
    return (
        "database" in (error.details() or "").lower() and error.code() is grpc.StatusCode.NOT_FOUND
    )
