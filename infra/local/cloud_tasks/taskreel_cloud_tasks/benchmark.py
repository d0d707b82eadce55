"""The speed of the command as it is shipped; callers and handler are other processes.

The queues have Google's default settings, so no queue dispatches more than 500 a second: the
benchmarks use 25 queues. CPU times are read from /proc, so this runs on Linux.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httptools
import uvloop

from taskreel_cloud_tasks.benchmark_callers import (
    BODY,
    QUEUE,
    QUEUES,
    batch_body,
    call_concurrently,
    grpc_calls,
    rest_client,
    run_create_processes,
)


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


@dataclass(frozen=True, slots=True)
class Burst:
    """Tasks that become due in the same second, over all queues."""

    tasks: int
    first_delivery_s: float
    last_delivery_s: float
    service_cpu_s: float


@dataclass(frozen=True, slots=True)
class Restart:
    """A start with tasks in the file."""

    tasks: int
    seconds: float
    service_cpu_s: float


@dataclass(slots=True)
class BenchRig:
    """The service, and a connection to the handler's process, which answers commands."""

    service: subprocess.Popen[str]
    handler: Connection
    rest_port: int
    grpc_port: int
    handler_url: str

    def cpu_s(self) -> float:
        """Return the CPU seconds used by the service."""
        return _read_cpu_s(self.service.pid)

    def count_arrivals(self) -> tuple[int, float, float]:
        """Return the number of arrivals, and the wall times of the first and the last."""
        count, first, last = _query(self.handler, "count")
        return int(count), float(first), float(last)

    def list_arrivals(self) -> list[tuple[str, float]]:
        """Return task names and the wall times of their arrival at the handler."""
        return list(_query(self.handler, "arrivals"))


def _read_cpu_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _query(connection: Connection, word: str) -> Any:
    connection.send(word)
    return connection.recv()


@contextmanager
def start_rig(data: Path | None = None, *, in_memory: bool = False) -> Iterator[BenchRig]:
    """Start the command and a handler; the command writes to `data`, or to a temporary file."""
    spawn = multiprocessing.get_context("spawn")
    handler, handler_end = spawn.Pipe()
    process = spawn.Process(target=_handler_process, args=(handler_end,))
    process.start()
    with tempfile.TemporaryDirectory() as folder:
        file = data or Path(folder, "tasks.db")
        command = [sys.executable, "-m", "taskreel_cloud_tasks", "--port", "0"]
        command += [] if in_memory else ["--data", str(file)]
        for queue in QUEUES:
            command += ["--queue", queue]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:  # noqa: S603
            assert service.stdout is not None  # noqa: S101
            ports = re.findall(r":(\d+)", service.stdout.readline())
            url = f"http://127.0.0.1:{handler.recv()}/run"
            yield BenchRig(service, handler, int(ports[1]), int(ports[0]), url)
            service.terminate()
            service.communicate(timeout=30)
    handler.send("stop")
    process.join(10)


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


def _count(arrivals: list[tuple[str, float]]) -> tuple[int, float, float]:
    times = [at for _, at in arrivals]
    return len(times), min(times, default=0.0), max(times, default=0.0)


