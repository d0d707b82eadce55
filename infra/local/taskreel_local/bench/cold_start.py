"""Cold starts: processor time and time to the first 200 of each function, next to a bare one."""

from __future__ import annotations

import compileall
import contextlib
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from operator import attrgetter
from pathlib import Path

import httpx

from taskreel_local.bench.process_tree import (
    BenchmarkError,
    ProcessTree,
    clean_environ,
    free_port,
    wait_for,
)
from taskreel_local.bench.table import format_ratio, format_table, format_values
from taskreel_local.emulators.google_emulators import EmulatorMissingError, firestore_emulator
from taskreel_local.stack.dev_tokens import sign_claims
from taskreel_local.stack.repository_paths import MAIN, ROOT

RUNS = 7
_SECONDS = 60.0
_BARE = Path(__file__).with_name("bare.py")
_BARE_PYDANTIC = Path(__file__).with_name("bare_pydantic.py")
_BARE_GOOGLE = Path(__file__).with_name("bare_google.py")
_KEY = "0123456789abcdef"
_JWT_KEY = "0123456789abcdef0123456789abcdef"
_HEAD = ("", "CPU-ms", "ratio", "ms", "ratio", "MB", "ratio")


@dataclass(frozen=True, slots=True)
class FirstRequest:
    """The first request of a function: one that reads from its store."""

    function: str
    path: str = "/"
    body: bytes | None = None
    status: int = HTTPStatus.OK


_HEALTH, _STATUS = "jobs_api, health", "jobs_api, a status"
_FIRST: Mapping[str, FirstRequest] = {
    _HEALTH: FirstRequest("jobs_api", "/api/jobs/health"),
    # Of no job: the store is read, and nothing is found.
    _STATUS: FirstRequest("jobs_api", f"/api/jobs/job_{'0' * 26}", status=HTTPStatus.NOT_FOUND),
    "task_processor": FirstRequest(
        "task_processor", "/tasks/process", b'{"jobId": "job_of_nobody"}'
    ),
    "maintenance": FirstRequest("maintenance", "/tasks/sweep", b"{}"),
}

_ALL_CLIENTS = "Firestore, Cloud Tasks, Storage"
_SWEEP = "Firestore, Cloud Tasks"
_FIRESTORE_ONLY = "Firestore alone"
_BARE_CLIENTS: Mapping[str, str] = {
    _ALL_CLIENTS: "tasks_v2 storage",
    _SWEEP: "tasks_v2",
    _FIRESTORE_ONLY: "",
}
#: What is measured on the embedded default, which serves all functions.
_OWN = (_HEALTH, _STATUS)
#: Our functions to compare with each bare function; the last is the strictest comparison.
_COMPARED_WITH: Mapping[str, Sequence[str]] = {
    _ALL_CLIENTS: (_HEALTH, _STATUS, "task_processor"),
    _SWEEP: ("maintenance",),
    _FIRESTORE_ONLY: tuple(_FIRST),
}


@dataclass(frozen=True, slots=True)
class ColdStart:
    """One cold start."""

    #: Processor time of all processes; on a shared machine it says more than the time that passed.
    cpu_ms: float
    start_ms: float
    memory_mb: float


def run_cold_start(runs: int = RUNS) -> None:
    """Measure the functions in turn, after one warm-up of the disk cache, and print a table."""
    for folder in (ROOT / "functions", _BARE.parent):
        compileall.compile_dir(folder, quiet=2)
    with tempfile.TemporaryDirectory(prefix="taskreel-bench-") as text:
        settings = _embedded_settings(Path(text))
        rounds = [
            {
                "bare function": _measure_start(FirstRequest("bare"), _BARE, {}),
                "with pydantic": _measure_start(FirstRequest("bare_pydantic"), _BARE_PYDANTIC, {}),
                **{name: _measure_start(_FIRST[name], MAIN, settings) for name in _OWN},
            }
            for _ in range(runs + 1)
        ][1:]
    starts = {name: [one[name] for one in rounds] for name in rounds[0]}
    print(f"\nCold start: process start → first 200, in turn, {runs} runs each; median (min–max)")
    rows = [_table_row(name, found, starts["bare function"]) for name, found in starts.items()]
    print(format_table(_HEAD, rows))


