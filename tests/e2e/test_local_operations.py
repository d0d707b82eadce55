"""The dev stack on damaged files, on another port, and without its emulator."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from e2e.processes import find_processes, stack, taskreel, wait_for_job
from http_handlers import serve_handler
from taskreel_local.emulators.google_emulators import (
    EmulatorMissingError,
    check_firestore_emulator,
    free_port,
)

BODY = {"prompt": "a kite", "options": {"width": 64, "height": 64, "studio": {"mode": "noop"}}}
HASTE = {"RESCUE_AFTER_SECONDS": "3"}


def submit(client: httpx.Client, body: Mapping[str, object]) -> str:
    answer = client.post("/api/jobs/image-generation", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["jobId"])


def wait_for_retry(client: httpx.Client, job: str) -> None:
    """Wait until its attempt has failed; on a very slow machine the next has begun, too."""
    while client.get(f"/api/jobs/{job}").json()["status"] in {"QUEUED", "PROCESSING"}:
        time.sleep(0.05)


def slow(seconds: float) -> dict[str, object]:
    """A job whose attempt fails, and whose next task waits for `seconds`."""
    options = {"width": 64, "height": 64, "studio": {"mode": "fail-temporary", "times": 1}}
    retry = {"minBackoffSeconds": seconds, "maxBackoffSeconds": seconds}
    return {"prompt": "a kite", "options": options, "retry": retry}


def test_damaged_queues_are_rebuilt_and_no_job_is_lost(tmp_path: Path) -> None:
    with stack(tmp_path, "--cloud-tasks", settings=HASTE) as running, running.client() as client:
        job = submit(client, slow(8))
        wait_for_retry(client, job)
        assert running.interrupt() == 0
    (tmp_path / "tasks.db").write_bytes(b"no database at all" * 1000)
    with stack(tmp_path, "--cloud-tasks", settings=HASTE) as running, running.client() as client:
        assert wait_for_job(client, job)["status"] == "COMPLETED"
    assert "tasks.db is damaged" in (tmp_path / "log.txt").read_text()
    assert len([*tmp_path.glob("tasks.db.damaged-*")]) >= 1


@pytest.mark.parametrize(
    ("file", "content"), [("secrets.json", b'{"jwt": "a'), ("store.db", b"no database" * 1000)]
)
def test_what_cannot_be_rebuilt_ends_the_start_with_one_line(
    tmp_path: Path, file: str, content: bytes
) -> None:
    (tmp_path / file).write_bytes(content)
    ended = taskreel("dev", "--port", "0", "--data", str(tmp_path))  # it must end by itself
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if line]
    assert f"{file} is damaged" in line


def test_a_folder_that_cannot_be_written_ends_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = taskreel("dev", "--data", str(tmp_path / "file" / "data"))
    assert ended.returncode == 1
    assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_waiting_task_and_its_key_go_to_the_new_port_and_not_to_the_old_one(
    tmp_path: Path,
) -> None:
    seen: list[str | None] = []

    class Stranger(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers.get("X-Internal-Api-Key"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with stack(tmp_path, "--cloud-tasks") as running, running.client() as client:
        old = int(running.url.rpartition(":")[2])
        job = submit(client, slow(8))
        wait_for_retry(client, job)
        assert running.interrupt() == 0

    with (
        serve_handler(Stranger, old),
        stack(tmp_path, "--cloud-tasks", port=free_port()) as running,
        running.client() as client,
    ):
        assert wait_for_job(client, job)["status"] == "COMPLETED"
    assert seen == []


def test_files_of_a_stack_are_its_owners_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with stack(data) as running, running.client() as client:
        body = {"prompt": "a kite", "options": {"width": 64, "height": 64}}
        wait_for_job(client, submit(client, body))
        own = [path for path in data.rglob("*") if path.name != "log.txt"]
        assert len(own) > 5
        assert [str(path) for path in own if path.stat().st_mode & 0o077] == []


def test_the_stack_ends_with_a_sentence_when_its_firestore_has_died(tmp_path: Path) -> None:
    try:
        check_firestore_emulator()
    except EmulatorMissingError as missing:
        pytest.skip(str(missing))
    with stack(tmp_path, "--google-emulators") as running:
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        for child in map(int, children.read_text().split()):
            if b"CloudFirestore" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)
        assert running.process.wait(60) == 1
    assert "The Firestore emulator has ended" in (tmp_path / "log.txt").read_text()
    assert not find_processes(tmp_path)
