"""Positions for things that stand: the ground under a column, and the surface of a small world."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.canvas import Point
from taskreel_local.studio.drawing.noise import ramp, sample
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene

LOWEST = 0.85  # of the picture's height, for what stands in front: captions are below


def ground_at(scene: Scene, x: float) -> float:
    """Row of the ground under a column, never below the picture's foot.

    A place without ground of its own, such as open space, has it near the picture's foot.
    """
    if not scene.ground.size:
        return scene.canvas.height * 0.8
    row = float(scene.ground[int(np.clip(x, 0, scene.canvas.width - 1))])
    return min(row, scene.canvas.height * 0.97)


def choose_place(scene: Scene, share: float, deep: float = 0.06) -> Point:
    """The position of a thing in the foreground, away from the lamp."""
    x = scene.canvas.width * (share if scene.lamp[0] < scene.canvas.width / 2 else 1 - share)
    foot = ground_at(scene, x)
    return x, min(foot + scene.unit * deep, scene.canvas.height * LOWEST)


def paint_small_world(scene: Scene) -> None:
    """The curved, cratered surface of a moon, for things that stand in space."""
    canvas, unit, rng = scene.canvas, scene.unit, scene.chance("small world")
    bend = (canvas.x[0] / canvas.width - 0.5) ** 2
    top = (canvas.height * 0.74 + unit * 0.32 * bend).astype(np.float32)
    depth = np.clip((canvas.y - top[None, :]) / unit, 0, 1)
    rough = sample(scene.dice.grain, canvas.x / unit * 0.8, canvas.y / unit * 1.6)
    dust = mix(rgb("8d8a94"), scene.palette.haze, 0.35)
    shade = (0.62 + 0.5 * rough) * (0.55 + 0.6 * np.exp(-depth * 5))
    mask = ramp(canvas.y - top[None, :], -1.0, 1.0)
    canvas.paint(mask, dust[:, None, None] * shade)
    for _ in range(9):
        x = rng.uniform(0.02, 0.98) * canvas.width
        y = float(top[min(int(x), canvas.width - 1)]) + unit * rng.uniform(0.04, 0.22)
        r = unit * rng.uniform(0.012, 0.05)
        for shift, colour in ((0.0, dust * 0.45), (r * 0.16, dust * 0.85)):
            crater = canvas.stencil(x - r * 1.2, y - r, x + r * 1.2, y + r)
            crater.ellipse((x, y + shift), r, r * 0.34)
            canvas.cut(crater, colour)
    scene.ground = top
