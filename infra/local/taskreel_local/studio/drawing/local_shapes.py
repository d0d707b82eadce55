"""Shapes in a thing's own coordinates: `u` to its front, `v` upwards, 1 being its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taskreel_local.studio.drawing.canvas import Colour, Point, Stencil
from taskreel_local.studio.drawing.sky import Scene
from taskreel_local.studio.drawing.solid_shapes import backlit

Outline = Sequence[Point]


@dataclass(frozen=True)
class LocalShapes:
    """Draws shapes around `origin`; `facing` is -1 for a thing that looks to the left."""

    scene: Scene
    origin: Point
    size: float
    facing: int = 1
    turn: float = 0.0  # radians, anticlockwise

    def at(self, u: float, v: float) -> Point:
        """The pixel of a point."""
        cos, sin = float(np.cos(self.turn)), float(np.sin(self.turn))
        along, up = u * cos - v * sin, u * sin + v * cos
        x, y = self.origin
        return x + self.facing * along * self.size, y - up * self.size

    def curves(self, colour: Colour, *outlines: Outline, rim: float = 0.4) -> None:
        """Filled shapes with soft outlines."""
        self._cut(colour, [self._placed(outline) for outline in outlines], rim, soft=True)

    def polygons(self, colour: Colour, *outlines: Outline, rim: float = 0.4) -> None:
        """Filled shapes with straight edges."""
        self._cut(colour, [self._placed(outline) for outline in outlines], rim, soft=False)

    def discs(self, colour: Colour, *discs: tuple[float, float, float], rim: float = 0.0) -> None:
        """Circles of `(u, v, radius)`."""
        outlines = [_circle(u, v, radius) for u, v, radius in discs]
        self.polygons(colour, *outlines, rim=rim)

    def lines(self, colour: Colour, thickness: float, *paths: Outline) -> None:
        """Lines through points, `thickness` in sizes."""
        placed = [self._placed(path) for path in paths]
        shape = self._stencil_around(placed, self.size * thickness + 2)
        for path in placed:
            shape.line(path, self.size * thickness)
        self.scene.canvas.cut(shape, colour)

    def glow(self, u: float, v: float, radius: float, colour: Colour, strength: float) -> None:
        """A soft light around a point."""
        self.scene.canvas.glow(self.at(u, v), self.size * radius, colour, strength)

    def _placed(self, outline: Outline) -> list[Point]:
        return [self.at(u, v) for u, v in outline]

    def _cut(
        self, colour: Colour, outlines: Sequence[Sequence[Point]], rim: float, *, soft: bool
    ) -> None:
        shape = self._stencil_around(outlines, 2)
        for outline in outlines:
            (shape.curve if soft else shape.polygon)(outline)
        backlit(self.scene, shape, colour, rim=rim)

    def _stencil_around(self, outlines: Sequence[Sequence[Point]], margin: float) -> Stencil:
        xs = [x for outline in outlines for x, _ in outline]
        ys = [y for outline in outlines for _, y in outline]
        return self.scene.canvas.stencil(
            min(xs) - margin, min(ys) - margin, max(xs) + margin, max(ys) + margin
        )


def _circle(u: float, v: float, radius: float) -> list[Point]:
    return [
        (u + radius * float(np.cos(turn)), v + radius * float(np.sin(turn)))
        for turn in np.linspace(0, 2 * np.pi, 36)
    ]
