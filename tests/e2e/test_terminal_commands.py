"""Commands in a terminal: bars, links, the live screen, questions, pictures."""

from __future__ import annotations

import base64
import io
import os
import signal

import pytest
from PIL import Image

from e2e.commands import Commands
from e2e.processes import Stack, find_processes
from e2e.terminal import terminal

SMALL = ("prompt=a kite", "options.width=96", "options.height=64")


@pytest.fixture
def at(running: Stack) -> tuple[str, str]:
    return ("--data", str(running.data))


@pytest.fixture(scope="module")
def job(commands: Commands) -> str:
    return commands.submit("image-generation", *SMALL)


def test_following_has_a_bar_and_ends_with_the_status_of_the_job(at: tuple[str, str]) -> None:
    with terminal("submit", "image-generation", *SMALL, "--follow", *at) as window:
        assert window.wait() == 0
        assert "━" in window.text
        assert "100%" in window.text
        assert "It was made by studio" in window.text
    failing = "options.studio.mode=fail-permanent"
    with terminal("submit", "image-generation", *SMALL, failing, "--follow", *at) as window:
        assert window.wait() == 1


@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_ends_the_following_and_not_the_jobs(
    at: tuple[str, str], commands: Commands, count: int
) -> None:
    words = ("submit", "image-generation", "prompt=z", "options.studio.mode=sleep")
    made = [commands.json(*words, "options.studio.seconds=60")["jobId"] for _ in range(count)]
    with terminal("watch", *made, *at) as window:
        window.wait_for("processing")
        window.press("\x03")
        assert window.wait(60) == 130
        assert "Traceback" not in window.text
    found = commands.text("jobs", "--status", "PROCESSING,QUEUED", "--ids").split()
    assert sorted(found) == sorted(made)
    commands.text("cancel", *made, "--yes")


def test_several_jobs_have_a_bar_each(at: tuple[str, str], commands: Commands) -> None:
    made = [
        commands.json("submit", "image-generation", *SMALL, f"options.studio.mode={mode}")["jobId"]
        for mode in ("noop", "fail-permanent")
    ]
    with terminal("watch", *made, *at) as window:
        assert window.wait() == 1
        for job in made:
            assert window.text.count(f"{job}  COMPLETED") + window.text.count(f"{job}  FAILED") == 1


def test_a_list_links_each_job_to_the_dashboard(
    at: tuple[str, str], running: Stack, job: str
) -> None:
    with terminal("jobs", *at) as window:
        assert window.wait() == 0
        raw = window.raw.decode()
    assert f";{running.url}/dashboard/jobs/{job}\x1b\\{job}" in raw
    assert "\x1b]8;" in raw


def test_a_narrow_window_shows_whole_ids(at: tuple[str, str], job: str) -> None:
    with terminal("jobs", *at, columns=80) as window:
        assert window.wait() == 0
        assert job in window.text
        assert max(map(len, window.text.splitlines())) <= 80
    with terminal("top", *at, columns=80) as window:
        window.wait_for(job)
        window.wait_for("COMPLETED")
        window.press("q")
        assert window.wait() == 0


def test_a_question_is_asked_and_its_answer_obeyed(at: tuple[str, str], commands: Commands) -> None:
    job = commands.submit("image-generation", *SMALL)
    for answer, status in (("n", 1), ("y", 0)):
        with terminal("delete", job, *at) as window:
            window.wait_for("This cannot be undone. Continue? [y/N]")
            window.press(f"{answer}\n")
            assert window.wait() == status
    assert commands.run("show", job).exit_code == 3


def test_the_live_screen_follows_jobs_filters_stops_and_quits(
    at: tuple[str, str], commands: Commands, job: str
) -> None:
    with terminal("top", "--every", "0.3", *at) as window:
        window.wait_for(job)
        assert "healthy" in window.text
        new = commands.json(
            "submit",
            "image-generation",
            "prompt=x",
            "options.studio.mode=sleep",
            "options.studio.seconds=60",
        )["jobId"]
        window.wait_for(new)
        window.wait_for("1 job running")
        window.press("f")
        window.wait_for("[f] running")
        window.clear()

        def shows_the_running_job_alone() -> bool:
            frames = window.text.split("taskreel http")[1:-1]  # whole ones
            return bool(frames) and new in frames[-1] and job not in frames[-1]

        window.wait_until(shows_the_running_job_alone, "other jobs are shown")
        window.press(" ")
        window.wait_for("stopped")
        window.press("q")
        assert window.wait() == 0
        # The screen of before is back, and the cursor is shown.
        assert b"\x1b[?1049l" in window.raw
        assert b"\x1b[?25h" in window.raw
    commands.text("cancel", new, "--yes")


def test_the_live_screen_says_that_a_server_is_silent_and_still_quits(
    at: tuple[str, str], running: Stack, job: str
) -> None:
    processes = find_processes(running.data)
    with terminal("top", "--every", "0.3", *at) as window:
        window.wait_for(job)
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            window.wait_for("no answer for")
            assert job in window.text
            window.press("q")
            assert window.wait() == 0
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)


def test_the_screen_is_printed_once_in_a_pipe_and_as_json(commands: Commands, job: str) -> None:
    assert job in commands.text("top")
    found = commands.json("top")
    assert found["health"]["status"]
    assert job in [one["jobId"] for one in found["jobs"]]


# ── Pictures ─────────────────────────────────────────────────────────────────────────────────────


def test_kitty_gets_the_picture_in_parts(at: tuple[str, str], job: str) -> None:
    with terminal("show", job, *at, TASKREEL_PICTURES="kitty") as window:
        assert window.wait() == 0
        raw = window.raw
    parts = [part.partition(b"\x1b\\")[0] for part in raw.split(b"\x1b_G")[1:]]
    keys = [part.partition(b";")[0] for part in parts]
    assert keys[0].startswith(b"a=T,f=100")
    assert all(b"m=1" in one for one in keys[:-1])
    assert keys[-1].endswith(b"m=0")
    png = base64.b64decode(b"".join(part.partition(b";")[2] for part in parts))
    assert Image.open(io.BytesIO(png)).size == (96, 64)


def test_iterm_gets_the_picture_in_one(at: tuple[str, str], job: str) -> None:
    with terminal("show", job, *at, LC_TERMINAL="iTerm2") as window:
        assert window.wait() == 0
        raw = window.raw
    keys, _, text = raw.partition(b"\x1b]1337;File=")[2].partition(b"\x07")[0].partition(b":")
    png = base64.b64decode(text)
    assert f"size={len(png)}".encode() in keys
    assert b"inline=1" in keys
    assert Image.open(io.BytesIO(png)).size == (96, 64)


def test_a_terminal_that_says_that_it_knows_sixels_gets_them(at: tuple[str, str], job: str) -> None:
    with terminal("show", job, *at) as window:
        window.wait_for("\x1b[c", raw=True)
        window.press("\x1b[?62;4;22c")
        assert window.wait() == 0
        assert b'\x1bP0;1q"1;1;96;64' in window.raw


def test_a_terminal_that_does_not_gets_links(at: tuple[str, str], job: str) -> None:
    with terminal("show", job, *at) as window:
        window.wait_for("\x1b[c", raw=True)
        window.press("\x1b[?62;22c")
        assert window.wait() == 0
        assert b"\x1bP" not in window.raw
        assert b"\x1b]8;" in window.raw
