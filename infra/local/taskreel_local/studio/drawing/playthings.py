"""Kites and balls."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.ground import choose_place, ground_at
from taskreel_local.studio.drawing.local_shapes import LocalShapes
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene


def paint_kite(scene: Scene) -> None:
    """A kite high in the wind, its string down to the ground."""
    canvas = scene.canvas
    left = scene.lamp[0] > canvas.width / 2
    x = canvas.width * (0.36 if left else 0.64)
    kite = LocalShapes(scene, (x, scene.horizon * 0.4), scene.unit * 0.24, -1 if left else 1, 0.35)
    cloth = scene.tint("kite", rgb("d8342c"))
    other = mix(cloth, rgb("fff4e0"), 0.45)
    hand = canvas.width * (0.62 if left else 0.38)
    end = (hand, ground_at(scene, hand))
    start = kite.at(0, -0.1)
    string = []
    for t in np.linspace(0, 1, 24):
        sag = float(np.sin(np.pi * t)) * scene.unit * 0.06
        string.append(
            (start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * t + sag)
        )
    line = canvas.whole()
    line.line(string, max(scene.unit * 0.0022, 1))
    canvas.cut(line, mix(scene.palette.land, scene.palette.haze, 0.3))
    tail = [(0.06 * float(np.sin(9 * t)), -0.6 - 0.9 * t) for t in np.linspace(0, 1, 24)]
    kite.lines(cloth * 0.6, 0.014, tail)
    for u, v in tail[3::5]:
        kite.polygons(other, [(u, v), (u - 0.1, v + 0.05), (u - 0.1, v - 0.05)], rim=0.2)
        kite.polygons(other, [(u, v), (u + 0.1, v + 0.05), (u + 0.1, v - 0.05)], rim=0.2)
    kite.polygons(cloth, [(0, 0.45), (-0.34, 0.1), (0, 0.1)], [(0, 0.1), (0.34, 0.1), (0, -0.6)])
    kite.polygons(other, [(0, 0.45), (0.34, 0.1), (0, 0.1)], [(0, 0.1), (-0.34, 0.1), (0, -0.6)])
    kite.lines(rgb("3a2a20"), 0.014, [(0, 0.45), (0, -0.6)], [(-0.34, 0.1), (0.34, 0.1)])


def paint_ball(scene: Scene) -> None:
    """A ball with bright panels."""
    x, foot = choose_place(scene, 0.52, 0.1)
    radius = scene.unit * 0.07
    ball = LocalShapes(scene, (x, foot - radius), radius)
    colour = scene.tint("ball", rgb("d8342c"))
    light = mix(colour, rgb("fdf6e6"), 0.85)
    shadow = [(-1.0, -0.95), (1.0, -0.95), (0.7, -1.12), (-0.7, -1.12)]
    ball.curves(scene.palette.land * 0.4, shadow, rim=0)
    ball.discs(light, (0, 0, 1.0), rim=0.5)
    for turn in (0.3, 0.3 + 2 * np.pi / 3, 0.3 + 4 * np.pi / 3):
        edge = [
            (0.98 * float(np.cos(turn + a)), 0.98 * float(np.sin(turn + a)))
            for a in np.linspace(0, np.pi / 3, 10)
        ]
        ball.polygons(colour, [(0.12, 0.16), *edge], rim=0.2)
    ball.discs(light, (0.12, 0.16, 0.16))
    ball.glow(-0.3, 0.4, 0.22, rgb("ffffff"), 0.35)
