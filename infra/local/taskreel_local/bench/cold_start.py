"""Cold start: process start → first 200 of the deployed functions, beside bare ones on the same framework."""

from __future__ import annotations

import compileall
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskreel_local.bench.process_tree import BenchError, Tree, clean_environ, free_port, wait_for
from taskreel_local.bench.table import table, told, told_ratio
from taskreel_local.emulators.google_emulators import EmulatorMissingError, firestore_emulator
from taskreel_local.stack.repository_paths import MAIN, ROOT

RUNS = 7
_SECONDS = 60.0
_BARE = Path(__file__).with_name("bare.py")
_BARE_GOOGLE = Path(__file__).with_name("bare_google.py")
_KEY = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class First:
    """A function's first request: one that asks its store."""

    path: str
    body: bytes | None = None


_FIRST: Mapping[str, First] = {
    "jobs_api": First("/api/jobs/health"),
    "task_processor": First("/tasks/process", b'{"jobId": "job_of_nobody"}'),
    "maintenance": First("/tasks/sweep", b"{}"),
}

_ALL = "Firestore, Cloud Tasks, Storage"
_SWEEP = "Firestore, Cloud Tasks"
_LEAST = "Firestore alone"
_BARE_CLIENTS: Mapping[str, str] = {_ALL: "tasks_v2 storage", _SWEEP: "tasks_v2", _LEAST: ""}
#: Which of ours uses the clients that the bare function imports; the last is the strictest that can be asked.
_BESIDE: Mapping[str, Sequence[str]] = {
    _ALL: ("jobs_api", "task_processor"),
    _SWEEP: ("maintenance",),
    _LEAST: tuple(_FIRST),
}


@dataclass(frozen=True, slots=True)
class Start:
    """One cold start."""

    milliseconds: float
    memory_mb: float


def run_cold_start(runs: int = RUNS) -> None:
    """Measure both in turn, after one of each that warms the disk's cache, and print the table."""
    for folder in (ROOT / "functions", _BARE.parent):
        compileall.compile_dir(folder, quiet=2)
    with tempfile.TemporaryDirectory(prefix="taskreel-bench-") as text:
        settings = _embedded(Path(text))
        pairs = [
            (_start("bare", _BARE, {}), _start("jobs_api", MAIN, settings)) for _ in range(runs + 1)
        ][1:]
    bare, ours = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    print(
        f"\nCold start: process start → first 200, in turn, {runs} runs each; median (least–most)"
    )
    print(
        table(
            ("", "ms", "ratio", "MB", "ratio"),
            [_row("bare function", bare, bare), _row("jobs_api", ours, bare)],
        )
    )


def run_cold_start_google(runs: int = RUNS) -> None:
    """The same for each function on Google's adapters, against Firestore's emulator."""
    try:
        with firestore_emulator() as address:
            rounds = [_round(address) for _ in range(runs + 1)][1:]
    except EmulatorMissingError as missing:
        raise BenchError(str(missing)) from None
    starts = {name: [one[name] for one in rounds] for name in rounds[0]}
    for label, ours in _BESIDE.items():
        print(
            f"\nCold start on Google's adapters, {runs} runs each; beside a function that imports {label}"
        )
        rows = [_row(name, starts[name], starts[label]) for name in (label, *ours)]
        print(table(("", "ms", "ratio", "MB", "ratio"), rows))


def _round(address: str) -> dict[str, Start]:
    """Each once. What is not asked at the first request is not there: nobody listens on port 1."""
    settings = {
        **_embedded(Path(tempfile.gettempdir())),
        "STORE_URL": f"firestore://bench?emulator={address}",
        "TASKS_URL": "cloudtasks://bench/europe-central2?emulator=127.0.0.1:1",
        "BLOBS_URL": "gs://bench?emulator=http://127.0.0.1:1",
    }
    bare = {
        label: _start(
            "bare_google",
            _BARE_GOOGLE,
            {"FIRESTORE_EMULATOR_HOST": address, "BENCH_CLIENTS": clients},
        )
        for label, clients in _BARE_CLIENTS.items()
    }
    return {**bare, **{name: _start(name, MAIN, settings) for name in _FIRST}}


def _embedded(folder: Path) -> Mapping[str, str]:
    return {
        "STORE_URL": f"sqlite:///{folder / 'store.db'}",
        "BLOBS_URL": f"file:///{folder / 'files'}",
        "SCRATCH_DIR": str(folder / "scratch"),
        "INTERNAL_API_KEY": _KEY,
        "JWT_SECRET": "0123456789abcdef0123456789abcdef",
        "FILES_SECRET": "0123456789abcdef0123456789abcdef",
        "PYTHONPATH": str(ROOT / "functions"),
    }


def _start(target: str, source: Path, settings: Mapping[str, str]) -> Start:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    framework = str(Path(sys.executable).with_name("functions-framework"))
    command = [
        framework,
        "--target",
        target,
        "--source",
        str(source),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with tempfile.NamedTemporaryFile(prefix="taskreel-bench-") as log, Tree(Path(log.name)) as tree:
        began = time.perf_counter()
        tree.start(command, environ=clean_environ(**settings))
        for _ in wait_for(_SECONDS, f"starting {target}", tree):
            if _answers(url, _FIRST.get(target, First("/"))):
                break
        milliseconds = (time.perf_counter() - began) * 1000
        return Start(milliseconds, tree.memory_mb())


def _answers(url: str, first: First) -> bool:
    headers = {"X-Internal-Api-Key": _KEY, "Content-Type": "application/json"}
    request = urllib.request.Request(url + first.path, first.body, headers)  # noqa: S310 - our own http URL
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own http URL
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _row(name: str, starts: list[Start], bare: list[Start]) -> list[str]:
    times, memory = [start.milliseconds for start in starts], [start.memory_mb for start in starts]
    return [
        name,
        told(times),
        told_ratio(times, [start.milliseconds for start in bare]),
        told(memory),
        told_ratio(memory, [start.memory_mb for start in bare]),
    ]
