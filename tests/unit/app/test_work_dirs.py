from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from taskreel.adapters.work_dirs import WorkDirPool


async def test_an_empty_folder_is_reused_and_a_full_one_is_deleted(
    tmp_path: Path,
) -> None:
    work_dirs = WorkDirPool(tmp_path)
    empty, full = work_dirs.acquire(), work_dirs.acquire()
    (full / "half.mp4").touch()
    await work_dirs.release(full)
    await work_dirs.release(empty)
    assert work_dirs.acquire() == empty
    assert not full.exists()


def test_folders_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale, others = tmp_path / f"{dead.pid}-abc", tmp_path / f"{os.getppid()}-abc"
    for folder in (stale, others):
        folder.mkdir()
        (folder / "half.mp4").touch()
    WorkDirPool(tmp_path).acquire()
    assert (stale.exists(), others.exists()) == (False, True)
