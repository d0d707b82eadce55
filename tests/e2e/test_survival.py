"""Whatever happens to the processes, no job is lost, and none is paid twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.processes import Stack, find_processes, stack, wait_for_job, wait_for_processes_to_end
from taskreel_local.emulators.google_emulators import free_port

JOBS, KILLS = 200, 6
#: A lost run is found at once, not after half a minute.
HASTE = {
    "LEASE_SECONDS": "2",
    "HEARTBEAT_SECONDS": "0.5",
    "RESCUE_AFTER_SECONDS": "2",
    "LOG_LEVEL": "ERROR",
}


def body(number: int) -> dict[str, Any]:
    """Mostly nothing; one in ten takes a while and draws a picture."""
    mode = "slow" if number % 10 == 0 else "pending" if number % 10 == 1 else "noop"
    studio = {"mode": mode, "seconds": 0.3, "times": 1}
    options = {"width": 64, "height": 64, "studio": studio}
    return {
        "prompt": "a kite",
        "options": options,
        "retry": {"maxAttempts": 20, "minBackoffSeconds": 0.5},
    }


class Submitting(threading.Thread):
    """Submits every job until it is accepted, whatever becomes of the server meanwhile."""

    def __init__(self, url: str, token: str) -> None:
        super().__init__()
        self._url = url
        self._token = token
        self.jobs: dict[int, str] = {}
        self.enough = threading.Event()

    def run(self) -> None:
        with httpx.Client(
            base_url=self._url, headers={"Authorization": f"Bearer {self._token}"}
        ) as client:
            for number in range(JOBS):
                while number not in self.jobs and not self.enough.is_set():
                    self._submit(client, number)
                self.enough.wait(0.02)

    def _submit(self, client: httpx.Client, number: int) -> None:
        headers = {"Idempotency-Key": f"job-{number}"}
        try:
            answer = client.post("/api/jobs/image-generation", json=body(number), headers=headers)
        except httpx.TransportError:
            self.enough.wait(0.1)
        else:
            if answer.is_success:
                self.jobs[number] = answer.json()["jobId"]


@contextmanager
def submitting(url: str, token: str) -> Iterator[Submitting]:
    thread = Submitting(url, token)
    thread.start()
    try:
        yield thread
    finally:
        thread.enough.set()
        thread.join()


def entries(client: httpx.Client) -> list[dict[str, Any]]:
    """The whole ledger."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = client.get(f"/api/credits/ledger?limit=100{cursor}").json()
        found += page["entries"]
        if page["nextCursor"] is None:
            return found
        cursor = f"&cursor={page['nextCursor']}"


