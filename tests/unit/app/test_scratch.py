from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from taskreel.adapters.work_dirs import Scratch


async def test_a_folder_that_is_left_empty_serves_the_next_run_and_a_full_one_goes(
    tmp_path: Path,
) -> None:
    scratch = Scratch(tmp_path)
    empty, full = scratch.take(), scratch.take()
    (full / "half.mp4").touch()
    await scratch.give_back(full)
    await scratch.give_back(empty)
    assert scratch.take() == empty
    assert not full.exists()


def test_what_a_killed_process_has_left_is_removed_and_nobody_elses(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, others = tmp_path / f"{dead.pid}-abc", tmp_path / f"{os.getppid()}-abc"
    for folder in (left, others):
        folder.mkdir()
        (folder / "half.mp4").touch()
    Scratch(tmp_path).take()
    assert (left.exists(), others.exists()) == (False, True)
