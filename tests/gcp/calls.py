"""Interceptors that count what goes over a channel, or lose some of it."""

from __future__ import annotations

from typing import Any

import grpc
from grpc.aio import AioRpcError, Metadata, UnaryStreamClientInterceptor, UnaryUnaryClientInterceptor


def rpc_error(code: grpc.StatusCode, details: str = "lost") -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details)


def method(details: Any) -> str:
    name = details.method
    return (name.decode() if isinstance(name, bytes) else name).rpartition("/")[2]


class CountedAnswers(UnaryUnaryClientInterceptor):  # type: ignore[misc]  # gRPC is untyped
    """Every call that is answered once: its method and its request."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.calls.append((method(details), request))
        return await continuation(details, request)


class CountedStreams(UnaryStreamClientInterceptor):  # type: ignore[misc]  # gRPC is untyped
    """Every call that is answered by a stream: its method and its request."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        self.calls.append((method(details), request))
        return await continuation(details, request)


class Losing(UnaryUnaryClientInterceptor):  # type: ignore[misc]  # gRPC is untyped
    """The first `times` calls of a method end with `code`: after they were carried out, or instead of it."""

    def __init__(self, name: str, code: grpc.StatusCode, *, times: int, carried_out: bool) -> None:
        self._name = name
        self._code = code
        self._left = times
        self._carried_out = carried_out
        self.seen = 0

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        if method(details) != self._name:
            return await continuation(details, request)
        self.seen += 1
        if self._left == 0:
            return await continuation(details, request)
        self._left -= 1
        if self._carried_out:
            await (await continuation(details, request))
        raise rpc_error(self._code)
