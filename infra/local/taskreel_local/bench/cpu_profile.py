"""The processor time of a job by the parts of its work, while jobs are submitted at full load."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from taskreel_local.bench import cpu_samples
from taskreel_local.bench.contenders import SUBMIT, start_taskreel
from taskreel_local.bench.job_throughput import WARM_UP, wait_until_completed
from taskreel_local.bench.load import Load
from taskreel_local.bench.process_tree import BenchmarkError
from taskreel_local.bench.table import format_table


def run_profile(load: Load) -> None:
    """Run the jobs of the load on the embedded default; print CPU-µs a job and share by part."""
    with tempfile.TemporaryDirectory(prefix="taskreel-bench-") as text:
        folder = Path(text)
        sampled = {
            cpu_samples.FOLDER_VARIABLE: str(folder),
            "EXTRA_PROVIDERS": cpu_samples.PROVIDERS_NAME,
        }
        with start_taskreel(folder, environ=sampled) as running:
            url = running.url + SUBMIT
            warm = load.send(url, running.body, running.token, folder, jobs=WARM_UP)
            wait_until_completed(running, warm.accepted)
            before, samples = running.completed(), cpu_samples.sum_samples(folder)
            cpu = running.tree.cpu_seconds()
            sent = load.send(url, running.body, running.token, folder)
            wait_until_completed(running, before + sent.accepted)
            used = running.tree.cpu_seconds() - cpu
            samples = cpu_samples.sum_samples(folder) - samples
    jobs = sent.accepted
    print(f"\n{jobs} jobs, {load.concurrency} at a time: {used * 1000 / jobs:.2f} CPU-ms a job")
    print(format_parts(samples, used * 1e6 / jobs))


def format_parts(samples: Counter[str], cpu_us: float) -> str:
    """Format the parts, the largest first, as shares of the processor time of a job."""
    total = samples.total()
    if not total:
        raise BenchmarkError("no samples: the run was too short, or the system has no SIGPROF")
    rows = [
        [part, f"{cpu_us * count / total:.0f}", f"{count / total:.1%}"]
        for part, count in samples.most_common()
    ]
    rows.append(["all", f"{cpu_us:.0f}", f"{total} samples"])
    return format_table(("", "CPU-µs/job", "share"), rows)
