"""Callers who open connections and send nothing shut nobody out of the stack."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from e2e.processes import find_processes, stack, wait_for_job

#: A shell's usual limit on open files, as hard a limit as a process can have.
WITHIN = ["/bin/sh", "-c", 'ulimit -n 1024 && exec "$@"', "sh"]
IDLE = 2100
BODY = {"prompt": "a kite", "options": {"width": 64, "height": 64, "studio": {"mode": "noop"}}}


@contextmanager
def many_descriptors(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, count), hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory_mib(data: Path) -> int:
    """The memory of all processes of the stack."""
    total = 0
    for process in find_processes(data):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                total += int(line.split()[1])
    return total >> 10


def test_idle_connections_and_endless_headers_block_no_other_client(tmp_path: Path) -> None:
    with (
        stack(tmp_path, within=WITHIN) as running,
        many_descriptors(2 * IDLE),
        running.client() as client,
        ExitStack() as opened,
    ):
        host, _, port = running.url.removeprefix("http://").partition(":")
        before = memory_mib(tmp_path)
        for _ in range(IDLE):
            connection = socket.create_connection((host, int(port)), timeout=5)
            opened.callback(connection.close)
        job = client.post("/api/jobs/image-generation", json=BODY, timeout=5)
        assert job.status_code == 202
        assert wait_for_job(client, job.json()["jobId"])["status"] == "COMPLETED"

        endless = socket.create_connection((host, int(port)), timeout=5)
        opened.callback(endless.close)
        sent = 0
        try:
            endless.sendall(b"GET / HTTP/1.1\r\nX: ")
            for _ in range(400):
                endless.sendall(b"v" * (1 << 20))
                sent += 1
        except OSError:
            pass
        assert sent < 100
        assert memory_mib(tmp_path) - before < 150
        assert client.get("/api/jobs/health", timeout=5).status_code == 200
