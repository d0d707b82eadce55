"""Figures in columns, and how several runs are told in one."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right. A row may stop early: its last cell then runs on."""
    full = [row for row in rows if len(row) == len(head)]
    widths = [max(len(row[place]) for row in (head, *full)) for place in range(len(head))]
    widths[0] = max([widths[0], *(len(row[0]) for row in rows)])
    return "\n".join(_line(row, widths) for row in (head, ["─" * width for width in widths], *rows))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    if len(row) < len(widths):
        return "  ".join([row[0].ljust(widths[0]), *row[1:]])
    first, *others = (
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def told(values: Sequence[float], form: str = ".0f") -> str:
    """The median, and what it lies between when there were several runs: `412 (398–430)`."""
    median = format(statistics.median(values), form)
    if len(values) == 1:
        return median
    return f"{median} ({min(values):{form}}–{max(values):{form}})"


def told_ratio(values: Sequence[float], others: Sequence[float]) -> str:
    """The median of the ratios run by run, so that a machine that slows down slows both."""
    return f"{told([mine / other for mine, other in zip(values, others, strict=True)], '.2f')}×"
