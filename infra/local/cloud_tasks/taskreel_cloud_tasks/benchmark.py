"""The speed of the Cloud Tasks emulator: service, callers and handler in separate processes."""

from __future__ import annotations

import asyncio
import base64
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httptools
import uvloop

from taskreel_cloud_tasks.engine import EngineConfig
from taskreel_cloud_tasks.messages import Queue, RateLimits
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

QUEUE = "projects/bench/locations/us-central1/queues/bench"
_BODY = b'{"jobId": "0123456789abcdef", "delivery": 1}'


@dataclass(frozen=True, slots=True)
class CreateLatency:
    """Latency of one synchronous caller over gRPC, in milliseconds."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """Throughput from the first create to the last delivery, and the service's CPU time."""

    tasks: int
    tasks_per_second: float
    service_cpu_ms_per_task: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """CPU use of a queue full of tasks that are not due, and the lateness of due tasks."""

    tasks: int
    idle_cpu_percent: float
    late_p50_ms: float
    late_max_ms: float


@dataclass(slots=True)
class BenchRig:
    """Connections to the service and handler processes; each answers a command with a value."""

    service: Connection
    handler: Connection
    rest_port: int
    grpc_port: int
    handler_url: str

    def cpu_s(self) -> float:
        """Return the CPU seconds used by the service."""
        return float(_query(self.service, "cpu"))

    def list_arrivals(self) -> list[tuple[str, float]]:
        """Return task names and the wall times of their arrival at the handler."""
        return list(_query(self.handler, "arrivals"))


def _query(connection: Connection, word: str) -> Any:
    connection.send(word)
    return connection.recv()


@contextmanager
def start_rig(*, keep: bool = True) -> Iterator[BenchRig]:
    """Start service and handler; with `keep` the service writes to a SQLite file."""
    spawn = multiprocessing.get_context("spawn")
    service, service_end = spawn.Pipe()
    handler, handler_end = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "tasks.db") if keep else None
        processes = [
            spawn.Process(target=_service_process, args=(service_end, data)),
            spawn.Process(target=_handler_process, args=(handler_end,)),
        ]
        for process in processes:
            process.start()
        rest_port, grpc_port = service.recv()
        yield BenchRig(
            service, handler, rest_port, grpc_port, f"http://127.0.0.1:{handler.recv()}/run"
        )
        for connection, process in zip((service, handler), processes, strict=True):
            connection.send("stop")
            process.join(10)


def _service_process(connection: Connection, data: Path | None) -> None:
    limits = RateLimits(max_concurrent_dispatches=1000)
    config = ServiceConfig(
        grpc_port=0,
        data=data,
        queues=[Queue(name=QUEUE, rate_limits=limits)],
        engine=EngineConfig(unthrottled=True),
        grace_s=0,
    )

    async def serve() -> None:
        async with LocalCloudTasks(config) as service:
            connection.send((service.rest_port, service.grpc_port))
            await _serve_commands(connection, {"cpu": time.process_time})

    uvloop.run(serve())


class _Handler(asyncio.Protocol):
    """An HTTP handler that answers 200 and records arrivals, at a few microseconds a request."""

    def __init__(self, arrivals: list[tuple[str, float]]) -> None:
        self._arrivals = arrivals
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a server's transports write

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-cloudtasks-taskname":
            self._arrivals.append((value.decode(), time.time()))

    def on_message_complete(self) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def _handler_process(connection: Connection) -> None:
    arrivals: list[tuple[str, float]] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Handler(arrivals), "127.0.0.1", 0)
        connection.send(server.sockets[0].getsockname()[1])
        await _serve_commands(connection, {"arrivals": lambda: arrivals})
        server.close()

    uvloop.run(serve())


async def _serve_commands(connection: Connection, words: dict[str, Callable[[], Any]]) -> None:
    stop = asyncio.Event()

    def read() -> None:
        word = connection.recv()
        if word == "stop":
            stop.set()
        else:
            connection.send(words[word]())

    asyncio.get_running_loop().add_reader(connection.fileno(), read)
    await stop.wait()


