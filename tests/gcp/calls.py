"""gRPC interceptors that count the calls of a client or lose some of them; and a silent server.

They stand in the channel, below Google's generated clients, so they see what goes over the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc.aio import (
    AioRpcError,
    Metadata,
    UnaryStreamClientInterceptor,
    UnaryUnaryClientInterceptor,
)


def rpc_error(code: grpc.StatusCode, details: str = "lost") -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details)


def method_name(details: Any) -> str:
    name = details.method
    return (name.decode() if isinstance(name, bytes) else name).rpartition("/")[2]


class CountedUnaryCalls(UnaryUnaryClientInterceptor):
    """Every call that has one response: its method, its request and its time limit in seconds."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.timeouts: list[float | None] = []
        self.metadata: list[dict[str, Any]] = []

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.calls.append((method_name(details), request))
        self.timeouts.append(details.timeout)
        self.metadata.append(dict(details.metadata))
        return await continuation(details, request)


class CountedStreams(UnaryStreamClientInterceptor):
    """Every call that has a stream of responses: its method, its request and its time limit."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.timeouts: list[float | None] = []
        self.metadata: list[dict[str, Any]] = []

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.calls.append((method_name(details), request))
        self.timeouts.append(details.timeout)
        self.metadata.append(dict(details.metadata))
        return await continuation(details, request)


class LostCalls(UnaryUnaryClientInterceptor):
    """Ends the first `times` calls of a method with `code`, after or instead of carrying out."""

    def __init__(self, name: str, code: grpc.StatusCode, *, times: int, carried_out: bool) -> None:
        self._name = name
        self._code = code
        self.remaining = times
        self._carried_out = carried_out
        self.seen = 0

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if method_name(details) != self._name:
            return await continuation(details, request)
        self.seen += 1
        if self.remaining == 0:
            return await continuation(details, request)
        self.remaining -= 1
        if self._carried_out:
            await (await continuation(details, request))
        raise rpc_error(self._code)


class SlowCommits(UnaryUnaryClientInterceptor):
    """Commits take so long more; the number of commits, and of those that were refused."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.commits = self.refused = 0

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if method_name(details) != "Commit":
            return await continuation(details, request)
        self.commits += 1
        await asyncio.sleep(self._seconds)
        call = await continuation(details, request)
        self.refused += await call.code() is not grpc.StatusCode.OK
        return call


class _CountedReads(UnaryStreamClientInterceptor):
    """Counts reads as Firestore bills them."""

    def __init__(self, bill: Bill) -> None:
        self._bill = bill

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self._bill.calls += 1
        answers = [answer async for answer in await continuation(details, request)]
        name = method_name(details)
        if name == "BatchGetDocuments":
            self._bill.reads += len(request.documents)
        elif name == "RunQuery":
            # A query without a row is billed as one read.
            reads = max(1, sum("document" in answer for answer in answers))
            if request.structured_query.from_[0].collection_id == "breakers":
                self._bill.breaker_reads += reads
            else:
                self._bill.reads += reads
        else:  # an aggregation: one for up to a thousand index entries
            self._bill.reads += 1
        return _replay(answers)


class _CountedWrites(UnaryUnaryClientInterceptor):
    def __init__(self, bill: Bill) -> None:
        self._bill = bill

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self._bill.calls += 1
        match method_name(details):
            case "Commit":
                self._bill.writes += len(request.writes)
                self._bill.job_writes += sum("/jobs/" in _document(one) for one in request.writes)
            case "CreateTask":
                self._bill.task_creations += 1
            case "BatchCreateTasks":
                self._bill.task_creations += len(request.requests)
            case _:
                pass
        return await continuation(details, request)


def _document(write: Any) -> str:
    """The name of the document that a write changes."""
    return str(write.update.name or write.delete or write.transform.document)


@dataclass
class Bill:
    """Billed operations. Reads of the circuit breakers are counted apart from all others."""

    reads: int = 0
    breaker_reads: int = 0
    writes: int = 0
    #: Those of `writes` that change a job's own document.
    job_writes: int = 0
    task_creations: int = 0
    #: The calls, whatever they carry.
    calls: int = 0

    @property
    def interceptors(self) -> list[Any]:
        return [_CountedReads(self), _CountedWrites(self)]

    def clear(self) -> None:
        self.reads = self.breaker_reads = self.writes = self.job_writes = 0
        self.task_creations = self.calls = 0


async def _replay(answers: list[Any]) -> AsyncIterator[Any]:
    for answer in answers:
        yield answer


@asynccontextmanager
async def silent_server(*messages: bytes) -> AsyncIterator[tuple[str, list[str]]]:
    """A gRPC server that accepts every call and answers none: its address, and the called methods.

    Before it falls silent, it sends one of `messages` to each call in turn.
    """
    called: list[str] = []
    remaining = iter(messages)

    class Silent(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            called.append(details.method)
            return grpc.stream_stream_rpc_method_handler(self._wait)

        async def _wait(self, _requests: Any, context: Any) -> None:
            if (message := next(remaining, None)) is not None:
                await context.write(message)
            await asyncio.Event().wait()

    server = grpc.aio.server(handlers=[Silent()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", called
    finally:
        await server.stop(None)
