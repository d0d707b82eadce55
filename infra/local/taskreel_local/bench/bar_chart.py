"""Bar charts as SVG: groups of horizontal bars, each with its own scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LABELS, _VALUES = 760, 210, 150
_BAR, _GAP, _TITLE, _MARGIN = 18, 7, 30, 12
_FIRST, _OTHERS = "#2f6f4f", "#b9c2bd"


@dataclass(frozen=True, slots=True, kw_only=True)
class BarGroup:
    """Bars of one quantity, by label; the first is emphasised."""

    title: str
    values: Mapping[str, float]
    #: Format of the numbers.
    form: str = ".0f"


def draw_bars(groups: Sequence[BarGroup]) -> str:
    """Draw the groups under each other; the text of each bar is its value."""
    parts: list[str] = []
    y = _MARGIN
    for group in groups:
        y += _TITLE
        parts.append(_text(_MARGIN, y - 10, group.title, "bold"))
        longest = max(group.values.values(), default=0) or 1
        for place, (label, value) in enumerate(group.values.items()):
            length = max(1.0, (_WIDTH - _LABELS - _VALUES) * value / longest)
            fill = _OTHERS if place else _FIRST
            parts.append(_text(_LABELS - 8, y + 13, label, anchor="end"))
            parts.append(
                f'<rect x="{_LABELS}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{fill}"/>'
            )
            parts.append(_text(_LABELS + length + 6, y + 13, f"{value:{group.form}}"))
            y += _BAR + _GAP
        y += _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" '
        f'viewBox="0 0 {_WIDTH} {y}" font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _text(x: float, y: float, text: str, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" font-weight="{weight}" text-anchor="{anchor}" fill="#222">'
        f"{escape(text)}</text>"
    )
