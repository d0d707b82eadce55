from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from taskreel.domain.errors import PermanentError, RateLimitedError, TemporaryError
from taskreel.media.animate import MotionOptions, animate_pictures
from taskreel.media.probe import probe_file
from taskreel.media.worker_process import Raised
from taskreel.media.workers import WorkerPool

#: Work that lasts much longer than a test should: it ends only by being killed.
WORK_SECONDS = 60


async def wait_for_workers(pool: WorkerPool, count: int) -> None:
    """Return when so many calls have been given to a worker process."""
    async with asyncio.timeout(WORK_SECONDS):
        while len(pool._stops) < count:  # noqa: ASYNC110 - the pool has no event to wait for
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def workers() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(max_workers=2, memory_mb=400)
    yield pool
    pool.close()


async def test_a_function_runs_in_another_process_and_its_result_comes_back(
    workers: WorkerPool,
) -> None:
    assert await workers.run(os.getpid, timeout_seconds=30) != os.getpid()
    assert await workers.run(divmod, 17, 5, timeout_seconds=5) == (3, 2)


async def test_work_over_its_time_is_killed_and_worth_another_try(workers: WorkerPool) -> None:
    async with asyncio.timeout(WORK_SECONDS):
        with pytest.raises(TemporaryError) as caught:
            await workers.run(time.sleep, WORK_SECONDS, timeout_seconds=0.3)
    assert caught.value.code == "worker_timeout"


@pytest.mark.parametrize("death", [os.abort, lambda: None])
async def test_a_crash_costs_its_own_task_and_no_other(workers: WorkerPool, death: object) -> None:
    crash = asyncio.create_task(
        workers.run(os.abort, timeout_seconds=30)
        if death is os.abort
        else workers.run(os._exit, 3, timeout_seconds=30)
    )
    neighbour = asyncio.create_task(workers.run(sum, [1, 2, 3], timeout_seconds=30))
    with pytest.raises(TemporaryError) as caught:
        await crash
    assert caught.value.code == "worker_crashed"
    assert await neighbour == 6
    assert await workers.run(sum, [4, 5], timeout_seconds=30) == 9


async def test_more_memory_than_allowed_is_a_permanent_error_that_says_so(
    workers: WorkerPool,
) -> None:
    with pytest.raises(PermanentError, match="smaller size") as caught:
        await workers.run(bytearray, 10**10, timeout_seconds=30)
    assert caught.value.code == "out_of_memory"


async def test_a_run_error_comes_back_with_its_message_code_and_details(
    workers: WorkerPool, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(PermanentError, match=r"empty\.png is empty") as caught:
        await workers.run(probe_file, empty, timeout_seconds=30)
    assert caught.value.code == "empty_media"
    assert caught.value.details == {"file": "empty.png"}


def test_an_error_whose_constructor_wants_keywords_survives_the_way_back() -> None:
    sent = Raised.from_error(
        RateLimitedError("Wait.", retry_after=timedelta(seconds=7), code="busy", model="m")
    )
    error = pickle.loads(pickle.dumps(sent)).rebuild_error()  # noqa: S301
    assert isinstance(error, RateLimitedError)
    assert (error.message, error.code, error.details) == ("Wait.", "busy", {"model": "m"})
    assert error.retry_after == timedelta(seconds=7)


def test_an_error_that_cannot_travel_becomes_one_that_can() -> None:
    error = ValueError("bad", lambda: None)
    assert str(Raised.from_error(error).rebuild_error()).startswith("ValueError")


async def test_cancelling_frees_the_worker(workers: WorkerPool) -> None:
    tasks = [
        asyncio.create_task(workers.run(time.sleep, WORK_SECONDS, timeout_seconds=90))
        for _ in range(2)
    ]
    await wait_for_workers(workers, 2)
    for task in tasks:
        task.cancel()
    assert await workers.run(sum, [1, 1], timeout_seconds=20) == 2


async def test_closing_ends_what_still_runs_at_once() -> None:
    pool = WorkerPool(max_workers=1)
    task = asyncio.create_task(pool.run(time.sleep, WORK_SECONDS, timeout_seconds=90))
    await wait_for_workers(pool, 1)
    async with asyncio.timeout(WORK_SECONDS / 2):
        pool.close()
        with pytest.raises(TemporaryError) as caught:
            await task
    assert caught.value.code == "workers_closed"
    with pytest.raises(TemporaryError):
        await pool.run(os.getpid, timeout_seconds=1)


async def test_progress_travels_back_while_the_work_goes_on(
    workers: WorkerPool, red: Path, tmp_path: Path
) -> None:
    seen: list[float] = []
    await workers.run(
        animate_pictures,
        [red],
        options=MotionOptions(seconds=3, width=320, height=180),
        out=tmp_path / "a.mp4",
        timeout_seconds=60,
        on_progress=seen.append,
    )
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0, abs=0.5)


def test_importing_the_pool_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'PIL', 'av', 'pebble', 'multiprocessing.pool'}"
    imports = "import sys, taskreel.media, taskreel.media.workers"
    code = f"{imports}; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
