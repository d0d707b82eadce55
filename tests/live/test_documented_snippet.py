"""The client snippet of document 1, unchanged, against `taskreel dev --port 3000`."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest

from e2e.processes import stack
from functions import documents_text

SNIPPET = documents_text.fences()["1 WebSocket Updates"]
PORT = 3000
JOB = {"prompt": "a kite", "options": {"width": 64, "height": 64}}


def find_port() -> int:
    """The documented port, or any where something else listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT


class Printed:
    """The text that a client prints, as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.text = ""
        self._process = process
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self.text += line
                self._news.notify_all()

    def has(self, word: str, seconds: float) -> bool:
        with self._news:
            return self._news.wait_for(lambda: word in self.text, seconds)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.mark.slow
def test_it_prints_the_documented_fields(node_project: Path, tmp_path: Path) -> None:
    assert SNIPPET.count(f"io('ws://localhost:{PORT}')") == 1
    with stack(tmp_path / "data", port=find_port()) as running, running.client() as client:
        port = running.url.rpartition(":")[2]
        snippet = SNIPPET.replace(str(PORT), port)
        program = f'import {{ io }} from "socket.io-client";\n{snippet}'
        (node_project / "documented.mjs").write_text(program)
        process = subprocess.Popen(
            ["node", "documented.mjs"], cwd=node_project, stdout=subprocess.PIPE, text=True
        )
        printed = Printed(process)
        try:
            # It says nothing when it is connected: jobs are submitted until it reports one's end.
            for _ in range(60):
                client.post("/api/jobs/image-generation", json=JOB).raise_for_status()
                if printed.has("'COMPLETED'", seconds=1):
                    break
            assert printed.has("resultUrl: 'http", seconds=60), printed.text
        finally:
            printed.close()
    text = printed.text
    assert text.startswith("Job update: {")
    for field in ("jobId: 'job_", "status: 'COMPLETED'", "progress: 100", "error: null"):
        assert field in text
    assert f"resultUrl: 'http://127.0.0.1:{port}/files/" in text
