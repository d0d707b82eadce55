"""The canvas that everything is painted on, and the stencils that shapes are cut from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from taskreel_local.studio.drawing.noise import Field

Point: TypeAlias = tuple[float, float]
Colour: TypeAlias = Field  # three numbers, or an array that broadcasts to the painted part

OVERSAMPLE = 2


class Canvas:
    """`rgb[channel, y, x]`; values above 1 are light that blooms."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.unit = min(width, height)
        self.rgb: Field = np.zeros((3, height, width), np.float32)

    @cached_property
    def x(self) -> Field:
        """Columns, shape (1, width)."""
        return np.arange(self.width, dtype=np.float32)[None, :] + 0.5

    @cached_property
    def y(self) -> Field:
        """Rows, shape (height, 1)."""
        return np.arange(self.height, dtype=np.float32)[:, None] + 0.5

    def paint(self, mask: Field, colour: Colour, *, top: int = 0, left: int = 0) -> None:
        """Lay `colour` where the mask is 1; the mask's corner stands at (left, top)."""
        view = self._view(mask, top, left)
        view += (_broadcast_colour(colour) - view) * mask

    def light(self, mask: Field, colour: Colour, *, top: int = 0, left: int = 0) -> None:
        """Add `colour` as light."""
        view = self._view(mask, top, left)
        view += _broadcast_colour(colour) * mask

    def glow(self, at: Point, radius: float, colour: Colour, strength: float = 1.0) -> None:
        """A soft round light of `radius` pixels around a point."""
        reach = radius * 3.2
        left, right = self._span(at[0], reach, self.width)
        top, bottom = self._span(at[1], reach, self.height)
        if left >= right or top >= bottom:
            return
        squared = (self.x[:, left:right] - at[0]) ** 2 + (self.y[top:bottom] - at[1]) ** 2
        self.light(
            np.exp(squared / (-2 * (radius * 0.8) ** 2)) * strength, colour, top=top, left=left
        )

    def halo(self, at: Point, radius: float, colour: Colour, strength: float) -> None:
        """A soft round veil of a colour: brightens towards it, never past it."""
        away = np.hypot(self.x - at[0], self.y - at[1]) / radius
        self.paint(np.exp(-away * 1.1) * strength, colour)

    def stencil(self, left: float, top: float, right: float, bottom: float) -> Stencil:
        """An empty stencil for a part of the canvas, clipped to it; never smaller than a pixel."""
        x0, y0 = (
            min(max(int(value), 0), size - 1)
            for value, size in ((left, self.width), (top, self.height))
        )
        x1 = min(max(int(np.ceil(right)), x0 + 1), self.width)
        y1 = min(max(int(np.ceil(bottom)), y0 + 1), self.height)
        return Stencil(x0, y0, x1 - x0, y1 - y0)

    def whole(self) -> Stencil:
        """An empty stencil for all of the canvas."""
        return Stencil(0, 0, self.width, self.height)

    def cut(self, stencil: Stencil, colour: Colour) -> None:
        """Paint a stencil's shape."""
        self.paint(stencil.mask(), colour, top=stencil.top, left=stencil.left)

    def shine(self, stencil: Stencil, colour: Colour, *, blur: float = 0) -> None:
        """Add a stencil's shape as light, softened by `blur` pixels."""
        self.light(stencil.mask(blur), colour, top=stencil.top, left=stencil.left)

    def _view(self, mask: Field, top: int, left: int) -> Field:
        height, width = mask.shape
        return self.rgb[:, top : top + height, left : left + width]

    @staticmethod
    def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
        return max(int(centre - reach), 0), min(int(centre + reach) + 1, size)


@dataclass
class Stencil:
    """Shapes drawn in canvas coordinates, with soft edges (drawn larger, then reduced)."""

    left: int
    top: int
    width: int
    height: int

    def __post_init__(self) -> None:
        self._image = Image.new("L", (self.width * OVERSAMPLE, self.height * OVERSAMPLE))
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Sequence[Point], value: float = 1.0) -> None:
        """A filled shape."""
        self._draw.polygon([self._scaled(point) for point in points], fill=round(value * 255))

    def curve(self, points: Sequence[Point], value: float = 1.0) -> None:
        """A filled closed shape whose outline runs softly past the points."""
        self.polygon(rounded(points), value)

    def ellipse(self, centre: Point, rx: float, ry: float, value: float = 1.0) -> None:
        """A filled ellipse."""
        (x, y), k = self._scaled(centre), OVERSAMPLE
        self._draw.ellipse(
            (x - rx * k, y - ry * k, x + rx * k, y + ry * k), fill=round(value * 255)
        )

    def box(self, left: float, top: float, right: float, bottom: float, value: float = 1.0) -> None:
        """A filled rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], value)

    def line(self, points: Sequence[Point], thickness: float, value: float = 1.0) -> None:
        """A line through the points, at least a hair thick."""
        width = max(1, round(thickness * OVERSAMPLE))
        scaled = [self._scaled(point) for point in points]
        self._draw.line(
            scaled, fill=round(value * 255), width=width, joint="curve" if width > 2 else None
        )

    def mask(self, blur: float = 0) -> Field:
        """The shapes as a mask of the stencil's size, 0…1."""
        image = self._image.reduce(OVERSAMPLE)
        if blur > 0:
            image = image.filter(ImageFilter.GaussianBlur(blur))
        return np.asarray(image, np.float32) / 255

    def _scaled(self, point: Point) -> Point:
        return (point[0] - self.left) * OVERSAMPLE, (point[1] - self.top) * OVERSAMPLE


def rounded(points: Sequence[Point], times: int = 3) -> list[Point]:
    """A closed outline with its corners cut again and again (Chaikin 1974)."""
    outline = np.array(points, np.float64)
    for _ in range(times):
        following = np.roll(outline, -1, axis=0)
        outline = np.stack(
            [0.75 * outline + 0.25 * following, 0.25 * outline + 0.75 * following], 1
        ).reshape(-1, 2)
    return [(float(x), float(y)) for x, y in outline]


def soften(field: Field, radius: float) -> Field:
    """The field blurred; wide blurs are made on a reduced copy."""
    height, width = field.shape
    step = max(1, int(radius / 2))
    small = Image.fromarray(field).resize(
        (max(1, width // step), max(1, height // step)), Image.Resampling.BOX
    )
    data = np.asarray(small, np.float32)
    top = max(float(data.max()), 1e-6)
    image = Image.fromarray(np.clip(data / top * 255, 0, 255).astype(np.uint8))
    blurred = image.filter(ImageFilter.GaussianBlur(radius / step))
    back = np.asarray(
        blurred.convert("F").resize((width, height), Image.Resampling.BILINEAR), np.float32
    )
    return back * (top / 255)


def _broadcast_colour(colour: Colour) -> Field:
    return colour[:, None, None] if colour.ndim == 1 else colour
