"""Text tables, and the median and range of several runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table: the first column left-aligned, the others right-aligned.

    A row may be shorter than the head; its last cell may then be longer than its column.
    """
    full = [row for row in rows if len(row) == len(head)]
    widths = [max(len(row[place]) for row in (head, *full)) for place in range(len(head))]
    widths[0] = max([widths[0], *(len(row[0]) for row in rows)])
    return "\n".join(
        _format_row(row, widths) for row in (head, ["─" * width for width in widths], *rows)
    )


def _format_row(row: Sequence[str], widths: Sequence[int]) -> str:
    if len(row) < len(widths):
        return "  ".join([row[0].ljust(widths[0]), *row[1:]])
    first, *others = (
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()


def format_values(values: Sequence[float], form: str = ".0f") -> str:
    """Format the median, and the range of several values: `412 (398–430)`."""
    median = format(statistics.median(values), form)
    if len(values) == 1:
        return median
    return f"{median} ({min(values):{form}}–{max(values):{form}})"


def format_ratio(values: Sequence[float], others: Sequence[float]) -> str:
    """Format the median of the ratios run by run, which cancels changes of the machine's load."""
    ratios = [mine / other for mine, other in zip(values, others, strict=True)]
    return f"{format_values(ratios, '.2f')}×"