def run_cold_start_google(runs: int = RUNS) -> None:
    """Measure each function on Google's adapters, with the Firestore emulator."""
    try:
        with firestore_emulator() as address:
            rounds = [_start_each_once(address) for _ in range(runs + 1)][1:]
    except EmulatorMissingError as missing:
        raise BenchmarkError(str(missing)) from None
    starts = {name: [one[name] for one in rounds] for name in rounds[0]}
    for label, ours in _COMPARED_WITH.items():
        print(
            f"\nCold start on Google's adapters, {runs} runs each; "
            f"compared with a function that imports {label}"
        )
        rows = [_table_row(name, starts[name], starts[label]) for name in (label, *ours)]
        print(format_table(_HEAD, rows))


def _start_each_once(address: str) -> dict[str, ColdStart]:
    """Start each function once.

    Services that the first request does not call are configured on port 1, where nothing listens.
    """
    settings = {
        **_embedded_settings(Path(tempfile.gettempdir())),
        "STORE_URL": f"firestore://bench?emulator={address}",
        "TASKS_URL": "cloudtasks://bench/europe-central2?emulator=127.0.0.1:1",
        "BLOBS_URL": "gs://bench?emulator=http://127.0.0.1:1",
    }
    bare = {
        label: _measure_start(
            FirstRequest("bare_google"),
            _BARE_GOOGLE,
            {"FIRESTORE_EMULATOR_HOST": address, "BENCH_CLIENTS": clients},
        )
        for label, clients in _BARE_CLIENTS.items()
    }
    return {**bare, **{name: _measure_start(one, MAIN, settings) for name, one in _FIRST.items()}}


def _embedded_settings(folder: Path) -> Mapping[str, str]:
    return {
        "STORE_URL": f"sqlite:///{folder / 'store.db'}",
        "BLOBS_URL": f"file:///{folder / 'files'}",
        "SCRATCH_DIR": str(folder / "scratch"),
        "INTERNAL_API_KEY": _KEY,
        "JWT_SECRET": _JWT_KEY,
        "FILES_SECRET": "0123456789abcdef0123456789abcdef",
        "PYTHONPATH": str(ROOT / "functions"),
    }


def _measure_start(first: FirstRequest, source: Path, settings: Mapping[str, str]) -> ColdStart:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    framework = str(Path(sys.executable).with_name("functions-framework"))
    command = [
        framework,
        "--target",
        first.function,
        "--source",
        str(source),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (
        tempfile.NamedTemporaryFile(prefix="taskreel-bench-") as log,
        ProcessTree(Path(log.name)) as tree,
    ):
        began = time.perf_counter()
        tree.start(command, environ=clean_environ(**settings))
        for _ in wait_for(_SECONDS, f"starting {first.function}", tree):
            if _has_answered(url, first):
                break
        start_ms = (time.perf_counter() - began) * 1000
        return ColdStart(tree.live_cpu_ms(), start_ms, tree.memory_mb())


def _has_answered(url: str, first: FirstRequest) -> bool:
    claims = {"sub": "bench", "exp": int(time.time()) + 600}
    headers = {
        "X-Internal-Api-Key": _KEY,
        "Content-Type": "application/json",
        "Authorization": f"Bearer {sign_claims(claims, _JWT_KEY)}",
    }
    with contextlib.suppress(httpx.TransportError):
        method = "GET" if first.body is None else "POST"
        answer = httpx.request(method, url + first.path, content=first.body, headers=headers)
        return answer.status_code == first.status
    return False


def _table_row(name: str, starts: list[ColdStart], bare: list[ColdStart]) -> list[str]:
    row = [name]
    for read in (attrgetter("cpu_ms"), attrgetter("start_ms"), attrgetter("memory_mb")):
        values = [read(start) for start in starts]
        row += [format_values(values), format_ratio(values, [read(start) for start in bare])]
    return row
