"""Cold start: process start → first 200 of the deployed `jobs_api`, beside a bare function on the same framework."""

from __future__ import annotations

import compileall
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taskreel_local.bench.http import answers
from taskreel_local.bench.processes import Tree, clean_environ, free_port, wait_for
from taskreel_local.bench.table import table, told, told_ratio
from taskreel_local.stack import MAIN, ROOT

RUNS = 7
_SECONDS = 60.0
_BARE = Path(__file__).with_name("bare.py")


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
        pairs = [(_start("bare", _BARE, {}), _start("jobs_api", MAIN, settings)) for _ in range(runs + 1)][1:]
    bare, ours = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    print(f"\nCold start: process start → first 200, in turn, {runs} runs each; median (least–most)")
    print(table(("", "ms", "ratio", "MB", "ratio"), [_row("bare function", bare, bare), _row("jobs_api", ours, bare)]))


def _embedded(folder: Path) -> Mapping[str, str]:
    return {
        "STORE_URL": f"sqlite:///{folder / 'store.db'}",
        "BLOBS_URL": f"file:///{folder / 'files'}",
        "SCRATCH_DIR": str(folder / "scratch"),
        "INTERNAL_API_KEY": "0123456789abcdef",
        "JWT_SECRET": "0123456789abcdef0123456789abcdef",
        "FILES_SECRET": "0123456789abcdef0123456789abcdef",
        "PYTHONPATH": str(ROOT / "functions"),
    }


def _start(target: str, source: Path, settings: Mapping[str, str]) -> Start:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    framework = str(Path(sys.executable).with_name("functions-framework"))
    command = [framework, "--target", target, "--source", str(source), "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.NamedTemporaryFile(prefix="taskreel-bench-") as log, Tree(Path(log.name)) as tree:
        began = time.perf_counter()
        tree.start(command, environ=clean_environ(**settings))
        for _ in wait_for(_SECONDS, f"starting {target}", tree):
            if answers(url, "/api/jobs/health"):
                break
        milliseconds = (time.perf_counter() - began) * 1000
        return Start(milliseconds, tree.memory_mb())


def _row(name: str, starts: list[Start], bare: list[Start]) -> list[str]:
    times, memory = [start.milliseconds for start in starts], [start.memory_mb for start in starts]
    return [
        name,
        told(times),
        told_ratio(times, [start.milliseconds for start in bare]),
        told(memory),
        told_ratio(memory, [start.memory_mb for start in bare]),
    ]
