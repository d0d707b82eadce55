"""A Cloud Tasks emulator on its own thread, and Google's clients with one calling convention."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import grpc.aio
import httpx
from google.auth.credentials import AnonymousCredentials
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import (
    CloudTasksGrpcAsyncIOTransport,
    CloudTasksGrpcTransport,
    CloudTasksRestTransport,
)

from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

T = TypeVar("T")


class LoopThread:
    """An event loop on its own thread, apart from the test's."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@dataclass
class Remote:
    """The service, and its control API as a test in any language would call it."""

    service: LocalCloudTasks
    thread: LoopThread
    control: httpx.Client

    def ask(self, verb: str, path: str, body: object = None, **query: str) -> Any:
        answer = self.control.request(verb, f"/control/{path}", json=body, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def advance(self, seconds: float) -> None:
        self.ask("POST", "advance", {"by": f"{seconds:g}s"})


def start(config: ServiceConfig) -> Remote:
    thread = LoopThread()
    service = LocalCloudTasks(config)
    thread.run(service.__aenter__())
    return Remote(service, thread, httpx.Client(base_url=service.rest_url, timeout=30))


def stop(remote: Remote) -> None:
    remote.control.close()
    remote.thread.run(remote.service.__aexit__(None, None, None))
    remote.thread.close()


class SyncClient:
    """A synchronous client; lists are returned complete."""

    def __init__(self, client: tasks_v2.CloudTasksClient, close: Callable[[], None]) -> None:
        self._client = client
        self.close = close

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            listed = isinstance(result, Iterable) and name in {"list_queues", "list_tasks"}
            return list(result) if listed else result

        return call


class AsyncClient:
    """The asynchronous client, called from synchronous tests."""

    def __init__(self, port: int) -> None:
        self._thread = LoopThread()
        self._channel: Any = None
        self._client = self._thread.run(self._connect(port))

    async def _connect(self, port: int) -> tasks_v2.CloudTasksAsyncClient:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        return tasks_v2.CloudTasksAsyncClient(
            transport=CloudTasksGrpcAsyncIOTransport(channel=self._channel)
        )

    def close(self) -> None:
        self._thread.run(self._channel.close())
        self._thread.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            return [item async for item in result] if isinstance(result, AsyncIterable) else result

        return lambda *args, **kwargs: self._thread.run(call(*args, **kwargs))


def connect(kind: str, remote: Remote) -> Any:
    """One of `grpc`, `grpc-async` and `rest`, made as infra/local/cloud_tasks/README.md says."""
    if kind == "grpc-async":
        return AsyncClient(remote.service.grpc_port or 0)
    if kind == "grpc":
        channel = grpc.insecure_channel(f"127.0.0.1:{remote.service.grpc_port}")
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        return SyncClient(client, channel.close)
    transport = CloudTasksRestTransport(
        host=f"127.0.0.1:{remote.service.rest_port}",
        url_scheme="http",
        credentials=AnonymousCredentials(),
    )
    return SyncClient(tasks_v2.CloudTasksClient(transport=transport), transport.close)
