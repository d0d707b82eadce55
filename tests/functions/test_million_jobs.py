"""The cost of flow control's calls to the store: the same beside a thousand jobs and a million.

Counted are the steps of SQLite's machine; `-s` also prints times (infra/guides/flow.md has them).
The jobs are copies of two that the product has made, written past it: half of them wait for room,
the others have ended.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import pytest
from msgspec.structs import replace

from functions.job_requests import IMAGE, NOOP, submit_job
from nightly_tests import skip_by_day
from simulation.world import LIMITS, World, running
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.adapters.logged_store import LoggedStore
from taskreel.app.services import Services
from taskreel.domain.job_status import Status
from taskreel.rules_setting import parse_limits

TYPE = "image-generation"
#: The jobs in the small store, of which more than 1,000 wait (counts stop there), and in the large.
FEW = 2_400
MANY = int(os.environ.get("TASKREEL_TEST_JOBS", "1000000"))
_READINGS, _USERS = 5, 500
#: Calls that only read; each is made after the caches of the one before have aged.
READS = {
    "status": "/api/jobs/{job}",
    "list of 20": "/api/jobs?limit=20",
    "list by status": "/api/jobs?limit=20&status=COMPLETED",
    "position": "/api/queue/{job}/position",
    "health": "/api/jobs/health",
    "statistics of all types": "/api/jobs/stats",
    "statistics of the queues": "/api/jobs/queues/stats",
    "performance": "/api/jobs/performance",
}


@asynccontextmanager
async def run_world(folder: Path, patch: pytest.MonkeyPatch, ids: int) -> AsyncIterator[World]:
    """A world on a file, in which one image is made at a time; `ids` makes its random ids its own.

    Another one on the same file would make the same ones again, as if they were new.
    """

    def change(services: Services) -> Services:
        return replace(services, random=Random(ids))

    limits = parse_limits(LIMITS)
    assert limits is not None
    narrow = limits.model_copy(update={"windows": {TYPE: 1}}).model_dump_json(by_alias=True)
    url = f"sqlite:///{folder / 'store.db'}"
    async with running(folder, patch, change=change, limits=narrow, store_url=url) as world:
        yield world


async def seed_jobs(folder: Path, patch: pytest.MonkeyPatch, jobs: int) -> None:
    """Make a job that has ended and one that waits, and copy each."""
    async with run_world(folder, patch, 1) as world:
        ada = world.as_user("ada", tier="enterprise")
        ended = (await submit_job(ada))["jobId"]
        await world.advance(60)
        await submit_job(ada)
        waiting = (await submit_job(ada))["jobId"]
        states = [(await world.job(job_id)).status for job_id in (ended, waiting)]
        assert states == [Status.COMPLETED, Status.THROTTLED]
    with sqlite3.connect(folder / "store.db") as connection:
        # Copies go to many places of twenty indexes: with its usual 2 MB it takes ten minutes.
        connection.execute("PRAGMA cache_size = -1000000")
        connection.execute("PRAGMA synchronous = OFF")
        _copy_row(connection, "accounts", "ada", _USERS, {"id": "'user-' || (n - 1)"})
        # A millisecond apart, and in turn of each user.
        times = ("f_createdAt", "f_updatedAt", "f_rank", "f_wakeAt")
        changed = {name: f'"{name}" + n * 1000' for name in times}
        changed["f_userId"] = f"'user-' || (n % {_USERS})"
        for mark, job_id in (("a", ended), ("b", waiting)):
            id_ = f"'job_{mark}' || printf('%025d', n)"
            _copy_row(connection, "jobs", job_id, jobs // 2, {**changed, "id": id_})
    connection.close()


def _copy_row(
    connection: sqlite3.Connection, table: str, id_: str, copies: int, changed: Mapping[str, str]
) -> None:
    """Copies number 1, 2, …: `changed` has the SQL of the columns that differ, of their number."""
    columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
    values = [changed.get(name, f'"{name}"') for name in columns]
    names = ", ".join(f'"{name}"' for name in columns)
    connection.execute(
        "WITH RECURSIVE numbers(n) AS "  # noqa: S608 - names of the table's own columns
        f"(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {copies}) "
        f'INSERT INTO "{table}" ({names}) SELECT {", ".join(values)} FROM "{table}", numbers '
        "WHERE id = ?",
        (id_,),
    )


async def measure_calls(world: World, jobs: int) -> dict[str, tuple[int, float]]:
    """The steps of each call, the most of some readings, and its milliseconds, the least."""
    logged = world.services.store
    assert isinstance(logged, LoggedStore)
    store = logged.inner
    assert isinstance(store, SqliteStore)
    ada = world.as_user("ada", tier="enterprise")
    admin = world.as_user("root", role="admin")
    found: dict[str, tuple[int, float]] = {}

    async def read(name: str, client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        connection = store.file.open()
        connection.set_progress_handler(count, 1)
        began = time.perf_counter()
        answer = await client.request(method, path, json=NOOP if method == "POST" else None)
        await store.durable()
        passed = (time.perf_counter() - began) * 1000
        connection.set_progress_handler(None, 0)
        assert answer.is_success, answer.text
        before = found.get(name, (steps, passed))
        # What is still in memory takes no steps; what is slow may be so for others on the machine.
        found[name] = max(steps, before[0]), min(passed, before[1])
        return answer

    for _ in range(_READINGS):
        submitted = (await read("submission that waits", ada, "POST", IMAGE)).json()
        assert submitted["status"] == "THROTTLED"
        # Its end admits the first of those that wait.
        running_job = await _find_running(world)
        await read("end and admission", admin, "DELETE", f"{IMAGE}/{running_job}")
        for name, path in READS.items():
            await read(name, admin, "GET", path.format(job=f"job_b{jobs // 2:025}"))
        # What was read some seconds ago is in memory: each reading begins without it.
        await world.advance(11)
    return found


async def _find_running(world: World) -> str:
    """The one job that has room."""
    answer = await world.as_user("root", role="admin").get(
        f"/api/jobs?jobType={TYPE}&status=QUEUED,PROCESSING&limit=5"
    )
    (job,) = answer.json()["jobs"]
    return str(job["jobId"])


@skip_by_day("it stores a million jobs")
async def test_flow_control_costs_the_same_beside_a_million_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    for jobs in (FEW, MANY):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        await seed_jobs(folder, monkeypatch, jobs)
        async with run_world(folder, monkeypatch, 2) as world:
            costs.append(await measure_calls(world, jobs))
    few, many = costs
    for name, (steps, passed) in few.items():
        line = f"{name}: {steps} → {many[name][0]} steps, {passed:.1f} → {many[name][1]:.1f} ms"
        print(line)  # noqa: T201 - the figures of infra/guides/flow.md
    grown = {
        name: (few[name], many[name]) for name in few if many[name][0] > 1.1 * few[name][0] + 20
    }
    assert grown == {}, "steps and milliseconds, beside few jobs and beside many"
