"""Large inputs in an instance of little memory: a kernel limit, and scratch files that count."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from e2e.memory_cgroup import memory_cgroup
from e2e.processes import stack, wait_for_job
from functions.test_inputs import mp4

MIB = 1 << 20
#: The stack, one server and its workers take about 400 MiB.
INSTANCE = 700 * MIB
FILE_MIB, MANY = 60, 12
ROOM = {"MAX_JOB_INPUT_MB": "260", "SCRATCH_MB": "260", "WORKER_PROCESSES": "1"}
PROCESSING = "/api/jobs/media-processing"


def padded_clip() -> bytes:
    """A clip of FILE_MIB: a `free` box behind the film, as recorders leave them."""
    clip = mp4()
    size = FILE_MIB * MIB - len(clip)
    return clip + struct.pack(">I4s", size, b"free") + bytes(size - 8)


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    """The address of a web server of clips of FILE_MIB."""
    content = padded_clip()

    class Clips(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the stack refuses the rest
                self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Clips)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """A folder in memory, as an instance's disk is on Cloud Run."""
    shared = Path("/dev/shm")  # noqa: S108 - a tmpfs is the point
    if not os.access(shared, os.W_OK):
        pytest.skip("there is no tmpfs at /dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared, prefix="taskreel-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def stitch(web: str, count: int) -> dict[str, object]:
    return {
        "operation": "video-stitch",
        "inputFiles": [f"{web}/{number}.mp4" for number in range(count)],
    }


def test_a_job_of_large_files_is_refused_and_another_users_delivery_goes_on(
    web: str, memory_folder: Path
) -> None:
    """Before there was a limit a job, the kernel killed the server and both deliveries with it."""
    # An address of the deployment's own may be private.
    settings = {**ROOM, "PROVIDER_BASE_URLS": f'{{"bfl": "{web}"}}'}
    slow = {"width": 64, "height": 64, "studio": {"mode": "slow", "seconds": 6}}
    with (
        memory_cgroup(INSTANCE) as group,
        stack(memory_folder, settings=settings, within=group.enter_command) as running,
        running.client("mallory") as mallory,
        running.client("bob") as bob,
    ):
        other = bob.post("/api/jobs/image-generation", json={"prompt": "a", "options": slow})
        large = mallory.post(PROCESSING, json=stitch(web, MANY))
        assert large.status_code == other.status_code == 202
        refused = wait_for_job(mallory, large.json()["jobId"])
        assert (refused["status"], refused["attempt"]) == ("FAILED", 1)
        assert refused["error"]["code"] == "input_too_large"
        done = wait_for_job(bob, other.json()["jobId"])
        assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
        assert group.oom_kills == 0

        # Two jobs that fit alone, and not together: both complete, one after the other.
        both = [mallory.post(PROCESSING, json=stitch(web, 3)).json()["jobId"] for _ in range(2)]
        for job_id in both:
            done = wait_for_job(mallory, job_id)
            assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
        assert group.oom_kills == 0
