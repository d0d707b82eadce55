"""Large inputs in an instance of little memory: a kernel limit, and scratch files that count."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml

from e2e.memory_cgroup import memory_cgroup
from e2e.processes import ROOT, stack, wait_for_job
from functions.fake_providers import KITE
from functions.test_inputs import mp4
from http_handlers import serve_handler
from nightly_tests import skip_by_day
from providers.bfl.fake import FakeBfl
from providers.fake_provider import serve_on_port

MIB = 1 << 20
#: Twenty such files, without the declared limits, take more memory than the instance has.
FILE_MIB, MANY, FITTING = 100, 20, 3
PROCESSING = "/api/jobs/media-processing"
#: The services that work on files, in an instance of each.
SERVICES = [
    "media-processor",
    pytest.param("task-processor", marks=skip_by_day("the same with other numbers")),
]


def read_declaration(service: str) -> tuple[int, dict[str, str]]:
    """The memory of a declared service's instance in bytes, and its own limits."""
    services = yaml.safe_load((ROOT / "infra/services.yaml").read_text(encoding="utf-8"))
    declared = services["services"][service]
    assert declared["memory"].endswith("Gi")
    limits = {name: value for name, value in declared["env"].items() if value.isdecimal()}
    return int(declared["memory"].removesuffix("Gi")) * 1024 * MIB, limits


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

    with serve_handler(Clips) as origin:
        yield origin


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


@pytest.mark.parametrize("service", SERVICES)
def test_a_job_of_large_files_is_refused_and_another_users_purchase_goes_on(
    web: str, memory_folder: Path, service: str
) -> None:
    """Before there was a limit a job, the kernel killed the server and both deliveries with it.

    The group has the memory of the declared instance, and the stack in it the limits of that; it
    also has the API, the store, the queues and the bucket, which an instance has not.
    """
    memory, limits = read_declaration(service)
    assert FITTING * FILE_MIB <= int(limits["MAX_JOB_INPUT_MB"]) < MANY * FILE_MIB
    assert 0.95 * memory < MANY * FILE_MIB * MIB
    provider = FakeBfl(polls=1_000_000)  # its work goes on until it is let end
    with (
        memory_cgroup(memory) as group,
        serve_on_port(provider) as bfl,
        stack(
            memory_folder,
            settings={
                **limits,
                "BFL_API_KEY": FakeBfl.key,
                # An address of the deployment's own may be private: that of the files too.
                "PROVIDER_BASE_URLS": json.dumps({"bfl": bfl, "fal": web}),
            },
            within=group.enter_command,
        ) as running,
        running.client("mallory") as mallory,
        running.client("bob") as bob,
    ):
        other = bob.post("/api/jobs/image-generation", json=KITE)
        assert other.status_code == 202, other.text
        bob_id = other.json()["jobId"]
        wait_until_bought(provider)
        large = mallory.post(PROCESSING, json=stitch(web, MANY))
        assert large.status_code == 202, large.text
        refused = wait_for_job(mallory, large.json()["jobId"])
        assert (refused["status"], refused["attempt"]) == ("FAILED", 1)
        assert refused["error"]["code"] == "input_too_large"
        assert bob.get(f"/api/jobs/{bob_id}").json()["status"] == "PROCESSING"
        provider.operations |= dict.fromkeys(provider.operations, 0)

        # Two jobs that fit alone, and not together: both complete, one after the other.
        both = [
            mallory.post(PROCESSING, json=stitch(web, FITTING)).json()["jobId"] for _ in range(2)
        ]
        for job_id in both:
            done = wait_for_job(mallory, job_id)
            assert (done["status"], done["attempt"]) == ("COMPLETED", 1), done
        done = wait_for_job(bob, bob_id)
        assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
        assert done["credits"]["captured"] > 0
        (file,) = done["result"]["artifacts"]
        assert len(bob.get(file["url"]).content) == file["bytes"]
        assert group.oom_kills == 0
        assert count_purchases(provider) == 1


def count_purchases(provider: FakeBfl) -> int:
    return sum(call.method == "POST" for call in provider.calls)


def wait_until_bought(provider: FakeBfl) -> None:
    until = time.monotonic() + 30
    while not count_purchases(provider):
        assert time.monotonic() < until, "nothing was bought"
        time.sleep(0.02)
