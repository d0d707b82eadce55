"""A machine that runs out of descriptors or ports loses no task and counts no attempt."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cloudtasks.worker import QUEUE, Bench, make_bench
from taskreel_cloud_tasks.delivery_history import EventKind, OutgoingRequest
from taskreel_cloud_tasks.dispatch_slots import DispatchSlots
from taskreel_cloud_tasks.file_descriptors import is_own_shortage
from taskreel_cloud_tasks.http_client import HttpClient, SendError, ShortageError
from taskreel_cloud_tasks.messages import RetryConfig, State

ROOT = Path(__file__).parents[2]
SHORTAGE = ShortageError("cannot connect to 127.0.0.1:80: [Errno 24] Too many open files")

#: A service with 100 descriptors in a process of its own, 300 tasks of one attempt each, a handler
#: (in the parent) that takes a while, and callers that go on meanwhile.
SERVICE = """
import asyncio, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
from taskreel_cloud_tasks import dispatch_slots
from taskreel_cloud_tasks.messages import HttpRequest, Queue, RetryConfig, Task
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig

QUEUES = [f"projects/demo/locations/us-central1/queues/q{number}" for number in range(2)]
url, bounded = sys.argv[1:]

async def main():
    once = RetryConfig(max_attempts=1)
    queues = [Queue(name=name, retry_config=once) for name in QUEUES]
    async with LocalCloudTasks(ServiceConfig(queues=queues)) as service:
        if bounded == "no":
            service.engine._context.slots._limit = lambda: sys.maxsize
        for number in range(300):
            request = HttpRequest(url=url)
            await service.engine.create_task(QUEUES[number % 2], Task(http_request=request))
        if bounded == "yes":
            await asyncio.sleep(0.3)
            reader, writer = await asyncio.open_connection("127.0.0.1", service.rest_port)
            writer.write(b"GET /control/time HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
            print((await reader.readline()).decode().strip())
            writer.close()
        else:
            while all(event.kind != "postponed" for event in service.engine.history.events):
                await asyncio.sleep(0.01)
            print("short", flush=True)
        await asyncio.wait_for(service.engine.wait_idle(), 60)
    kinds = [event.kind for event in service.engine.history.events]
    print(kinds.count("postponed"), kinds.count("failed"), kinds.count("exhausted"))

asyncio.run(main())
"""


@asynccontextmanager
async def slow_handler(
    enough: asyncio.Event | None = None,
) -> AsyncIterator[tuple[str, list[str]]]:
    """A handler that takes a while for each task, and before that until there are `enough`."""
    seen: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen.append(head.partition("X-CloudTasks-TaskName: ")[2].partition("\r")[0])
        if enough is not None:
            await enough.wait()
        await asyncio.sleep(0.5)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", seen


async def run_service(bounded: str) -> tuple[list[str], list[str]]:
    enough = asyncio.Event()
    if bounded == "yes":
        enough.set()
    async with slow_handler(enough) as (url, seen):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SERVICE, url, bounded),
            cwd=ROOT / "infra/local/cloud_tasks",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        first = await process.stdout.readline()
        enough.set()
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return seen, (first + out).decode().split("\n")


async def test_tasks_that_outnumber_the_descriptors_all_reach_their_handler_once() -> None:
    seen, (status, counts, _) = await run_service("yes")
    assert len(set(seen)) == len(seen) == 300
    assert status == "HTTP/1.1 200 OK"  # callers are served while all slots are taken
    assert counts == "0 0 0"


async def test_descriptors_that_run_out_all_the_same_count_no_attempt() -> None:
    # No task is answered before the descriptors have run out, however slow the machine is.
    seen, (short, counts, _) = await run_service("no")
    assert short == "short"
    postponed, failed, exhausted = map(int, counts.split())
    assert len(set(seen)) == len(seen) == 300
    assert postponed > 0
    assert (failed, exhausted) == (0, 0)


async def test_an_attempt_that_a_shortage_ended_leaves_no_trace_in_the_task(bench: Bench) -> None:
    bench.worker.answers.extend([SHORTAGE, SHORTAGE, 500, SHORTAGE, 200])
    name = await bench.create(retry_config=RetryConfig(max_attempts=2))
    await bench.engine.run_due_work()
    entry = bench.engine.get_task(name)
    assert (entry.dispatches, entry.first_dispatch, entry.last_dispatch) == (0, None, None)
    await bench.advance(60)
    assert bench.engine.is_idle()
    counts = bench.worker.header("X-CloudTasks-TaskRetryCount")
    assert counts == ["0", "0", "0", "1", "1"]
    kinds = [event.kind for event in bench.engine.history.events]
    assert kinds.count(EventKind.POSTPONED) == 3
    assert kinds[-1] is EventKind.SUCCEEDED


async def test_a_run_task_of_a_paused_queue_is_repeated_after_a_shortage(bench: Bench) -> None:
    await bench.engine.pause_queue(QUEUE)
    name = await bench.create()
    bench.worker.answers.append(SHORTAGE)
    bench.engine.run_task(name)
    await bench.advance(2)
    assert bench.engine.get_queue(QUEUE).state is State.PAUSED
    assert (bench.engine.is_idle(), len(bench.worker.sent)) == (True, 2)


async def test_a_task_deleted_while_a_shortage_ends_its_attempt_stays_deleted(bench: Bench) -> None:
    bench.worker.hold = asyncio.Event()
    bench.worker.answers.append(SHORTAGE)
    name = await bench.create()
    await bench.engine.run_due_work(0.01)
    await bench.engine.delete_task(name)
    bench.worker.hold.set()
    await bench.advance(5)
    assert (bench.engine.is_idle(), len(bench.worker.sent)) == (True, 1)


async def test_slots_that_are_taken_go_to_the_queue_that_waits_longest() -> None:
    bench = await make_bench()
    limit = [2]
    slots = DispatchSlots(bench.engine.clock, lambda: limit[0])
    called: list[str] = []
    first, second = (lambda: called.append("first")), (lambda: called.append("second"))
    slots.take()
    slots.take()
    assert not slots.has_free_slot(first)
    assert not slots.has_free_slot(second)
    assert not slots.has_free_slot(first)
    slots.free()
    assert called == ["first", "second"]
    assert slots.has_free_slot(first)


async def test_reset_frees_the_slots_of_the_attempts_it_cancels(bench: Bench) -> None:
    bench.worker.hold = asyncio.Event()
    await bench.create()
    await bench.engine.run_due_work(0.01)
    await bench.create()  # started, but cancelled before its first step
    bench.engine.get_dispatcher(QUEUE)._dispatch_due_tasks()
    assert bench.engine._context.slots._used == 2
    await bench.engine.reset()
    await asyncio.sleep(0)
    assert bench.engine._context.slots._used == 0


@pytest.mark.parametrize(
    ("error", "reachable", "expected"),
    [
        (OSError(errno.EMFILE, "Too many open files"), False, True),
        (OSError(errno.ENFILE, "Too many open files in system"), False, True),
        (OSError(errno.ENOBUFS, "No buffer space available"), False, True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), False, True),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), True, True),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), False, False),
        (OSError(errno.ECONNREFUSED, "Connection refused"), True, False),
        (OSError("Multiple exceptions: [Errno 111] refused, [Errno 111] refused"), True, False),
    ],
)
def test_only_errors_of_this_machine_are_shortages(
    error: OSError, *, reachable: bool, expected: bool
) -> None:
    assert is_own_shortage(error, reachable=reachable) is expected


async def test_an_address_that_cannot_be_assigned_is_a_failure_unless_it_was_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with slow_handler() as (url, _):
        client = HttpClient()
        request = OutgoingRequest("POST", url, (), b"")

        async def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patched:
            patched.setattr(loop, "create_connection", refuse)
            with pytest.raises(SendError) as failed:
                await client.send(request)
        assert not isinstance(failed.value, ShortageError)
        assert (await client.send(request)).status == 200
        monkeypatch.setattr(loop, "create_connection", refuse)
        with pytest.raises(ShortageError):
            await client.send(request)
        await client.close()


def test_the_command_raises_the_limit_to_what_the_system_allows() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512));"
        "from taskreel_cloud_tasks.file_descriptors import raise_limit;"
        "raise_limit(); print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "infra/local/cloud_tasks",
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "(512, 512)"
