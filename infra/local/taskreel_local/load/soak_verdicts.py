"""The verdicts of a soak: whether memory, descriptors and latency stayed flat."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from taskreel_local.load.load_samples import Samples, find_percentile

#: The first part of a soak warms up: pools, caches and worker processes are made then.
WARM_UP_SHARE = 0.2
#: Of the rest, its first and its last part are compared.
COMPARED_SHARE = 0.25
#: The embedded store's caches fill while it grows: 32 MB of pages and 16 MB of documents at most.
MEMORY_GROWTH, MEMORY_SLACK_MB = 0.10, 48.0
DESCRIPTOR_GROWTH, DESCRIPTOR_SLACK = 0.10, 16.0
LATENCY_GROWTH, LATENCY_SLACK_MS = 0.5, 10.0
#: So much of what was accepted has ended in the compared time.
THROUGHPUT_SHARE = 0.95
SUBMIT_P99_MS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One question, its answer, and the numbers of which it is made."""

    name: str
    holds: bool
    text: str


def judge_soak(samples: Samples, seconds: float) -> list[Verdict]:
    """Compare the first part after the warm-up with the last; a part without samples fails."""
    begin = seconds * WARM_UP_SHARE
    length = (seconds - begin) * COMPARED_SHARE
    first, last = (begin, begin + length), (seconds - length, seconds)
    verdicts = [
        _judge_growth(
            "flat latency",
            [
                find_percentile(
                    [s.answer_ms for s in samples.submissions if part[0] <= s.at < part[1]], 99
                )
                for part in (first, last)
            ],
            (LATENCY_GROWTH, LATENCY_SLACK_MS, "ms submit p99"),
        ),
        _judge_throughput(samples, begin, seconds),
        _judge_p99(samples, begin),
    ]
    if not samples.usage:
        return verdicts
    used = [
        [each for each in samples.usage if part[0] <= each.at < part[1]] for part in (first, last)
    ]
    return [
        _judge_growth(
            "flat memory",
            [_find_median([each.megabytes for each in part]) for part in used],
            (MEMORY_GROWTH, MEMORY_SLACK_MB, "MB"),
        ),
        _judge_growth(
            "flat descriptors",
            [_find_median([each.descriptors for each in part]) for part in used],
            (DESCRIPTOR_GROWTH, DESCRIPTOR_SLACK, "open"),
        ),
        *verdicts,
    ]


def _judge_growth(name: str, values: Sequence[float], allowed: tuple[float, float, str]) -> Verdict:
    """The second value may exceed the first by a share and a slack. NaN is not flat."""
    growth, slack, unit = allowed
    before, after = values
    most = before * (1 + growth) + slack
    return Verdict(
        name=name,
        holds=after <= most,
        text=f"{before:,.1f} at first, {after:,.1f} at last, at most {most:,.1f} {unit}",
    )


def _judge_throughput(samples: Samples, begin: float, end: float) -> Verdict:
    """As much ends as is submitted: a backlog that grows is a peak that was measured too high."""
    into = sum(begin <= each.at < end and each.error is None for each in samples.submissions)
    out = sum(begin <= job.at < end for job in samples.ended)
    return Verdict(
        name="no growing backlog",
        holds=into > 0 and out >= into * THROUGHPUT_SHARE,
        text=f"{into:,} accepted, {out:,} ended in that time",
    )


def _judge_p99(samples: Samples, begin: float) -> Verdict:
    found = find_percentile([s.answer_ms for s in samples.submissions if s.at >= begin], 99)
    return Verdict(
        name="submit p99",
        holds=found <= SUBMIT_P99_MS,
        text=f"{found:,.1f} ms, at most {SUBMIT_P99_MS:g}",
    )


def _find_median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")
