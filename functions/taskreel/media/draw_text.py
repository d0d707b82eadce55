"""Lines of text on a picture, each run of letters in a font that has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from taskreel.media.directions import find_direction
from taskreel.media.fonts import has_raqm, load_font
from taskreel.media.text_runs import Run, split_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.ImageDraw import ImageDraw

Anchor = Literal["top", "middle", "bottom"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Face:
    """Letters of one size, whatever fonts they need."""

    pixels: int

    def measure(self, text: str) -> float:
        """Return the width of a line in pixels."""
        return sum(_measure_run(self.pixels, run) for run in split_runs(text, find_direction(text)))

    def draw_lines(
        self,
        draw: ImageDraw,
        place: tuple[float, float],
        lines: Sequence[str],
        *,
        anchor: Anchor,
        spacing: float,
        fill: Any,
        **stroke: Any,
    ) -> None:
        """Draw lines one under another, each centred at `place`."""
        layout = self._lay_out(place, lines, anchor, spacing)
        baseline = layout.baseline
        for line in layout.lines:
            x = place[0] - line.width / 2
            for run in line.runs:
                face = load_font(self.pixels, run.font)
                draw.text(
                    (x, baseline), run.text, fill, face, "ls", **_build_direction(run), **stroke
                )
                x += _measure_run(self.pixels, run)
            baseline += layout.step

    def find_box(
        self, place: tuple[float, float], lines: Sequence[str], *, anchor: Anchor, spacing: float
    ) -> Box:
        """Return the box that `draw_lines` with the same arguments stays within."""
        layout = self._lay_out(place, lines, anchor, spacing)
        width = max((line.width for line in layout.lines), default=0.0)
        top = layout.baseline - layout.ascent
        left = place[0] - width / 2
        return (left, top, left + width, top + layout.height)

    def _lay_out(
        self, place: tuple[float, float], lines: Sequence[str], anchor: Anchor, spacing: float
    ) -> _Layout:
        """Place lines; all are as high as the highest of them, and as the usual letters."""
        direction = find_direction("\n".join(lines))
        split = [split_runs(line, direction) for line in lines]
        usual = split_runs(_USUAL, "ltr")
        boxes = [_find_extent(self.pixels, run) for runs in (*split, usual) for run in runs]
        ascent, descent = max(up for up, _ in boxes), max(down for _, down in boxes)
        step = ascent + descent + spacing
        height = ascent + step * (len(lines) - 1) + descent
        above = {"top": 0.0, "middle": height / 2, "bottom": height}[anchor]
        laid = [_Line(runs, sum(_measure_run(self.pixels, run) for run in runs)) for runs in split]
        return _Layout(laid, place[1] - above + ascent, ascent, step, height)


@dataclass(frozen=True, slots=True)
class _Line:
    runs: tuple[Run, ...]
    width: float


@dataclass(frozen=True, slots=True)
class _Layout:
    lines: Sequence[_Line]
    baseline: float  # of the first line
    ascent: float
    step: float  # from a baseline to the next
    height: float


#: A line is as high as these letters, even where it has lower ones.
_USUAL = "Ag"


# Breaking a text into lines measures the same runs again and again.
@lru_cache(maxsize=4096)
def _measure_run(pixels: int, run: Run) -> float:
    return load_font(pixels, run.font).getlength(run.text, **_build_direction(run))


@lru_cache(maxsize=4096)
def _find_extent(pixels: int, run: Run) -> tuple[float, float]:
    """Return how far letters rise above the baseline, and how far they reach below it."""
    box = load_font(pixels, run.font).getbbox(run.text, anchor="ls", **_build_direction(run))
    return -box[1], box[3]


def _build_direction(run: Run) -> dict[str, Any]:
    """Pillow's argument for the direction, which it takes only with libraqm."""
    return {"direction": run.direction} if has_raqm() else {}
