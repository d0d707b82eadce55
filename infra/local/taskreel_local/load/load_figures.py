"""The figures of a load, and their course over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from taskreel_local.bench.line_chart import LineChart
from taskreel_local.load.load_samples import Samples, find_percentile, group_by_time

_MOST_POINTS = 300


def find_figures(samples: Samples, seconds: float, until: float | None = None) -> dict[str, Any]:
    """The figures of the `seconds` up to `until`, in which jobs were submitted.

    `until` is the end of a load that begins with these seconds; None of a figure: not measured.
    """
    end = seconds if until is None else until
    sent = [each.answer_ms for each in samples.submissions]
    waits = [job.wait_ms for job in samples.ended if job.wait_ms is not None]
    runs = [job.run_ms for job in samples.ended if job.run_ms is not None]
    in_time = sum(job.at < end for job in samples.ended)
    usage = samples.usage
    figures: dict[str, float | int | None] = {
        "submitted": len(sent),
        "accepted": samples.accepted,
        "ended": len(samples.ended),
        "unfinished": samples.unfinished,
        "inPerSecond": samples.accepted / seconds,
        "outPerSecond": in_time / seconds,
        "submitP50Ms": find_percentile(sent, 50),
        "submitP99Ms": find_percentile(sent, 99),
        "submitFromDueP99Ms": find_percentile([s.milliseconds for s in samples.submissions], 99),
        "waitP50Ms": find_percentile(waits, 50),
        "waitP99Ms": find_percentile(waits, 99),
        "runP50Ms": find_percentile(runs, 50),
        "runP99Ms": find_percentile(runs, 99),
        # Of the time from when a job was due, this much is not the stack's.
        "generatorLateP99Ms": find_percentile([each.late_ms for each in samples.submissions], 99),
        "generatorCpuShare": samples.generator_cpu_seconds / seconds,
        "stackPeakMegabytes": max((each.megabytes for each in usage), default=None),
        "stackPeakDescriptors": max((each.descriptors for each in usage), default=None),
        "stackCpuShare": (
            (usage[-1].cpu_seconds - usage[0].cpu_seconds) / (usage[-1].at - usage[0].at)
            if len(usage) > 1
            else None
        ),
    }
    return {
        name: None if value is None or math.isnan(value) else round(value, 3)
        for name, value in figures.items()
    } | {"errors": dict(samples.count_errors())}


def build_charts(samples: Samples, seconds: float) -> list[LineChart]:
    """Charts of the course: latency, throughput, waits and runs, errors, memory, descriptors."""
    width = max(1.0, math.ceil(seconds / _MOST_POINTS))
    sent = group_by_time(samples.submissions, seconds, width)
    ended = group_by_time(samples.ended, seconds, width)
    latencies = [[each.answer_ms for each in group] for group in sent]
    waits = [[job.wait_ms for job in group if job.wait_ms is not None] for group in ended]
    runs = [[job.run_ms for job in group if job.run_ms is not None] for group in ended]
    charts = [
        LineChart(
            title="Submit, milliseconds from sending a job to its answer",
            width=width,
            lines=_build_percentile_lines(latencies),
        ),
        LineChart(
            title="Throughput, jobs a second",
            width=width,
            lines={
                "accepted": [sum(e.error is None for e in group) / width for group in sent],
                "ended": [len(group) / width for group in ended],
            },
        ),
        LineChart(
            title="Wait until the run, milliseconds",
            width=width,
            lines=_build_percentile_lines(waits),
        ),
        LineChart(
            title="Run, milliseconds",
            width=width,
            lines=_build_percentile_lines(runs),
        ),
        LineChart(
            title="Errors a second",
            width=width,
            lines={
                "refused": [sum(e.error is not None for e in group) / width for group in sent],
                "failed jobs": [sum(j.error is not None for j in group) / width for group in ended],
            },
        ),
    ]
    return charts + _build_usage_charts(samples, seconds, width)


def _build_percentile_lines(groups: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """The lines of the median and of the 99th percentile: a value of each group."""
    return {
        f"p{percent}": [find_percentile(group, percent) for group in groups] for percent in (50, 99)
    }


def _build_usage_charts(samples: Samples, seconds: float, width: float) -> list[LineChart]:
    if not samples.usage:
        return []
    used = group_by_time(samples.usage, seconds, width)
    memory = [group[-1].megabytes if group else math.nan for group in used]
    descriptors = [group[-1].descriptors if group else math.nan for group in used]
    return [
        LineChart(
            title="Memory of the stack's processes, MB", width=width, lines={"resident": memory}
        ),
        LineChart(
            title="Open descriptors of the stack's processes",
            width=width,
            lines={"open": descriptors},
        ),
    ]
