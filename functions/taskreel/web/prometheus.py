"""Prometheus' text format, version 0.0.4: one family of samples after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Family:
    """The samples of one metric: labels and value, or the cumulative buckets of a histogram."""

    name: str
    kind: Literal["gauge", "counter"]
    text: str
    samples: Sequence[tuple[Labels, float]]


@dataclass(frozen=True, slots=True)
class HistogramSeries:
    """One series: the number of observations up to each bound, their number, and their sum."""

    labels: Labels
    buckets: Mapping[float, int]
    count: int
    total: float


@dataclass(frozen=True, slots=True)
class HistogramFamily:
    """The series of one histogram."""

    name: str
    text: str
    series: Sequence[HistogramSeries]


def write_families(families: Iterable[Family | HistogramFamily]) -> str:
    """The families as text. One without samples is omitted."""
    lines: list[str] = []
    for family in families:
        samples = (
            _write_histogram(family) if isinstance(family, HistogramFamily) else _write(family)
        )
        if samples:
            kind = "histogram" if isinstance(family, HistogramFamily) else family.kind
            lines += [
                f"# HELP {family.name} {_escape(family.text)}",
                f"# TYPE {family.name} {kind}",
                *samples,
            ]
    return "\n".join([*lines, ""])


def _write(family: Family) -> list[str]:
    return [_write_sample(family.name, labels, value) for labels, value in family.samples]


def _write_histogram(family: HistogramFamily) -> list[str]:
    lines = []
    for one in family.series:
        bounds = [*((f"{bound:g}", count) for bound, count in one.buckets.items())]
        lines += [
            _write_sample(f"{family.name}_bucket", {**one.labels, "le": bound}, count)
            for bound, count in [*bounds, ("+Inf", one.count)]
        ]
        lines.append(_write_sample(f"{family.name}_sum", one.labels, one.total))
        lines.append(_write_sample(f"{family.name}_count", one.labels, one.count))
    return lines


def _write_sample(name: str, labels: Labels, value: float) -> str:
    pairs = ",".join(f'{label}="{_escape(text, quotes=True)}"' for label, text in labels.items())
    return f"{name}{{{pairs}}} {value!r}" if pairs else f"{name} {value!r}"


def _escape(text: str, *, quotes: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quotes else escaped
