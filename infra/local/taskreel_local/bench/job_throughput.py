"""Job throughput next to peers: from the first submission over HTTP to the last completed job."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from taskreel_local.bench.contenders import CONTENDERS, LABELS, SUBMIT, Running
from taskreel_local.bench.load import Load
from taskreel_local.bench.process_tree import BenchmarkError, PeakMemory
from taskreel_local.bench.table import format_ratio, format_table, format_values

BASE = "express-bullmq"
_WARM_UP = 300
_STUCK_SECONDS = 20.0
_POLL_SECONDS = 0.02

_COLUMNS = (
    "",
    "jobs/s",
    "ratio",
    "CPU-ms/job",
    "ratio",
    "RPCs/job",
    "peak MB",
    "submit p50 ms",
    "p99 ms",
    "not 2xx",
    "reused",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One contender in one run."""

    jobs_per_second: float
    cpu_ms: float
    rpcs: float | None
    peak_mb: float
    p50_ms: float
    p99_ms: float
    refused: int
    reused: float


@dataclass(slots=True)
class Results:
    """The samples of each contender, or the reason why it has none."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run_jobs(load: Load, names: Sequence[str], repeat: int) -> None:
    """Measure `names` in turn, `repeat` times, every second time in reverse; print a table."""
    results = Results()
    for round_ in range(repeat):
        for name in names if round_ % 2 == 0 else reversed(names):
            if name not in results.failures:
                _add_sample(results, name, load)
    print(_table_title(load, repeat))
    print(format_table(_COLUMNS, [_table_row(name, results) for name in names]))
    for name, why in results.failures.items():
        if name in results.samples:
            print(f"{LABELS[name]}: a run failed: {why}")


def _add_sample(results: Results, name: str, load: Load) -> None:
    try:
        sample = _measure_contender(name, load)
    except BenchmarkError as error:
        results.failures[name] = str(error)
    else:
        results.samples.setdefault(name, []).append(sample)


def _measure_contender(name: str, load: Load) -> Sample:
    with tempfile.TemporaryDirectory(prefix="taskreel-bench-") as text:
        folder = Path(text)
        with CONTENDERS[name](folder) as running:
            warm = load.send(
                running.url + SUBMIT, running.body, running.token, folder, jobs=_WARM_UP
            )
            _wait_until_completed(running, warm.accepted)
            return _measure_load(running, load, folder)


def _measure_load(running: Running, load: Load, folder: Path) -> Sample:
    rpcs = running.rpcs() if running.rpcs else 0
    before, cpu = running.completed(), running.tree.cpu_seconds()
    with PeakMemory(running.tree) as peak:
        began = time.perf_counter()
        sent = load.send(running.url + SUBMIT, running.body, running.token, folder)
        _wait_until_completed(running, before + sent.accepted)
        seconds = time.perf_counter() - began
    done = running.completed() - before
    return Sample(
        jobs_per_second=done / seconds,
        cpu_ms=(running.tree.cpu_seconds() - cpu) * 1000 / max(done, 1),
        rpcs=(running.rpcs() - rpcs) / max(done, 1) if running.rpcs else None,
        peak_mb=peak.megabytes,
        p50_ms=sent.p50_ms,
        p99_ms=sent.p99_ms,
        refused=sent.refused,
        reused=sent.reused,
    )


def _wait_until_completed(running: Running, wanted: int) -> None:
    """Wait until `wanted` jobs are completed. Raises BenchmarkError without progress."""
    done, moved = -1, time.monotonic()
    while (now := running.completed()) < wanted:
        running.tree.check_running()
        if now != done:
            done, moved = now, time.monotonic()
        if time.monotonic() - moved > _STUCK_SECONDS:
            raise BenchmarkError(
                f"stuck: {now} of {wanted} jobs completed, none for {_STUCK_SECONDS:.0f} s"
            )
        time.sleep(_POLL_SECONDS)


def _table_title(load: Load, repeat: int) -> str:
    runs = "one run" if repeat == 1 else f"{repeat} runs in alternating order, median (min–max)"
    return (
        f"\nJobs: {load.jobs} submissions, {load.concurrency} at a time by {load.generator}; {runs}"
    )


def _table_row(name: str, results: Results) -> list[str]:
    samples = results.samples.get(name)
    if not samples:
        return [LABELS[name], results.failures[name]]
    base = results.samples.get(BASE, [])
    columns = _sample_columns(samples)
    against = _sample_columns(base[: len(samples)]) if len(base) >= len(samples) else None
    return [
        LABELS[name],
        format_values(columns["rate"]),
        format_ratio(columns["rate"], against["rate"]) if against else "–",
        format_values(columns["cpu"], ".2f"),
        format_ratio(columns["cpu"], against["cpu"]) if against else "–",
        format_values(columns["rpcs"], ".1f") if columns["rpcs"] else "–",
        format_values(columns["peak"]),
        format_values(columns["p50"]),
        format_values(columns["p99"]),
        str(sum(sample.refused for sample in samples)),
        f"{min(sample.reused for sample in samples):.0%}",
    ]


def _sample_columns(samples: Sequence[Sample]) -> Mapping[str, list[float]]:
    return {
        "rate": [sample.jobs_per_second for sample in samples],
        "cpu": [sample.cpu_ms for sample in samples],
        "rpcs": [sample.rpcs for sample in samples if sample.rpcs is not None],
        "peak": [sample.peak_mb for sample in samples],
        "p50": [sample.p50_ms for sample in samples],
        "p99": [sample.p99_ms for sample in samples],
    }
