"""The callers of the benchmarks: prepared requests over gRPC and REST.

Google's client would be most of what is measured, so it is omitted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import uvloop

QUEUES = [f"projects/bench/locations/us-central1/queues/q{number}" for number in range(25)]
QUEUE = QUEUES[0]
BODY = b'{"jobId": "0123456789abcdef", "delivery": 1}'


def run_create_processes(tasks: int, callers: int, port: int, later: int) -> None:
    """Create tasks that are due at `later`, from two processes; return when all are created."""
    spawn = multiprocessing.get_context("spawn")
    share = (tasks // 2, callers // 2, port, later)
    processes = [spawn.Process(target=_create_process, args=share) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _create_process(tasks: int, callers: int, port: int, later: int) -> None:
    async def load() -> None:
        async with grpc_calls(port) as create:
            await call_concurrently(
                tasks, callers, lambda _: create(QUEUE, "http://127.0.0.1:9/run", later)
            )

    uvloop.run(load())


async def call_concurrently(
    count: int, callers: int, call: Callable[[int], Coroutine[Any, Any, Any]]
) -> None:
    """Make `count` calls, numbered, from so many callers at a time."""
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(caller() for _ in range(callers)))


@asynccontextmanager
async def grpc_calls(port: int) -> AsyncIterator[Callable[..., Coroutine[Any, Any, Any]]]:
    """Yield a call of CreateTask with prepared bytes: Google's client would be what is measured."""
    import grpc.aio
    from google.cloud import tasks_v2
    from google.protobuf import timestamp_pb2

    prepared: dict[tuple[str, str, int | None], bytes] = {}

    def prepare(queue: str, url: str, at: int | None) -> bytes:
        request = tasks_v2.HttpRequest(url=url, body=BODY)
        task = tasks_v2.Task(http_request=request)
        if at is not None:
            task.schedule_time = timestamp_pb2.Timestamp(seconds=at)
        made = tasks_v2.CreateTaskRequest(parent=queue, task=task)
        return bytes(tasks_v2.CreateTaskRequest.serialize(made))

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary("/google.cloud.tasks.v2.CloudTasks/CreateTask")

        async def create(queue: str, url: str, at: int | None) -> Any:
            key = (queue, url, at)
            if key not in prepared:
                prepared[key] = prepare(*key)
            return await method(prepared[key], timeout=20)

        yield create


@asynccontextmanager
async def rest_client(
    port: int,
) -> AsyncIterator[Callable[[str, bytes], Coroutine[Any, Any, Any]]]:
    """Yield a POST of one connection that stays open; it returns the JSON of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def post(path: str, body: bytes) -> Any:
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: local\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        return json.loads(await reader.readexactly(length))

    yield post
    writer.close()
    await writer.wait_closed()


def batch_body(count: int, url: str, at: str | None = None, queue: str = QUEUE) -> bytes:
    """Return the JSON of a BatchCreateTasks of equal tasks."""
    task: dict[str, Any] = {"httpRequest": {"url": url, "body": base64.b64encode(BODY).decode()}}
    if at is not None:
        task["scheduleTime"] = at
    return json.dumps({"requests": [{"parent": queue, "task": task}] * count}).encode()
