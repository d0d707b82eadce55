"""The `taskreel` command as a user runs it: real processes and HTTP, a data folder of its own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import httpx

from secret_watch import find_secrets
from taskreel_local.stack.data_folder import DataFolder
from taskreel_local.stack.dev_tokens import make_token

ROOT = Path(__file__).resolve().parents[2]
TASKREEL = Path(sys.executable).with_name("taskreel")
START_SECONDS = 60.0


def environment(**more: str) -> dict[str, str]:
    """Return an environment without settings of the developer's, plus these."""
    passed = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH")
        if name in os.environ
    }
    return {**passed, "COLUMNS": "200", **more}


def taskreel(
    *arguments: str, seconds: float = 60, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a `taskreel` command to its end."""
    return subprocess.run(
        [str(TASKREEL), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds,
        input=stdin,
        env=environment(),
    )


@dataclass
class Stack:
    """A running dev stack, in a process of its own."""

    data: Path
    process: subprocess.Popen[str]
    url: str

    def token(self, user: str = "dev", *, tier: str = "enterprise", **claims: Any) -> str:
        """A token as `taskreel token` prints it; a process for each would take half a second."""
        return make_token(DataFolder(self.data), user=user, tier=tier, **claims)

    def client(self, user: str = "dev", **claims: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(user, **claims)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60)

    def kill(self) -> None:
        """Kill the stack with SIGKILL, as the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait(60)

    def interrupt(self) -> int:
        """Send SIGINT, as Ctrl-C does; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def stack(
    data: Path,
    *options: str,
    port: int = 0,
    settings: Mapping[str, str] = MappingProxyType({}),
    within: Sequence[str] = (),
) -> Iterator[Stack]:
    """Run `taskreel dev` until the end of the block; the block may end it earlier.

    `within` is a command that runs the command given to it as its last arguments.
    """
    data.mkdir(parents=True, exist_ok=True)
    with (data / "log.txt").open("a") as log:
        process = _start(data, log, options, port, settings, within)
        try:
            yield Stack(data, process, _url(process, data))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(60)
            if process.stdout is not None:
                process.stdout.close()
    require_no_secrets(data)


def require_no_secrets(data: Path) -> None:
    """Raise AssertionError if the log of a stack holds a secret of its data folder, or a token."""
    secrets = DataFolder(data).load_secrets()
    own = (secrets.jwt, secrets.internal, secrets.files)
    found = find_secrets((data / "log.txt").read_text(errors="replace"), own)
    assert not found, f"{data}/log.txt holds {found}"


def _start(
    data: Path,
    log: IO[str],
    options: tuple[str, ...],
    port: int,
    settings: Mapping[str, str],
    within: Sequence[str],
) -> subprocess.Popen[str]:
    command = [*within, str(TASKREEL), "dev", "--port", str(port), "--data", str(data), *options]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment(**settings),
        cwd=data,
        start_new_session=True,
    )


def _url(process: subprocess.Popen[str], data: Path) -> str:
    """Return the URL that the stack prints once it is ready."""
    assert process.stdout is not None
    too_late = threading.Timer(START_SECONDS, process.kill)
    too_late.start()
    try:
        for line in iter(process.stdout.readline, ""):
            if "runs at " in line:
                return line.partition("runs at ")[2].split()[0]
    finally:
        too_late.cancel()
    process.wait()
    raise AssertionError(f"the stack did not start:\n{(data / 'log.txt').read_text()[-4000:]}")


def find_processes(data: Path) -> list[int]:
    """Find the processes whose command line or environment names the data folder."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue  # it has just ended, or is not ours
        if os.fsencode(data) in text and state != "Z":
            found.append(int(folder.name))
    return found


def wait_for_processes_to_end(data: Path, seconds: float = 60) -> bool:
    """Wait until all processes of a data folder have ended; False if one has not in time."""
    for process in find_processes(data):
        try:
            descriptor = os.pidfd_open(process)
        except ProcessLookupError:
            continue
        ended = select.select([descriptor], [], [], seconds)[0]
        os.close(descriptor)
        if not ended:
            return False
    return not find_processes(data)


def wait_for_job(client: httpx.Client, job_id: str) -> dict[str, Any]:
    """Wait until a job has ended and return it."""
    for _ in range(10):
        job: dict[str, Any] = client.get(
            f"/api/jobs/{job_id}", headers={"Prefer": "wait=10"}
        ).json()
        if job["status"] in {"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"}:
            return job
    raise AssertionError(f"not finished: {job}")
