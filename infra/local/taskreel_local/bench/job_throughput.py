"""Job throughput next to peers: from the first submission over HTTP to the last completed job."""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from taskreel_local.bench.bar_chart import BarGroup, draw_bars
from taskreel_local.bench.contenders import CONTENDERS, LABELS, SUBMIT, Running
from taskreel_local.bench.job_latency import LONE_JOBS, Latency, measure_latency
from taskreel_local.bench.load import Load
from taskreel_local.bench.process_tree import BenchmarkError, PeakMemory
from taskreel_local.bench.table import format_ratio, format_table, format_values

BASE = "express-bullmq"
#: Jobs before those that are measured.
WARM_UP = 300
_STUCK_SECONDS = 20.0
_POLL_SECONDS = 0.02

#: The work of a job in milliseconds: none, and as much as stops writes from sharing a commit.
WORKS = (0, 30)

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
_LATENCY_COLUMNS = (
    "",
    "POST p50",
    "completed p50",
    "p99",
    "Prefer: wait p50",
    "p99",
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
    #: Of lone jobs, measured once without load.
    latency: Latency | None = None


@dataclass(slots=True)
class Results:
    """The samples of each contender, or the reason why it has none."""

    #: The work of each job in milliseconds.
    work_ms: int = 0
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def run_jobs(load: Load, names: Sequence[str], repeat: int, folder: Path | None = None) -> None:
    """Measure `names` in turn, `repeat` times, every second time in reverse; print tables.

    Jobs without work, then jobs that wait. With `folder` the results and a chart are stored there.
    """
    found = []
    for work_ms in WORKS:
        results = _measure_all(load, names, repeat, work_ms)
        found.append(results)
        print(_table_title(load, repeat, work_ms))
        print(format_table(_COLUMNS, [_table_row(name, results) for name in names]))
        for name, why in results.failures.items():
            if name in results.samples:
                print(f"{LABELS[name]}: a run failed: {why}")
    print(f"\nLone jobs: milliseconds of {LONE_JOBS} jobs, one after another")
    print(format_table(_LATENCY_COLUMNS, [_latency_row(name, found[0]) for name in names]))
    if folder is not None:
        store_results(folder, load, found)


def _measure_all(load: Load, names: Sequence[str], repeat: int, work_ms: int) -> Results:
    results = Results(work_ms=work_ms)
    for round_ in range(repeat):
        for name in names if round_ % 2 == 0 else reversed(names):
            if name not in results.failures:
                _add_sample(results, name, load, is_first=round_ == 0)
    return results


def _add_sample(results: Results, name: str, load: Load, *, is_first: bool) -> None:
    try:
        sample = _measure_contender(
            name, load, results.work_ms, with_latency=is_first and not results.work_ms
        )
    except BenchmarkError as error:
        results.failures[name] = str(error)
    else:
        results.samples.setdefault(name, []).append(sample)


def _measure_contender(name: str, load: Load, work_ms: int, *, with_latency: bool) -> Sample:
    with tempfile.TemporaryDirectory(prefix="taskreel-bench-") as text:
        folder = Path(text)
        with CONTENDERS[name](folder, work_ms) as running:
            warm = load.send(
                running.url + SUBMIT, running.body, running.token, folder, jobs=WARM_UP
            )
            wait_until_completed(running, warm.accepted)
            sample = _measure_load(running, load, folder)
            latency = measure_latency(running) if with_latency else None
            return replace(sample, latency=latency)


def _measure_load(running: Running, load: Load, folder: Path) -> Sample:
    rpcs = running.rpcs() if running.rpcs else 0
    before, cpu = running.completed(), running.tree.cpu_seconds()
    with PeakMemory(running.tree) as peak:
        began = time.perf_counter()
        sent = load.send(running.url + SUBMIT, running.body, running.token, folder)
        wait_until_completed(running, before + sent.accepted)
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


def wait_until_completed(running: Running, wanted: int) -> None:
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


def _table_title(load: Load, repeat: int, work_ms: int) -> str:
    runs = "one run" if repeat == 1 else f"{repeat} runs in alternating order, median (min–max)"
    return (
        f"\nJobs of {work_ms} ms: {load.jobs} submissions, {load.concurrency} at a time by "
        f"{load.generator}; {runs}"
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


def _latency_row(name: str, results: Results) -> list[str]:
    samples = results.samples.get(name)
    latency = samples[0].latency if samples else None
    if latency is None:
        return [LABELS[name], results.failures.get(name, "not measured")]
    values = (
        latency.post_p50,
        latency.completed_p50,
        latency.completed_p99,
        latency.waited_p50,
        latency.waited_p99,
    )
    return [LABELS[name], *("–" if value is None else f"{value:.1f}" for value in values)]


def store_results(folder: Path, load: Load, found: Sequence[Results]) -> None:
    """Write `results.json`, with every sample, and `jobs.svg`, with the medians."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "measuredAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} × {platform.machine()}",
        "python": platform.python_version(),
        "load": asdict(load),
        "runs": [asdict(results) for results in found],
    }
    (folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "jobs.svg").write_text(draw_bars(_chart_groups(found)))
    print(f"\nresults.json and jobs.svg are in {folder}")


def _chart_groups(found: Sequence[Results]) -> list[BarGroup]:
    groups = []
    for results in found:
        rates, cpu = (
            {
                LABELS[name]: statistics.median(getattr(sample, field) for sample in samples)
                for name, samples in results.samples.items()
            }
            for field in ("jobs_per_second", "cpu_ms")
        )
        kind = f"jobs of {results.work_ms} ms" if results.work_ms else "jobs without work"
        groups.append(BarGroup(title=f"Jobs a second: {kind}", values=rates))
        groups.append(BarGroup(title=f"Processor time a job, ms: {kind}", values=cpu, form=".2f"))
    return groups


def _sample_columns(samples: Sequence[Sample]) -> Mapping[str, list[float]]:
    return {
        "rate": [sample.jobs_per_second for sample in samples],
        "cpu": [sample.cpu_ms for sample in samples],
        "rpcs": [sample.rpcs for sample in samples if sample.rpcs is not None],
        "peak": [sample.peak_mb for sample in samples],
        "p50": [sample.p50_ms for sample in samples],
        "p99": [sample.p99_ms for sample in samples],
    }