@pytest.mark.parametrize("options", [(), ("--cloud-tasks",)], ids=["embedded", "grpc"])
def test_killed_at_any_point_and_started_again_no_job_is_lost_and_none_is_paid_twice(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    draw = random.Random(20_260_101)
    port = free_port()
    settings = {**HASTE, "INITIAL_CREDITS": str(JOBS)}

    def start() -> Any:
        return stack(tmp_path, "--unthrottled", *options, port=port, settings=settings)

    with start() as first:
        token = first.token()
        first.kill()
    with submitting(first.url, token) as client:
        for _ in range(KILLS):
            with start() as found:
                client.enough.wait(draw.uniform(0.05, 1.5))
                found.kill()
            assert wait_for_processes_to_end(tmp_path), find_processes(tmp_path)
        with start() as last:
            client.join(180)
            check(last, client.jobs)


@pytest.mark.parametrize("options", [(), ("--cloud-tasks",)], ids=["embedded", "grpc"])
def test_fifteen_seconds_after_a_kill_of_everything_all_jobs_have_ended(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """With the dev stack's own settings: leases of the dead and tasks that were never sent."""
    port = free_port()
    slow = {"prompt": "a kite", "options": {"studio": {"mode": "slow", "seconds": 2}}}
    settings = {"INITIAL_CREDITS": str(JOBS + 1), "LOG_LEVEL": "ERROR"}
    with stack(tmp_path, "--unthrottled", *options, port=port, settings=settings) as first:
        token = first.token()
        with first.client() as client:
            running = client.post("/api/jobs/image-generation", json=slow).json()["jobId"]
        with submitting(first.url, token) as submitter:
            submitter.enough.wait(1.5)
            first.kill()
            submitter.enough.set()
    assert wait_for_processes_to_end(tmp_path), find_processes(tmp_path)
    starting = time.monotonic()
    with stack(tmp_path, "--unthrottled", *options, port=port, settings=settings) as second:
        # Seconds on a quiet machine; on a busy one all that follows takes longer, too.
        start_seconds = time.monotonic() - starting
        with second.client() as client:
            began = time.monotonic()
            # The kill may have cut off an answer: such a job is stored though nobody has its id.
            stored = {job["jobId"] for job in client.get("/api/jobs?limit=100").json()["jobs"]}
            accepted = {running, *submitter.jobs.values()}
            ended = {job_id: wait_for_job(client, job_id) for job_id in stored | accepted}
        assert time.monotonic() - began <= 15 + 2 * start_seconds
    assert {job["status"] for job in ended.values()} == {"COMPLETED"}
    assert {ended[job_id]["attempt"] for job_id in accepted} == {1}


def check(last: Stack, jobs: dict[int, str]) -> None:
    assert len(set(jobs.values())) == JOBS
    with last.client() as client:
        ended = [wait_for_job(client, job) for job in jobs.values()]
        account = client.get("/api/credits").json()
        captures = [entry["jobId"] for entry in entries(client) if entry["kind"] == "capture"]
    assert [job for job in ended if job["status"] != "COMPLETED"] == []
    assert sorted(captures) == sorted(jobs.values())
    assert account == {
        "userId": "dev",
        "available": 0,
        "held": 0,
        "captured": JOBS,
        "granted": JOBS,
    }


def test_ctrl_c_gives_leases_back_and_the_next_start_goes_on(tmp_path: Path) -> None:
    slow = {
        "prompt": "a kite",
        "options": {"width": 64, "height": 64, "studio": {"mode": "slow", "seconds": 3}},
    }
    port = free_port()
    with stack(tmp_path, port=port) as first, first.client() as client:
        job = client.post("/api/jobs/image-generation", json=slow).json()
        with client.stream("GET", f"/api/jobs/{job['jobId']}/events") as events:
            assert any('"status":"PROCESSING"' in line for line in events.iter_lines())
        assert first.interrupt() == 0
        assert "Traceback" not in (tmp_path / "log.txt").read_text()
    assert wait_for_processes_to_end(tmp_path)
    with stack(tmp_path, port=port) as second, second.client() as client:
        done = wait_for_job(client, job["jobId"])
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)


def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    with stack(tmp_path, settings=HASTE) as found, found.client() as client:
        (server,) = [
            pid
            for pid in find_processes(tmp_path)
            if b"taskreel_local.stack.server_main" in command(pid)
        ]
        os.kill(server, signal.SIGKILL)
        job = None
        while job is None:
            try:
                job = client.post("/api/jobs/image-generation", json=body(3)).json()
            except httpx.TransportError:
                continue
        assert wait_for_job(client, job["jobId"])["status"] == "COMPLETED"


def command(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


def test_a_stack_on_any_port_takes_its_last_one_again_so_that_waiting_tasks_arrive(
    tmp_path: Path,
) -> None:
    pending = {
        "prompt": "a kite",
        "options": {"studio": {"mode": "pending", "seconds": 3, "times": 1}},
    }
    with stack(tmp_path) as first, first.client() as client:
        job = client.post("/api/jobs/image-generation", json=pending).json()
    with stack(tmp_path) as second, second.client() as client:
        assert second.url == first.url
        assert wait_for_job(client, job["jobId"])["status"] == "COMPLETED"


def test_ten_submissions_at_once_on_credits_for_one_start_exactly_one(tmp_path: Path) -> None:
    three = {"prompts": ["a", "b", "c"], "options": {"studio": {"mode": "noop"}}}

    async def submit_all(url: str, token: str) -> list[int]:
        async with httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}
        ) as client:
            answers = await asyncio.gather(
                *(client.post("/api/jobs/batch-generation", json=three) for _ in range(10))
            )
        return sorted(answer.status_code for answer in answers)

    with stack(tmp_path, settings={"INITIAL_CREDITS": "3"}) as found:
        assert asyncio.run(submit_all(found.url, found.token())) == [202] + [402] * 9
        with found.client() as client:
            (job,) = client.get("/api/jobs").json()["jobs"]
            assert wait_for_job(client, job["jobId"])["credits"]["captured"] == 3
            assert client.get("/api/credits").json() == {
                "userId": "dev",
                "available": 0,
                "held": 0,
                "captured": 3,
                "granted": 3,
            }