def measure_create_latency(count: int = 2000) -> CreateLatency:
    """Measure CreateTask over gRPC; the tasks are due in an hour, so nothing is dispatched."""
    import grpc
    from google.cloud import tasks_v2
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    at = datetime.now(UTC) + timedelta(hours=1)
    with start_rig() as rig, grpc.insecure_channel(f"127.0.0.1:{rig.grpc_port}") as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        request = tasks_v2.HttpRequest(url=rig.handler_url, body=_BODY)
        task = tasks_v2.Task(http_request=request, schedule_time=at)
        times = []
        for _ in range(count):
            start = time.perf_counter()
            client.create_task(parent=QUEUE, task=task)
            times.append((time.perf_counter() - start) * 1000)
    cuts = statistics.quantiles(times[count // 10 :], n=100)
    return CreateLatency(p50_ms=cuts[49], p99_ms=cuts[98])


def measure_grpc_throughput(tasks: int = 5000, callers: int = 32) -> Throughput:
    """Create tasks one by one with Google's async client, which takes most of the time."""

    async def load(rig: BenchRig) -> None:
        async with _grpc_client(rig.grpc_port) as (client, task_of):
            task = task_of(rig.handler_url)
            await _call_concurrently(
                tasks, callers, lambda _: client.create_task(parent=QUEUE, task=task)
            )

    return _measure_throughput(tasks, load)


def measure_rest_throughput(tasks: int = 5000, callers: int = 32) -> Throughput:
    """Create tasks with `tasks:batchCreate`, `callers` tasks a call, as the dev stack does."""

    async def load(rig: BenchRig) -> None:
        async with _rest_client(rig.rest_port) as post:
            body = _batch_body(callers, url=rig.handler_url)
            for _ in range(tasks // callers):
                await post(f"/v2/{QUEUE}/tasks:batchCreate", body)

    return _measure_throughput(tasks // callers * callers, load)


def measure_waiting(tasks: int = 100_000, probes: int = 100, idle_s: float = 5.0) -> Waiting:
    """Fill a queue with tasks due in an hour; measure idle CPU, then the lateness of `probes`."""
    with start_rig() as rig:
        uvloop.run(_fill_queue(rig, tasks))
        time.sleep(2)
        before = rig.cpu_s()
        time.sleep(idle_s)
        idle = (rig.cpu_s() - before) / idle_s * 100
        due = uvloop.run(_create_probes(rig, probes))
        late = sorted((at - due[name]) * 1000 for name, at in rig.list_arrivals())
    return Waiting(tasks, idle, statistics.median(late), late[-1])


def _measure_throughput(
    tasks: int, load: Callable[[BenchRig], Coroutine[Any, Any, None]]
) -> Throughput:
    with start_rig() as rig:
        before, start = rig.cpu_s(), time.time()
        uvloop.run(load(rig))
        while len(arrivals := rig.list_arrivals()) < tasks:
            time.sleep(0.02)
        seconds = max(at for _, at in arrivals) - start
        cpu_ms = (rig.cpu_s() - before) * 1000 / tasks
    return Throughput(tasks, tasks / seconds, cpu_ms)


async def _call_concurrently(
    count: int, callers: int, call: Callable[[int], Coroutine[Any, Any, Any]]
) -> None:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(caller() for _ in range(callers)))


@asynccontextmanager
async def _grpc_client(port: int) -> AsyncIterator[tuple[Any, Callable[[str], Any]]]:
    import grpc.aio
    from google.cloud import tasks_v2
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        client = tasks_v2.CloudTasksAsyncClient(
            transport=CloudTasksGrpcAsyncIOTransport(channel=channel)
        )
        yield (
            client,
            lambda url: tasks_v2.Task(http_request=tasks_v2.HttpRequest(url=url, body=_BODY)),
        )


@asynccontextmanager
async def _rest_client(
    port: int,
) -> AsyncIterator[Callable[[str, bytes], Coroutine[Any, Any, Any]]]:
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


def _batch_body(count: int, url: str, at: str | None = None) -> bytes:
    task: dict[str, Any] = {"httpRequest": {"url": url, "body": base64.b64encode(_BODY).decode()}}
    if at is not None:
        task["scheduleTime"] = at
    return json.dumps({"requests": [{"parent": QUEUE, "task": task}] * count}).encode()


async def _fill_queue(rig: BenchRig, tasks: int) -> None:
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with _rest_client(rig.rest_port) as post:
        body = _batch_body(100, rig.handler_url, at)
        for _ in range(tasks // 100):
            await post(f"/v2/{QUEUE}/tasks:batchCreate", body)


async def _create_probes(rig: BenchRig, probes: int) -> dict[str, float]:
    """Create tasks due 20 ms apart; return their names and due times after the last is due."""
    due: dict[str, float] = {}
    first = datetime.now(UTC) + timedelta(seconds=1)
    async with _rest_client(rig.rest_port) as post:
        for number in range(probes):
            at = first + timedelta(milliseconds=20 * number)
            body = _batch_body(1, rig.handler_url, at.isoformat())
            answer = await post(f"/v2/{QUEUE}/tasks:batchCreate", body)
            due[answer["response"]["tasks"][0]["name"].rpartition("/")[2]] = at.timestamp()
    await asyncio.sleep(1.5 + 0.02 * probes)
    return due


def main() -> None:
    """Run all benchmarks, or those named as arguments, and print JSON."""
    for bench in (
        measure_create_latency,
        measure_grpc_throughput,
        measure_rest_throughput,
        measure_waiting,
    ):
        if bench.__name__ in sys.argv[1:] or not sys.argv[1:]:
            print(json.dumps({bench.__name__: asdict(bench())}))


if __name__ == "__main__":
    main()
