"""Text for people: tables, links, times and amounts. Programs take `--json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any, cast

from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

#: Wider than any table: a pipe has no width, and a cut cell cannot be searched.
_PIPE_WIDTH = 2000

STYLES: Mapping[str, str] = {
    "COMPLETED": "green",
    "PROCESSING": "blue",
    "FAILED": "red",
    "EXPIRED": "red",
    "RETRYING": "yellow",
    "THROTTLED": "yellow",
    "CANCELLED": "dim",
    "healthy": "green",
    "degraded": "yellow",
    "unhealthy": "red",
}


def make_console(file: IO[str]) -> Console:
    """A console that neither guesses markup nor colours in what it prints."""
    width = None if file.isatty() else _PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def clean(value: object) -> str:
    """A text without characters that would move the cursor or change the terminal."""
    text = "" if value is None else str(value)
    return "".join(letter if letter.isprintable() else " " for letter in text)


def styled(status: str) -> Text:
    """A status in its colour."""
    return Text(clean(status), style=STYLES.get(status, ""))


def link(text: str, url: str | None, style: str = "") -> Text:
    """A text that terminals with links (OSC 8) open."""
    return Text(clean(text), style=f"{style} link {url}".strip() if url else style)


def print_table(
    console: Console,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    nothing: str = "There is nothing to show.",
) -> None:
    """Print rows below their columns; a column whose name begins with `>` is aligned right.

    Without rows the text `nothing` goes to the standard error output.
    """
    table = make_table(columns)
    for row in rows:
        add_row(table, row)
    if table.row_count:
        console.print(table)
    else:
        Console(stderr=True, highlight=False, markup=False).print(nothing)


def make_table(columns: Sequence[str]) -> Table:
    """A table without lines. If it is too wide, its last column is cut and the others are whole."""
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
        show_header=any(columns),
    )
    for name in columns:
        # Rich narrows columns that may wrap before all others.
        last = name is columns[-1]
        justify: JustifyMethod = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify, no_wrap=not last)
    return table


def add_row(table: Table, cells: Sequence[object]) -> None:
    """Add a row of texts, or what else Rich prints; the last cell is cut, not wrapped."""
    shown = [
        Text(clean(cell)) if isinstance(cell, str | int | float | None) else cell for cell in cells
    ]
    if isinstance(shown[-1], Text):
        shown[-1].no_wrap = True
        shown[-1].overflow = "ellipsis"
    table.add_row(*(cast("RenderableType", cell) for cell in shown))


# ── Times and amounts ────────────────────────────────────────────────────────────────────────────


def read_time(value: Any) -> datetime | None:
    """A time of the API."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime.fromisoformat(value)


def format_seconds(seconds: float) -> str:
    """A span: `120 ms`, `4.2 s`, `12 min`, `3 h`, `5 days`."""
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds / 86_400)} days"


def format_distance(value: Any, now: datetime | None = None) -> str:
    """`3 min ago`, `in 5 s`; empty without a time."""
    time = read_time(value)
    if time is None:
        return ""
    seconds = (time - (now or datetime.now(UTC))).total_seconds()
    if abs(seconds) < 1:
        return "now"
    span = format_seconds(abs(seconds)) if abs(seconds) >= 10 else f"{round(abs(seconds))} s"
    return f"{span} ago" if seconds < 0 else f"in {span}"


def format_clock(value: Any) -> str:
    """A time with its date, in this machine's zone."""
    time = read_time(value)
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S}"


def format_bytes(size: int) -> str:
    """A size in decimal units."""
    if size < 1000:
        return f"{size} B"
    return f"{round(size / 1000)} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def count_of(number: int, noun: str) -> str:
    """`1 job`, `1,200 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_credits(amount: int) -> str:
    """An amount of credits."""
    return count_of(amount, "credit")


def format_share(share: float | None) -> str:
    """A share as a percentage; empty if there is none."""
    return "" if share is None else f"{share:.0%}"


def format_milliseconds(value: float | None) -> str:
    """A span in milliseconds; empty if there is none."""
    return "" if value is None else format_seconds(value / 1000)


def find_prompt(payload: Mapping[str, Any] | None) -> str:
    """The words that a person knows a job by."""
    for name in ("prompt", "text", "input", "title", "operation", "imageUrl", "contentUrl"):
        value = (payload or {}).get(name)
        if isinstance(value, str) and value.strip():
            return clean(value)
    prompts = (payload or {}).get("prompts")
    return clean(" · ".join(map(str, prompts))) if isinstance(prompts, list) else ""
