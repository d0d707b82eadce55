"""The reports of a load: a live table in the terminal, a page of plots, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from rich.table import Table

from taskreel_local.bench.line_chart import draw_lines
from taskreel_local.load.load_figures import build_charts, find_figures
from taskreel_local.load.load_samples import Samples
from taskreel_local.load.soak_verdicts import Verdict

#: The row of each figure: its name, its unit, and its field.
_ROWS: Sequence[tuple[str, str, str]] = (
    ("accepted jobs a second", "", "inPerSecond"),
    ("ended jobs a second", "", "outPerSecond"),
    ("accepted", "", "accepted"),
    ("ended", "", "ended"),
    ("not ended", "", "unfinished"),
    ("submit p50", " ms", "submitP50Ms"),
    ("submit p99", " ms", "submitP99Ms"),
    ("submit p99 from when it was due", " ms", "submitFromDueP99Ms"),
    ("wait p50", " ms", "waitP50Ms"),
    ("wait p99", " ms", "waitP99Ms"),
    ("run p50", " ms", "runP50Ms"),
    ("run p99", " ms", "runP99Ms"),
    ("generator late p99", " ms", "generatorLateP99Ms"),
    ("generator's processor", " cores", "generatorCpuShare"),
    ("stack's processor", " cores", "stackCpuShare"),
    ("stack's memory, peak", " MB", "stackPeakMegabytes"),
    ("stack's descriptors, peak", "", "stackPeakDescriptors"),
)
_STYLE = "body{font:15px sans-serif;max-width:800px;margin:2em auto}td{padding:2px 16px 2px 0}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """A finished load: how it was made, its measurements, and the verdicts of a soak."""

    #: What was asked for, by name.
    description: Mapping[str, str]
    samples: Samples
    #: The time in which jobs were submitted.
    seconds: float
    verdicts: Sequence[Verdict] = ()

    @property
    def holds(self) -> bool:
        """True if every accepted job has ended and every verdict holds."""
        return not self.samples.unfinished and all(each.holds for each in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """All figures, for programs."""
        return {
            **self.description,
            "seconds": round(self.seconds, 1),
            "figures": find_figures(self.samples, self.seconds),
            "verdicts": [asdict(each) for each in self.verdicts],
        }


def list_figures(
    samples: Samples, seconds: float, until: float | None = None
) -> list[tuple[str, str]]:
    """The figures as text, and the errors by code; what was not measured is omitted."""
    figures = find_figures(samples, seconds, until)
    rows = [
        (name, f"{figures[field]:,.6g}{unit}")
        for name, unit, field in _ROWS
        if figures[field] is not None
    ]
    errors = sorted(figures["errors"].items(), key=lambda each: -each[1])
    return rows + [(f"error {code}", f"{count:,}") for code, count in errors]


def render_figures(
    title: str, samples: Samples, seconds: float, until: float | None = None
) -> Table:
    """The figures as a table for the terminal."""
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    table.add_column()
    table.add_column(justify="right")
    for name, value in list_figures(samples, seconds, until):
        table.add_row(name, value)
    return table


def store_report(folder: Path, report: LoadReport) -> Path:
    """Write `load.json` and `load.html`, which needs nothing else; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "load.json").write_text(json.dumps(report.to_json(), indent=1) + "\n", "utf-8")
    page = folder / "load.html"
    page.write_text(_build_page(report), "utf-8")
    return page


def _build_page(report: LoadReport) -> str:
    charts = [draw_lines(chart) for chart in build_charts(report.samples, report.seconds)]
    verdicts = [
        (f"{'holds' if each.holds else 'FAILS'}: {each.name}", each.text)
        for each in report.verdicts
    ]
    tables = [
        _build_table(list(report.description.items())),
        _build_table(verdicts),
        _build_table(list_figures(report.samples, report.seconds)),
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Load</title>'
        f"<style>{_STYLE}</style><h1>Load</h1>{''.join(tables)}{''.join(charts)}</html>\n"
    )


def _build_table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{cells}</table>" if rows else ""
