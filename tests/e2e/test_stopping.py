"""A server that is told to stop answers what it has begun, and loses no task of a stored job."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.processes import Stack, find_processes, stack, wait_for_job

CALLERS, ROUNDS = 8, 6
#: So many answers come between two signals.
ANSWERS = 10
BODY = {
    "prompt": "a kite",
    "options": {"width": 64, "height": 64, "studio": {"mode": "noop"}},
}
#: A job whose task was lost is found only after the test: its task must not be lost.
SETTINGS = {"RESCUE_AFTER_SECONDS": "120", "LOG_LEVEL": "WARNING", "INITIAL_CREDITS": "100000"}


class Caller(threading.Thread):
    """Submits jobs one after another, each on a connection of its own, until `enough`."""

    def __init__(self, running: Stack, token: str, enough: threading.Event) -> None:
        super().__init__()
        self._url = running.url
        self._headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        self._enough = enough
        self.answers: Counter[str] = Counter()
        self.jobs: list[str] = []
        self.slowest_seconds = 0.0

    def run(self) -> None:
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=90) as client:
            while not self._enough.is_set():
                begun = time.monotonic()
                try:
                    answer = client.post("/api/jobs/image-generation", json=BODY)
                except httpx.TransportError as error:
                    self.answers[type(error).__name__] += 1
                else:
                    self.answers[str(answer.status_code)] += 1
                    if answer.status_code == httpx.codes.ACCEPTED:
                        self.jobs.append(answer.json()["jobId"])
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - begun)


def find_servers(data: Path) -> list[int]:
    return [
        process
        for process in find_processes(data)
        if b"server_main" in Path(f"/proc/{process}/cmdline").read_bytes()
    ]


def wait_for_answers(callers: Sequence[Caller]) -> None:
    """Wait until the callers have some more answers."""
    wanted = sum(len(caller.jobs) for caller in callers) + ANSWERS
    until = time.monotonic() + 60
    while sum(len(caller.jobs) for caller in callers) < wanted and time.monotonic() < until:
        time.sleep(0.05)


def list_open_jobs(client: httpx.Client) -> list[dict[str, Any]]:
    return [
        job
        for status in ("QUEUED", "PROCESSING")
        for job in client.get("/api/jobs", params={"status": status}).json()["jobs"]
    ]


@pytest.mark.parametrize("options", [(), ("--cloud-tasks",)], ids=["embedded", "grpc"])
def test_a_server_that_stops_under_load_answers_what_it_has_begun(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    starting = time.monotonic()
    with stack(tmp_path, *options, "--unthrottled", settings=SETTINGS) as running:
        start_seconds = time.monotonic() - starting
        enough = threading.Event()
        token = running.token()
        callers = [Caller(running, token, enough) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        for number in range(ROUNDS):
            # Without Cloud Tasks there is one server: the next signal is for one that serves again.
            wait_for_answers(callers)
            while not (servers := find_servers(tmp_path)):
                time.sleep(0.05)  # all of them are being started again
            os.kill(servers[number % len(servers)], signal.SIGTERM)
        wait_for_answers(callers)
        enough.set()
        for caller in callers:
            caller.join(100)
        answers = sum((caller.answers for caller in callers), Counter())
        slowest = max(caller.slowest_seconds for caller in callers)
        jobs = [job for caller in callers for job in caller.jobs]

        with running.client() as client:
            for job in jobs[-1:]:
                wait_for_job(client, job)
            until = time.monotonic() + 60
            while (lost := list_open_jobs(client)) and time.monotonic() < until:
                time.sleep(0.2)
    log = (tmp_path / "log.txt").read_text()
    found = f"{answers}, slowest {slowest:.1f} s, {len(lost)} lost"
    assert set(answers) == {"202"}, found
    # A call may meet a server that starts, which takes as long as the machine takes for that.
    assert slowest < 5 + 2 * start_seconds, found
    assert "Traceback" not in log, log[-4000:]
    assert not lost, found
