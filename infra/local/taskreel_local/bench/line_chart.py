"""Line charts as SVG: values over time, several lines on one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 760, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 44, 30
_COLOURS = ("#2f6f4f", "#b5543a", "#4a6fa5", "#8a7f2a")
_GRID = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """Lines by name over the same span of seconds; NaN leaves a gap."""

    title: str
    #: Seconds from one value of a line to the next.
    width: float
    lines: Mapping[str, Sequence[float]]


def draw_lines(chart: LineChart) -> str:
    """Draw a chart with its scale from 0 to a round number."""
    known = [value for line in chart.lines.values() for value in line if math.isfinite(value)]
    top = round_up(max(known, default=1.0))
    count = max((len(line) for line in chart.lines.values()), default=1)
    parts = [_text(_LEFT, 16, chart.title, weight="bold")]
    for step in range(_GRID + 1):
        y = _place_y(top * step / _GRID, top)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{top * step / _GRID:,.4g}", anchor="end"))
    for step in range(_GRID + 1):
        x = _place_x(step / _GRID)
        parts.append(
            _text(x, _HEIGHT - 10, f"{count * chart.width * step / _GRID:,.4g} s", anchor="middle")
        )
    for place, (name, line) in enumerate(chart.lines.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        path = _build_path(line, count, top)
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts.append(_text(_LEFT + place * 170, 34, f"— {name}", fill=colour))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def round_up(value: float) -> float:
    """Return the next number of the series 1, 2, 5, 10, 20, … that is not below the value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def _build_path(line: Sequence[float], count: int, top: float) -> str:
    """The line's path; a value alone between two gaps is a dot."""
    parts: list[str] = []
    is_open = False
    for place, value in enumerate(line):
        if not math.isfinite(value):
            is_open = False
            continue
        x, y = _place_x((place + 0.5) / count), _place_y(value, top)
        parts.append(f"{'L' if is_open else 'M'}{x:.1f} {y:.1f}" + ("" if is_open else "h.1"))
        is_open = True
    return "".join(parts)


def _place_x(share: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _place_y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top


def _text(
    x: float,
    y: float,
    text: str,
    *,
    weight: str = "normal",
    anchor: str = "start",
    fill: str = "#222",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(text)}</text>'
    )
