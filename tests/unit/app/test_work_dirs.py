from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taskreel.adapters.work_dirs import WorkDirPool


async def test_an_empty_folder_is_reused_and_a_full_one_is_deleted(
    tmp_path: Path,
) -> None:
    work_dirs = WorkDirPool(tmp_path)
    empty, full = work_dirs.acquire("job_1"), work_dirs.acquire("job_2")
    (full / "half.mp4").touch()
    await work_dirs.release(full)
    await work_dirs.release(empty)
    assert work_dirs.acquire("job_3") == empty
    assert not full.exists()


async def test_later_runs_find_the_folder_of_a_full_one_made_in_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making and reading a folder may wait for the disk, and the event loop would wait with it."""
    work_dirs = WorkDirPool(tmp_path)
    folder = work_dirs.acquire("job_1")
    loop_calls: list[str] = []

    def watch(name: str) -> None:
        call = getattr(os, name)

        def note(*args: Any, **options: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                loop_calls.append(name)
            return call(*args, **options)

        monkeypatch.setattr(os, name, note)

    for name in ("mkdir", "rmdir", "scandir", "listdir"):
        watch(name)
    for number in range(3):
        (folder / "half.mp4").touch()
        await work_dirs.release(folder)
        assert not folder.exists()
        folder = work_dirs.acquire(f"job_{number}")
        assert list(folder.glob("*")) == []
        loop_calls.remove("scandir")  # the line above
    assert loop_calls == []


@pytest.mark.parametrize("is_empty", [True, False])
async def test_a_folder_whose_run_is_cancelled_during_its_release_is_released_all_the_same(
    tmp_path: Path, *, is_empty: bool
) -> None:
    """All threads are busy then: the call that waits for one must not be dropped."""
    loop, may_go_on = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    loop.run_in_executor(None, may_go_on.wait)
    work_dirs = WorkDirPool(tmp_path, max_bytes=1000)
    folder = work_dirs.acquire("job_1")
    assert work_dirs.reserve(folder, 600)
    if not is_empty:
        (folder / "half.mp4").write_bytes(b"." * 600)

    later = work_dirs.acquire("job_2")

    release = asyncio.create_task(work_dirs.release(folder))
    await asyncio.sleep(0)
    release.cancel()
    try:
        with pytest.raises(asyncio.CancelledError):
            await release
        assert not work_dirs.reserve(later, 600), "the files are there still"
    finally:
        may_go_on.set()
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    assert work_dirs.reserve(later, 600)
    await work_dirs.release(later)
    work_dirs.close()
    assert not folder.exists()
    assert not later.exists()


async def test_a_folder_that_is_released_late_leaves_none_behind(tmp_path: Path) -> None:
    work_dirs = WorkDirPool(tmp_path)
    folder = work_dirs.acquire("job_1")
    (folder / "half.mp4").touch()
    work_dirs.close()
    await work_dirs.release(folder)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing waits for it here


async def test_files_that_a_worker_writes_take_the_room_of_the_instance(tmp_path: Path) -> None:
    """A film that is rendered takes as much memory on Cloud Run as one that is downloaded."""
    work_dirs = WorkDirPool(tmp_path, max_bytes=1000)
    mine, other = work_dirs.acquire("job_4"), work_dirs.acquire("job_5")
    assert work_dirs.reserve(mine, 300)
    (mine / "input.mp4").write_bytes(b"." * 300)
    (mine / "parts").mkdir()
    (mine / "parts" / "film.mp4").write_bytes(b"." * 500)
    assert not work_dirs.reserve(other, 201)
    assert work_dirs.reserve(other, 200)
    await work_dirs.release(mine)
    assert work_dirs.reserve(other, 800)
    assert not work_dirs.reserve(other, 1)


async def test_room_that_is_reserved_is_not_counted_twice_once_its_file_is_written(
    tmp_path: Path,
) -> None:
    work_dirs = WorkDirPool(tmp_path, max_bytes=1000)
    folder = work_dirs.acquire("job_6")
    assert work_dirs.reserve(folder, 600)
    (folder / "half.mp4").write_bytes(b"." * 300)
    assert work_dirs.reserve(folder, 400)
    assert not work_dirs.reserve(folder, 1)
    assert work_dirs.reserve(folder, 50, required=True)


async def test_a_large_job_that_was_refused_has_its_turn_before_later_small_ones(
    tmp_path: Path,
) -> None:
    """A stream of small jobs once took all room that became free."""
    work_dirs = WorkDirPool(tmp_path, max_bytes=1000, clock=lambda: 0.0)
    running = work_dirs.acquire("job_running")
    assert work_dirs.reserve(running, 300)
    large = work_dirs.acquire("job_large")
    assert not work_dirs.reserve(large, 800)
    await work_dirs.release(large)

    small = work_dirs.acquire("job_small")
    assert not work_dirs.reserve(small, 100)
    assert work_dirs.reserve(running, 100), "a job that has begun goes on"
    await work_dirs.release(running)
    assert work_dirs.reserve(work_dirs.acquire("job_tiny"), 10), "beside all that is promised"
    assert not work_dirs.reserve(work_dirs.acquire("job_later"), 150)

    large = work_dirs.acquire("job_large")
    assert work_dirs.reserve(large, 800)
    assert work_dirs.reserve(small, 100)
    await work_dirs.release(large)
    assert work_dirs.reserve(work_dirs.acquire("job_later"), 800)


async def test_room_is_promised_for_half_a_minute_to_a_job_that_does_not_come_back(
    tmp_path: Path,
) -> None:
    """It may run in another instance by then."""
    now = [0.0]
    work_dirs = WorkDirPool(tmp_path, max_bytes=1000, clock=lambda: now[0])
    running = work_dirs.acquire("job_running")
    assert work_dirs.reserve(running, 300)
    gone = work_dirs.acquire("job_gone")
    assert not work_dirs.reserve(gone, 800)
    await work_dirs.release(gone)
    small = work_dirs.acquire("job_small")
    assert not work_dirs.reserve(small, 100)
    now[0] = 31.0
    assert work_dirs.reserve(small, 100)


def test_folders_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale, others = tmp_path / f"{dead.pid}-abc", tmp_path / f"{os.getppid()}-abc"
    for folder in (stale, others):
        folder.mkdir()
        (folder / "half.mp4").touch()
    WorkDirPool(tmp_path).acquire("job_7")
    assert (stale.exists(), others.exists()) == (False, True)
