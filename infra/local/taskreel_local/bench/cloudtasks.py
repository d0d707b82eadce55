"""How fast the local Cloud Tasks is: the service, its callers and the handler each in a process of their own."""

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

from taskreel_local.emulators.cloudtasks.engine import EngineConfig
from taskreel_local.emulators.cloudtasks.messages import Queue, RateLimits
from taskreel_local.emulators.cloudtasks.service import LocalCloudTasks, ServiceConfig

QUEUE = "projects/bench/locations/us-central1/queues/bench"
_BODY = b'{"jobId": "0123456789abcdef", "delivery": 1}'


@dataclass(frozen=True, slots=True)
class CreateLatency:
    """One caller, one call after the other, over gRPC with Google's synchronous client."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """From the first create to the last delivery; the CPU time is the service's alone."""

    tasks: int
    tasks_per_second: float
    service_cpu_ms_per_task: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queue full of tasks that are not due, and how late those are that become due meanwhile."""

    tasks: int
    idle_cpu_percent: float
    late_p50_ms: float
    late_max_ms: float


@dataclass(slots=True)
class Rig:
    """The other processes' ends; each answers a word with a value."""

    service: Connection
    handler: Connection
    rest_port: int
    grpc_port: int
    handler_url: str

    def cpu_s(self) -> float:
        """CPU seconds the service has used."""
        return float(_ask(self.service, "cpu"))

    def arrivals(self) -> list[tuple[str, float]]:
        """Task names and the wall times they reached the handler at."""
        return list(_ask(self.handler, "arrivals"))


def _ask(connection: Connection, word: str) -> Any:
    connection.send(word)
    return connection.recv()


@contextmanager
def rig(*, keep: bool = True) -> Iterator[Rig]:
    """Start service and handler; `keep` has the service write to a SQLite file."""
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
        yield Rig(service, handler, rest_port, grpc_port, f"http://127.0.0.1:{handler.recv()}/run")
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
            await _obey(connection, {"cpu": time.process_time})

    uvloop.run(serve())


class _Handler(asyncio.Protocol):
    """Answers 200 to everything and notes what came when, at a few microseconds a request."""

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
        await _obey(connection, {"arrivals": lambda: arrivals})
        server.close()

    uvloop.run(serve())


async def _obey(connection: Connection, words: dict[str, Callable[[], Any]]) -> None:
    stop = asyncio.Event()

    def read() -> None:
        word = connection.recv()
        if word == "stop":
            stop.set()
        else:
            connection.send(words[word]())

    asyncio.get_running_loop().add_reader(connection.fileno(), read)
    await stop.wait()


def create_latency(count: int = 2000) -> CreateLatency:
    """p50 and p99 of CreateTask over gRPC; the tasks are due in an hour, so nothing else happens."""
    import grpc
    from google.cloud import tasks_v2
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    at = datetime.now(UTC) + timedelta(hours=1)
    with rig() as made, grpc.insecure_channel(f"127.0.0.1:{made.grpc_port}") as channel:
        client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        request = tasks_v2.HttpRequest(url=made.handler_url, body=_BODY)
        task = tasks_v2.Task(http_request=request, schedule_time=at)
        times = []
        for _ in range(count):
            start = time.perf_counter()
            client.create_task(parent=QUEUE, task=task)
            times.append((time.perf_counter() - start) * 1000)
    cuts = statistics.quantiles(times[count // 10 :], n=100)
    return CreateLatency(p50_ms=cuts[49], p99_ms=cuts[98])


def throughput_over_grpc(tasks: int = 5000, callers: int = 32) -> Throughput:
    """Google's asynchronous client, a call a task; most of the time is the client's."""

    async def load(made: Rig) -> None:
        async with _grpc_client(made.grpc_port) as (client, task_of):
            task = task_of(made.handler_url)
            await _by_callers(tasks, callers, lambda _: client.create_task(parent=QUEUE, task=task))

    return _throughput(tasks, load)


def throughput_over_rest(tasks: int = 5000, callers: int = 32) -> Throughput:
    """`tasks:batchCreate` in calls of as many tasks as there are callers: what the embedded adapter makes of them."""

    async def load(made: Rig) -> None:
        async with _rest_client(made.rest_port) as post:
            body = _batch(callers, url=made.handler_url)
            for _ in range(tasks // callers):
                await post(f"/v2/{QUEUE}/tasks:batchCreate", body)

    return _throughput(tasks // callers * callers, load)


def waiting(tasks: int = 100_000, probes: int = 100, idle_s: float = 5.0) -> Waiting:
    """Fill a queue with tasks due in an hour; measure the CPU it takes to wait, then the lateness of `probes`."""
    with rig() as made:
        uvloop.run(_fill(made, tasks))
        time.sleep(2)
        before = made.cpu_s()
        time.sleep(idle_s)
        idle = (made.cpu_s() - before) / idle_s * 100
        due = uvloop.run(_probe(made, probes))
        late = sorted((at - due[name]) * 1000 for name, at in made.arrivals())
    return Waiting(tasks, idle, statistics.median(late), late[-1])


def _throughput(tasks: int, load: Callable[[Rig], Coroutine[Any, Any, None]]) -> Throughput:
    with rig() as made:
        before, start = made.cpu_s(), time.time()
        uvloop.run(load(made))
        while len(arrivals := made.arrivals()) < tasks:
            time.sleep(0.02)
        seconds = max(at for _, at in arrivals) - start
        cpu_ms = (made.cpu_s() - before) * 1000 / tasks
    return Throughput(tasks, tasks / seconds, cpu_ms)


async def _by_callers(
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


def _batch(count: int, url: str, at: str | None = None) -> bytes:
    task: dict[str, Any] = {"httpRequest": {"url": url, "body": base64.b64encode(_BODY).decode()}}
    if at is not None:
        task["scheduleTime"] = at
    return json.dumps({"requests": [{"parent": QUEUE, "task": task}] * count}).encode()


async def _fill(made: Rig, tasks: int) -> None:
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with _rest_client(made.rest_port) as post:
        body = _batch(100, made.handler_url, at)
        for _ in range(tasks // 100):
            await post(f"/v2/{QUEUE}/tasks:batchCreate", body)


async def _probe(made: Rig, probes: int) -> dict[str, float]:
    """Create tasks due 20 ms apart; their names and times, once the last is past."""
    due: dict[str, float] = {}
    first = datetime.now(UTC) + timedelta(seconds=1)
    async with _rest_client(made.rest_port) as post:
        for number in range(probes):
            at = first + timedelta(milliseconds=20 * number)
            body = _batch(1, made.handler_url, at.isoformat())
            answer = await post(f"/v2/{QUEUE}/tasks:batchCreate", body)
            due[answer["response"]["tasks"][0]["name"].rpartition("/")[2]] = at.timestamp()
    await asyncio.sleep(1.5 + 0.02 * probes)
    return due


def main() -> None:
    """Run all and print JSON; a name as argument runs that one."""
    for bench in (create_latency, throughput_over_grpc, throughput_over_rest, waiting):
        if bench.__name__ in sys.argv[1:] or not sys.argv[1:]:
            print(json.dumps({bench.__name__: asdict(bench())}))


if __name__ == "__main__":
    main()
