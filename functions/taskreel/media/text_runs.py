"""A line of text as runs, in the order in which they are drawn from left to right.

A run has one direction and one font; `directions` finds the former, and Pillow's layout (HarfBuzz)
shapes the letters within it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from taskreel.media.directions import Direction, find_levels, reorder_levels
from taskreel.media.fonts import FontFile, choose_fonts, split_clusters


@dataclass(frozen=True, slots=True)
class Run:
    """Letters that are drawn with one font in one direction."""

    text: str
    font: FontFile
    direction: Direction


@lru_cache(maxsize=2048)
def split_runs(line: str, direction: Direction) -> tuple[Run, ...]:
    """Split a line of a text of that direction into its runs, the leftmost first."""
    clusters = split_clusters(line)
    fonts = choose_fonts(clusters, line)
    levels = find_levels(clusters, direction)
    logical = [
        (level, font, "".join(cluster for cluster, _, _ in group))
        for (level, font), group in groupby(
            zip(clusters, levels, fonts, strict=True), key=lambda part: (part[1], part[2])
        )
    ]
    ordered = reorder_levels([level for level, _, _ in logical])
    return tuple(
        Run(text, font, "rtl" if level % 2 else "ltr")
        for level, font, text in (logical[place] for place in ordered)
    )