def _handler_process(connection: Connection) -> None:
    arrivals: list[tuple[str, float]] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Handler(arrivals), "127.0.0.1", 0)
        connection.send(server.sockets[0].getsockname()[1])
        await _serve_commands(
            connection, {"arrivals": lambda: arrivals, "count": lambda: _count(arrivals)}
        )
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
        request = tasks_v2.HttpRequest(url=rig.handler_url, body=BODY)
        task = tasks_v2.Task(http_request=request, schedule_time=at)
        times = []
        for _ in range(count):
            start = time.perf_counter()
            client.create_task(parent=QUEUE, task=task)
            times.append((time.perf_counter() - start) * 1000)
    cuts = statistics.quantiles(times[count // 10 :], n=100)
    return CreateLatency(p50_ms=cuts[49], p99_ms=cuts[98])


def measure_grpc_throughput(tasks: int = 5000, callers: int = 32) -> Throughput:
    """Create tasks one by one over gRPC, and deliver them."""

    async def load(rig: BenchRig) -> None:
        async with grpc_calls(rig.grpc_port) as create:
            await call_concurrently(
                tasks,
                callers,
                lambda number: create(QUEUES[number % len(QUEUES)], rig.handler_url, None),
            )

    return _measure_throughput(tasks, load)


def measure_grpc_creates(tasks: int = 10_000, callers: int = 32) -> Throughput:
    """Create tasks one by one over gRPC, in memory; they are due in an hour."""
    with start_rig(in_memory=True) as rig:
        return _measure_calls(rig.service.pid, rig.grpc_port, tasks, callers)


def measure_grpc_floor(tasks: int = 10_000, callers: int = 32) -> Throughput:
    """Answer the same calls with their own bytes, in the same gRPC server: what cannot be saved."""
    spawn = multiprocessing.get_context("spawn")
    parent, child = spawn.Pipe()
    process = spawn.Process(target=_echo_process, args=(child,))
    process.start()
    assert process.pid is not None  # noqa: S101 - it was started
    try:
        return _measure_calls(process.pid, parent.recv(), tasks, callers)
    finally:
        parent.send("stop")
        process.join(10)


def _measure_calls(server: int, port: int, tasks: int, callers: int) -> Throughput:
    later = int(time.time()) + 3600
    run_create_processes(tasks // 10, callers, port, later)  # the first calls cost more
    before, start = _read_cpu_s(server), time.time()
    run_create_processes(tasks, callers, port, later)
    seconds, cpu_ms = time.time() - start, (_read_cpu_s(server) - before) * 1000 / tasks
    return Throughput(tasks, tasks / seconds, cpu_ms)


def _echo_process(connection: Connection) -> None:
    import grpc
    import grpc.aio

    async def echo(data: bytes, _context: Any) -> bytes:
        return data

    async def serve() -> None:
        server = grpc.aio.server()
        method: Any = grpc.unary_unary_rpc_method_handler(echo)
        service = "google.cloud.tasks.v2.CloudTasks"
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"CreateTask": method}),)
        )
        connection.send(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        await _serve_commands(connection, {})
        await server.stop(grace=None)

    uvloop.run(serve())


def measure_rest_throughput(tasks: int = 5000, batch: int = 32) -> Throughput:
    """Create tasks with `tasks:batchCreate`, and deliver them."""

    async def load(rig: BenchRig) -> None:
        async with rest_client(rig.rest_port) as post:
            for number in range(tasks // batch):
                queue = QUEUES[number % len(QUEUES)]
                body = batch_body(batch, rig.handler_url, queue=queue)
                await post(f"/v2/{queue}/tasks:batchCreate", body)

    return _measure_throughput(tasks // batch * batch, load)


def measure_burst(tasks: int = 10_000) -> Burst:
    """Deliver tasks that all become due in the same second."""
    with start_rig(in_memory=True) as rig:
        due = int(time.time()) + 8
        at = datetime.fromtimestamp(due, UTC).isoformat()
        uvloop.run(_fill_queues(rig, tasks, at, QUEUES))
        assert time.time() < due, "the machine is too slow: the tasks are due already"  # noqa: S101
        before = rig.cpu_s()
        while (found := rig.count_arrivals())[0] < tasks:
            time.sleep(0.2)
        cpu_s = rig.cpu_s() - before
    return Burst(tasks, found[1] - due, found[2] - due, cpu_s)


def measure_restart(tasks: int = 125_000) -> Restart:
    """Kill the service with tasks in its file; measure the next start until it listens."""
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "tasks.db")
        with start_rig(data) as rig:
            uvloop.run(_fill_queues(rig, tasks, at, QUEUES))
            rig.service.kill()
        start = time.time()
        with start_rig(data) as rig:
            return Restart(tasks, time.time() - start, rig.cpu_s())


def measure_waiting(tasks: int = 100_000, probes: int = 100, idle_s: float = 5.0) -> Waiting:
    """Fill a queue with tasks due in an hour; measure idle CPU, then the lateness of `probes`."""
    with start_rig() as rig:
        at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        uvloop.run(_fill_queues(rig, tasks, at, [QUEUE]))
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
        while (found := rig.count_arrivals())[0] < tasks:
            time.sleep(0.1)
        seconds = found[2] - start
        cpu_ms = (rig.cpu_s() - before) * 1000 / tasks
    return Throughput(tasks, tasks / seconds, cpu_ms)


async def _fill_queues(rig: BenchRig, tasks: int, at: str, queues: list[str]) -> None:
    async with rest_client(rig.rest_port) as post:
        for number in range(tasks // 100):
            queue = queues[number % len(queues)]
            body = batch_body(100, rig.handler_url, at, queue)
            await post(f"/v2/{queue}/tasks:batchCreate", body)


async def _create_probes(rig: BenchRig, probes: int) -> dict[str, float]:
    """Create tasks due 20 ms apart; return their names and due times after the last is due."""
    due: dict[str, float] = {}
    first = datetime.now(UTC) + timedelta(seconds=1)
    async with rest_client(rig.rest_port) as post:
        for number in range(probes):
            at = first + timedelta(milliseconds=20 * number)
            body = batch_body(1, rig.handler_url, at.isoformat())
            answer = await post(f"/v2/{QUEUE}/tasks:batchCreate", body)
            due[answer["response"]["tasks"][0]["name"].rpartition("/")[2]] = at.timestamp()
    await asyncio.sleep(1.5 + 0.02 * probes)
    return due


def main() -> None:
    """Run all benchmarks, or those named as arguments, and print JSON."""
    for bench in (
        measure_create_latency,
        measure_grpc_creates,
        measure_grpc_floor,
        measure_grpc_throughput,
        measure_rest_throughput,
        measure_burst,
        measure_restart,
        measure_waiting,
    ):
        if bench.__name__ in sys.argv[1:] or not sys.argv[1:]:
            print(json.dumps({bench.__name__: asdict(bench())}))


if __name__ == "__main__":
    main()
