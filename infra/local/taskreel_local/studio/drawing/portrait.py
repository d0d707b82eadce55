"""A portrait as a double exposure: a head in profile, and inside it a landscape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from taskreel_local.studio.drawing.canvas import Canvas, Point, Stencil
from taskreel_local.studio.drawing.creatures import paint_birds
from taskreel_local.studio.drawing.land import paint_forest, paint_mountains
from taskreel_local.studio.drawing.noise import ramp
from taskreel_local.studio.drawing.palette import mix
from taskreel_local.studio.drawing.sky import Scene, paint_sky

# The outline from the nape over crown and face to the shoulders: x towards the face, y up.
PROFILE: tuple[Point, ...] = (
    (-0.5, -0.1), (-0.5, 0.1), (-0.42, 0.2), (-0.26, 0.27), (-0.17, 0.33), (-0.17, 0.45),
    (-0.25, 0.56), (-0.28, 0.7), (-0.24, 0.84), (-0.12, 0.93), (0.02, 0.945), (0.14, 0.9),
    (0.205, 0.82), (0.225, 0.74), (0.22, 0.69), (0.226, 0.665), (0.25, 0.62), (0.288, 0.562),
    (0.28, 0.545), (0.245, 0.538), (0.236, 0.525), (0.246, 0.51), (0.262, 0.497), (0.256, 0.482),
    (0.24, 0.474), (0.256, 0.462), (0.254, 0.442), (0.23, 0.428), (0.232, 0.41), (0.226, 0.375),
    (0.19, 0.355), (0.12, 0.352), (0.06, 0.335), (0.05, 0.28), (0.1, 0.235), (0.24, 0.18),
    (0.33, 0.06), (0.36, -0.1),
)  # fmt: skip


def paint_portrait(scene: Scene) -> None:
    """A silhouette against the light, filled with the world it dreams of."""
    canvas, palette = scene.canvas, scene.palette
    canvas.rgb[:] = palette.sky_at(canvas.y[:, 0] / canvas.height * 0.9 + 0.1)[:, :, None]
    facing = 1.0 if scene.lamp[0] > canvas.width / 2 else -1.0
    canvas.halo(
        (canvas.width * (0.5 + 0.22 * facing), canvas.height * 0.42),
        scene.unit * 0.42,
        palette.light,
        0.8,
    )
    _paint_bokeh(scene)
    head = _make_head(scene, facing)
    mask = head.mask()
    x = (canvas.x / canvas.width - 0.5) * facing
    inside = _make_inside(scene)
    depth = ramp(0.95 - canvas.y / canvas.height + 0.2 * x, -0.05, 0.5)
    dark = mix(palette.land, palette.sky[0], 0.25)[:, None, None]
    canvas.paint(mask, dark + (inside.rgb - dark) * (0.35 + 0.62 * depth))
    edge = np.clip(mask - head.mask(scene.unit * 0.012), 0, 1) * ramp(x, -0.2, 0.25)
    canvas.light(edge * 1.1, palette.light)


def _make_head(scene: Scene, facing: float) -> Stencil:
    canvas, h = scene.canvas, scene.unit * 0.98
    foot = canvas.height * 0.5 + h * 0.47
    head = canvas.whole()
    middle = canvas.width / 2
    head.curve(
        [
            (middle + facing * u * h, foot - v * h if v > 0 else canvas.height * 1.2)
            for u, v in PROFILE
        ]
    )
    return head


def _make_inside(scene: Scene) -> Canvas:
    """A landscape in the portrait's own light."""
    canvas = Canvas(scene.canvas.width, scene.canvas.height)
    horizon = canvas.height * 0.58
    inner = replace(scene, canvas=canvas, horizon=horizon, lamp=(canvas.width * 0.5, horizon * 0.5))
    paint_sky(inner)
    paint_mountains(inner, layers=3, lift=0.02)
    paint_birds(inner)
    paint_forest(inner, layers=3)
    return canvas


def _paint_bokeh(scene: Scene) -> None:
    canvas, rng = scene.canvas, scene.chance("bokeh")
    for _ in range(34):
        at = (rng.random() * canvas.width, rng.random() * canvas.height)
        radius = scene.unit * rng.uniform(0.012, 0.06)
        disc = canvas.stencil(
            at[0] - radius - 2, at[1] - radius - 2, at[0] + radius + 2, at[1] + radius + 2
        )
        disc.ellipse(at, radius, radius)
        canvas.light(
            disc.mask(scene.unit * 0.002) * rng.uniform(0.03, 0.14),
            scene.palette.light,
            top=disc.top,
            left=disc.left,
        )
