"""Persistence in the SQLite file, over a close and over kill -9."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from cloudtasks.worker import LOCATION, QUEUE, Bench, Worker, http_task, make_bench
from taskreel_cloud_tasks.api_errors import ApiError, Code
from taskreel_cloud_tasks.clock import SECOND, VirtualClock
from taskreel_cloud_tasks.engine import Engine
from taskreel_cloud_tasks.journal import SqliteJournal
from taskreel_cloud_tasks.messages import (
    HttpRequest,
    OidcToken,
    Queue,
    RetryConfig,
    State,
)
from taskreel_cloud_tasks.service import LocalCloudTasks, ServiceConfig
from taskreel_cloud_tasks.tombstones import Tombstones

ROOT = Path(__file__).parents[2]


async def reopened(bench: Bench, path: Path) -> Bench:
    """The same file in a new engine, at the same virtual time."""
    await bench.engine.close(0)
    return await make_bench(
        journal=SqliteJournal(path), clock=VirtualClock(bench.engine.clock.now())
    )


@pytest.fixture
async def stored(tmp_path: Path) -> Bench:
    return await make_bench(journal=SqliteJournal(tmp_path / "tasks.db"))


async def test_queues_tasks_counters_and_names_are_stored(stored: Bench, tmp_path: Path) -> None:
    engine = stored.engine
    await engine.update_queue(Queue(name=QUEUE, retry_config=RetryConfig(min_backoff=60 * SECOND)))
    request = HttpRequest(
        url="http://worker.test/",
        body=b"\x00\xff",
        oidc_token=OidcToken(service_account_email="a@b"),
    )
    stored.worker.answers.append(404)
    name = await stored.create(
        http_request=request, retry_config=RetryConfig(max_attempts=7, min_backoff=60 * SECOND)
    )
    await stored.create(name=f"{QUEUE}/tasks/done")
    await stored.advance(1)
    await engine.pause_queue(QUEUE)
    before = engine.get_task(name)
    again = await reopened(stored, tmp_path / "tasks.db")
    after = again.engine.get_task(name)
    assert again.engine.get_queue(QUEUE) == engine.get_queue(QUEUE)
    assert again.engine.get_queue(QUEUE).state is State.PAUSED
    for field in (
        "request",
        "retry",
        "dispatches",
        "executions",
        "failures",
        "previous_status",
        "first_dispatch",
        "last_status",
    ):
        assert getattr(after, field) == getattr(before, field)
    with pytest.raises(ApiError, match="already exists"):
        await again.create(name=f"{QUEUE}/tasks/done")
    await again.engine.close(0)


async def test_what_was_deleted_or_finished_does_not_come_back(
    stored: Bench, tmp_path: Path
) -> None:
    await stored.create()
    await stored.advance(1)
    later = stored.engine.clock.now() + 3600 * SECOND
    await stored.engine.delete_task(await stored.create(schedule_time=later))
    await stored.engine.create_queue(LOCATION, Queue(name=f"{QUEUE}2"))
    await stored.engine.delete_queue(f"{QUEUE}2")
    again = await reopened(stored, tmp_path / "tasks.db")
    assert again.engine.is_idle()
    assert [queue.name for queue in again.engine.list_queues(LOCATION)] == [QUEUE]
    with pytest.raises(ApiError, match="existed too recently"):
        await again.engine.create_queue(LOCATION, Queue(name=f"{QUEUE}2"))
    await again.engine.close(0)


async def test_a_dispatch_cut_off_is_made_again_as_the_same_attempt(
    stored: Bench, tmp_path: Path
) -> None:
    stored.worker.hold = asyncio.Event()
    await stored.create()
    await stored.advance(0)
    assert stored.worker.running == 1
    again = await reopened(stored, tmp_path / "tasks.db")
    await again.advance(0)
    assert again.worker.header("X-CloudTasks-TaskRetryCount") == ["0"]
    await again.engine.close(0)


async def test_a_reset_empties_the_file_too(stored: Bench, tmp_path: Path) -> None:
    await stored.engine.pause_queue(QUEUE)
    await stored.create()
    await stored.engine.reset()
    await stored.engine.close(0)
    saved = SqliteJournal(tmp_path / "tasks.db").load(0)
    assert (saved.queues, saved.tasks, saved.tombstones) == ({}, [], {})


async def test_many_creates_at_once_share_a_commit(stored: Bench) -> None:
    await stored.engine.pause_queue(QUEUE)
    commits = 0
    journal = stored.engine.journal
    assert isinstance(journal, SqliteJournal)

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    journal._db.set_trace_callback(count)
    await asyncio.gather(*(stored.engine.create_task(QUEUE, http_task()) for _ in range(500)))
    assert commits == 1
    await stored.engine.close(0)


@asynccontextmanager
async def process(data: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    code = "from taskreel_cloud_tasks.command import cloud_tasks; cloud_tasks()"
    options = ["--data", str(data), "--rest-port", str(port), "--grpc-port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "infra/local"), "PYTHONUNBUFFERED": "1"}
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *options, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert running.stdout is not None
    assert b"Cloud Tasks listens on" in await running.stdout.readline()
    yield running
    if running.returncode is None:
        running.send_signal(signal.SIGTERM)
    await running.wait()


async def test_after_kill_9_the_command_goes_on_where_it_stopped(
    tmp_path: Path, worker: Worker, unused_tcp_port: int
) -> None:
    data, base = tmp_path / "data" / "tasks.db", f"http://127.0.0.1:{unused_tcp_port}/v2"
    body = {"task": {"httpRequest": {"url": f"{worker.url}/run"}}}
    async with httpx.AsyncClient() as client:
        async with process(data, unused_tcp_port) as first:
            await client.post(f"{base}/{LOCATION}/queues", json={"name": QUEUE})
            await client.post(f"{base}/{QUEUE}:pause")
            for _ in range(20):
                assert (await client.post(f"{base}/{QUEUE}/tasks", json=body)).status_code == 200
            first.kill()
        async with process(data, unused_tcp_port) as second:
            await client.post(f"{base}/{QUEUE}:resume")
            await worker.received(20)
            empty = await client.post(f"http://127.0.0.1:{unused_tcp_port}/control/wait-empty")
            assert empty.status_code == 200
    assert second.returncode == 0


async def test_the_signing_key_outlives_the_process(tmp_path: Path) -> None:
    tokens = []
    for _ in range(2):
        engine = Engine(journal=SqliteJournal(tmp_path / "tasks.db"))
        tokens.append(engine.tokens.issue_oidc_token("a@b.test", "aud").split(".")[0])
        await engine.close()
    assert tokens[0] == tokens[1]


async def test_a_file_is_for_one_service_at_a_time(tmp_path: Path) -> None:
    first = SqliteJournal(tmp_path / "tasks.db")
    with pytest.raises(OSError, match="is another Cloud Tasks emulator using it"):
        SqliteJournal(tmp_path / "tasks.db")
    first.close()


async def test_a_full_disk_refuses_the_create_and_what_was_staged_is_written_later(
    stored: Bench, tmp_path: Path
) -> None:
    await stored.engine.pause_queue(QUEUE)
    journal = stored.engine.journal
    assert isinstance(journal, SqliteJournal)
    journal._db.execute("PRAGMA max_page_count = 10")
    body = HttpRequest(url="http://worker.test/", body=b"x" * 100_000)
    with pytest.raises(ApiError, match="The change is not on disk") as full:
        await stored.create(http_request=body)
    assert full.value.code is Code.UNAVAILABLE
    journal._db.execute("PRAGMA max_page_count = 100000")
    await stored.create()
    again = await reopened(stored, tmp_path / "tasks.db")
    assert len(list(again.engine.list_tasks(QUEUE))) == 2
    await again.engine.close(0)


async def test_names_whose_window_is_over_leave_the_file(stored: Bench, tmp_path: Path) -> None:
    for number in range(3):
        await stored.create(name=f"{QUEUE}/tasks/n{number}")
        await stored.advance(20 * 3600)
    at = stored.engine.clock.now()
    await stored.engine.close(0)
    journal = SqliteJournal(tmp_path / "tasks.db")
    rows = journal._db.execute("SELECT name FROM tombstone ORDER BY name").fetchall()
    assert [name.rpartition("/")[2] for (name,) in rows] == ["n1", "n2"]
    assert list(journal.load(at).tombstones) == [f"{QUEUE}/tasks/n2"]
    journal.close()


def test_no_more_names_are_remembered_than_there_is_room_for() -> None:
    forgotten: list[str] = []
    tombstones = Tombstones(SECOND, forgotten.append, most=2)
    for task_id in ("a", "b", "c"):
        tombstones.add_name(task_id, 0, named=True)
    assert forgotten == ["a"]
    assert (
        tombstones.is_taken("a", 0),
        tombstones.is_taken("c", 0),
        tombstones.is_taken("c", SECOND),
    ) == (
        False,
        True,
        False,
    )


def find_files(folder: Path, pattern: str) -> list[Path]:
    return [*folder.glob(pattern)]


@pytest.mark.parametrize("kind", ["garbage", "cut", "page"])
async def test_a_damaged_file_is_set_aside_and_an_empty_one_is_used(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tasks.db"
    bench = await make_bench(journal=SqliteJournal(path))
    for number in range(200):
        await bench.create(name=f"{QUEUE}/tasks/task-{number}")
    await bench.engine.close(0)
    content = path.read_bytes()
    damaged = {
        "garbage": b"no database at all, and long enough to be read as one" * 100,
        "cut": content[: len(content) // 2],
        "page": content[:4096] + b"\xff" * 4096 + content[8192:],
    }[kind]
    path.write_bytes(damaged)

    again = await make_bench(journal=SqliteJournal(path))
    await again.create(name=f"{QUEUE}/tasks/new")
    await again.engine.close(0)
    (aside,) = find_files(tmp_path, "tasks.db.damaged-*[0-9]")
    assert aside.read_bytes()[:50] == damaged[:50]
    assert "is damaged" in caplog.text
    assert str(aside) in caplog.text


async def test_a_task_that_cannot_be_read_is_dropped_and_the_others_are_not(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    bench = await make_bench(journal=SqliteJournal(path))
    await bench.engine.pause_queue(QUEUE)
    for number in range(3):
        await bench.create(name=f"{QUEUE}/tasks/task-{number}")
    await bench.engine.close(0)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE task SET saved = '{half' WHERE number = 2")
    again = await make_bench(journal=SqliteJournal(path))
    names = [stored.id for stored in again.engine.list_tasks(QUEUE)]
    assert names == ["task-0", "task-2"]
    await again.engine.close(0)


async def test_a_file_in_use_and_one_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    first = SqliteJournal(path)
    with pytest.raises(OSError, match="is another Cloud Tasks emulator using it"):
        SqliteJournal(path)
    first.close()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot open .*: ") as refused:
        SqliteJournal(tmp_path / "file" / "tasks.db")
    assert "another" not in str(refused.value)


async def test_only_its_owner_may_read_the_tasks_and_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    journal = SqliteJournal(path)
    journal.note("a", "b")
    assert {oct(file.stat().st_mode & 0o777) for file in find_files(tmp_path, "*")} == {"0o600"}
    journal.close()


async def test_policies_keys_and_operations_are_there_after_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "tasks.db"
    config = ServiceConfig(data=data, queues=[Queue(name=QUEUE)])
    binding = {"role": "roles/viewer", "members": ["user:a@example.com"]}
    key = {"name": f"{LOCATION}/cmekConfig", "kmsKey": "k"}
    tasks = [{"parent": QUEUE, "task": {"httpRequest": {"url": "http://127.0.0.1:1/"}}}]
    async with (
        LocalCloudTasks(config) as service,
        httpx.AsyncClient(base_url=service.rest_url) as client,
    ):
        policy = (
            await client.post(f"/v2/{QUEUE}:setIamPolicy", json={"policy": {"bindings": [binding]}})
        ).json()
        await client.patch(f"/v2/{LOCATION}/cmekConfig", json=key)
        await client.post(f"/v2/{QUEUE}:pause")
        for verb, body in (
            ("batchCreate", {"requests": tasks}),
            ("batchCreate", {"requests": [{"parent": QUEUE, "task": {}}]}),
            ("batchDelete", {"names": [f"{QUEUE}/tasks/none"]}),
        ):
            answer = await client.post(f"/v2/{QUEUE}/tasks:{verb}", json=body)
            assert answer.status_code == 200
        listed = [
            (await client.get(f"/v2/{name}")).json() for name in service.api.batches._operations
        ]
    async with (
        LocalCloudTasks(config) as service,
        httpx.AsyncClient(base_url=service.rest_url) as client,
    ):
        assert (await client.get(f"/v2/{QUEUE}:getIamPolicy")).json() == policy
        assert (await client.get(f"/v2/{LOCATION}/cmekConfig")).json() == key
        again = [
            (await client.get(f"/v2/{name}")).json() for name in service.api.batches._operations
        ]
        assert again == listed
        assert [each["done"] for each in again] == [True, True, True]
        await client.delete(f"/v2/{QUEUE}")
        await client.post("/control/reset")
    async with LocalCloudTasks(config) as service:
        assert service.engine.documents == {}


async def test_a_queues_times_to_live_are_there_after_a_restart(tmp_path: Path) -> None:
    queue = Queue(name=QUEUE, task_ttl=864_000 * SECOND, tombstone_ttl=3600 * SECOND)
    for queues in ([queue], []):
        config = ServiceConfig(rest_port=None, data=tmp_path / "tasks.db", queues=queues)
        async with LocalCloudTasks(config) as service:
            shown = service.engine.get_queue(QUEUE)
    assert (shown.task_ttl, shown.tombstone_ttl) == (864_000 * SECOND, 3600 * SECOND)
