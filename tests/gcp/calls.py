"""Interceptors that count what goes over a channel, or lose some of it; and a server that says nothing."""

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


def method(details: Any) -> str:
    name = details.method
    return (name.decode() if isinstance(name, bytes) else name).rpartition("/")[2]


class CountedAnswers(UnaryUnaryClientInterceptor):
    """Every call that is answered once: its method and its request."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.calls.append((method(details), request))
        return await continuation(details, request)


class CountedStreams(UnaryStreamClientInterceptor):
    """Every call that is answered by a stream: its method and its request."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.calls.append((method(details), request))
        return await continuation(details, request)


class Losing(UnaryUnaryClientInterceptor):
    """The first `times` calls of a method end with `code`: after they were carried out, or instead of it."""

    def __init__(self, name: str, code: grpc.StatusCode, *, times: int, carried_out: bool) -> None:
        self._name = name
        self._code = code
        self.left = times
        self._carried_out = carried_out
        self.seen = 0

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if method(details) != self._name:
            return await continuation(details, request)
        self.seen += 1
        if self.left == 0:
            return await continuation(details, request)
        self.left -= 1
        if self._carried_out:
            await (await continuation(details, request))
        raise rpc_error(self._code)


class _Rows(UnaryStreamClientInterceptor):
    """Counts the reads of answers that come as streams, as Firestore bills them."""

    def __init__(self, bill: Bill) -> None:
        self._bill = bill

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        answers = [answer async for answer in await continuation(details, request)]
        name = method(details)
        if name == "BatchGetDocuments":
            self._bill.reads += len(request.documents)
        elif name == "RunQuery" and request.structured_query.from_[0].collection_id == "breakers":
            self._bill.looks += max(1, sum(answer.HasField("document") for answer in answers))
        elif name == "RunQuery":
            self._bill.reads += max(1, sum(answer.HasField("document") for answer in answers))
        else:  # an aggregation: one for up to a thousand index entries
            self._bill.reads += 1
        return _replayed(answers)


class _Writes(UnaryUnaryClientInterceptor):
    def __init__(self, bill: Bill) -> None:
        self._bill = bill

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        match method(details):
            case "Commit":
                self._bill.writes += len(request.writes)
            case "CreateTask":
                self._bill.task_creations += 1
            case "BatchCreateTasks":
                self._bill.task_creations += len(request.requests)
            case _:
                pass
        return await continuation(details, request)


@dataclass
class Bill:
    """Billed operations: document reads (of the breakers: `looks`), document writes, tasks created."""

    reads: int = 0
    looks: int = 0
    writes: int = 0
    task_creations: int = 0

    @property
    def interceptors(self) -> list[Any]:
        return [_Rows(self), _Writes(self)]

    def clear(self) -> None:
        self.reads = self.looks = self.writes = self.task_creations = 0


async def _replayed(answers: list[Any]) -> AsyncIterator[Any]:
    for answer in answers:
        yield answer


@asynccontextmanager
async def silent_server(*said: bytes) -> AsyncIterator[tuple[str, list[str]]]:
    """A gRPC server that takes every call and answers none: its address, and the methods that were called.

    Before it falls silent, it says a word of `said` to each call in turn.
    """
    heard: list[str] = []
    words = iter(said)

    class Silent(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            heard.append(details.method)
            return grpc.stream_stream_rpc_method_handler(self._wait)

        async def _wait(self, _requests: Any, context: Any) -> None:
            if (word := next(words, None)) is not None:
                await context.write(word)
            await asyncio.Event().wait()

    server = grpc.aio.server(handlers=[Silent()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", heard
    finally:
        await server.stop(None)
