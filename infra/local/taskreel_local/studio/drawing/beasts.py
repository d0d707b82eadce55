"""Horses, great birds and dragons."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from taskreel_local.studio.drawing.canvas import Point
from taskreel_local.studio.drawing.ground import choose_place
from taskreel_local.studio.drawing.local_shapes import LocalShapes
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene


def paint_horse(scene: Scene) -> None:
    """A horse that stands in profile; a unicorn where the prompt says so."""
    x, foot = choose_place(scene, 0.6, 0.07)
    facing = -1 if x > scene.canvas.width / 2 else 1
    horse = LocalShapes(scene, (x, foot), scene.unit * 0.32, facing)
    magic = "unicorn" in scene.plan.text
    usual = rgb("efe8f2") if magic else mix(rgb("6b3d20"), scene.palette.land, 0.25)
    coat = scene.tint("horse", usual)
    mane = mix(rgb("d58ae0"), coat, 0.2) if magic else coat * 0.4
    tail = [
        (-0.5, 0.64),
        (-0.64, 0.6),
        (-0.74, 0.38),
        (-0.72, 0.14),
        (-0.63, 0.3),
        (-0.54, 0.52),
    ]
    horse.curves(mane, tail)
    horse.curves(coat * 0.7, _leg(0.22, 0.06), _leg(-0.34, -0.04), rim=0.2)
    body = [
        (-0.54, 0.5),
        (-0.5, 0.67),
        (-0.3, 0.72),
        (-0.02, 0.68),
        (0.2, 0.72),
        (0.38, 0.72),
        (0.44, 0.54),
        (0.34, 0.38),
        (0.05, 0.36),
        (-0.24, 0.4),
        (-0.46, 0.38),
    ]
    neck = [(0.18, 0.66), (0.36, 0.92), (0.5, 1.06), (0.62, 0.98), (0.52, 0.78), (0.44, 0.5)]
    horse.curves(coat, body, neck, rim=0.6)
    horse.curves(coat, _leg(0.33, -0.02), _leg(-0.43, 0.04), rim=0.4)
    head = [
        (0.46, 1.0),
        (0.54, 1.1),
        (0.64, 1.05),
        (0.86, 0.82),
        (0.87, 0.74),
        (0.79, 0.72),
        (0.62, 0.83),
        (0.52, 0.86),
    ]
    horse.curves(coat, head, rim=0.6)
    horse.polygons(coat, [(0.5, 1.05), (0.53, 1.19), (0.59, 1.06)], rim=0.4)
    crest = [
        (0.16, 0.7),
        (0.28, 0.9),
        (0.42, 1.08),
        (0.53, 1.13),
        (0.5, 1.02),
        (0.42, 0.9),
        (0.32, 0.72),
    ]
    horse.curves(mane, crest)
    horse.discs(rgb("0c0a0a"), (0.62, 0.98, 0.018), (0.835, 0.79, 0.012))
    if magic:
        horse.polygons(rgb("ffe9a8"), [(0.59, 1.07), (0.74, 1.4), (0.64, 1.06)], rim=0.6)
        horse.glow(0.72, 1.32, 0.12, rgb("fff0c0"), 0.5)


def _leg(u: float, lean: float) -> list[Point]:
    return [
        (u - 0.08, 0.5),
        (u + 0.08, 0.5),
        (u + lean * 0.6 + 0.045, 0.24),
        (u + lean + 0.035, 0.05),
        (u + lean + 0.07, 0.0),
        (u + lean - 0.04, 0.0),
        (u + lean * 0.6 - 0.03, 0.24),
    ]


def paint_bird(scene: Scene) -> None:
    """One bird in flight, near enough to see its wings."""
    canvas = scene.canvas
    x = canvas.width * (0.6 if scene.lamp[0] < canvas.width / 2 else 0.4)
    facing = -1 if x > canvas.width / 2 else 1
    bird = LocalShapes(scene, (x, scene.horizon * 0.5), scene.unit * 0.34, facing, 0.12)
    coat = scene.tint("bird", mix(rgb("4a4f5c"), scene.palette.land, 0.3))
    belly = mix(coat, rgb("f2eadc"), 0.55)
    far_wing = [(-0.06, 0.05), (0.02, 0.3), (0.22, 0.62), (0.2, 0.3), (0.14, 0.03)]
    bird.curves(coat * 0.7, far_wing, rim=0.2)
    bird.curves(coat, [(-0.2, 0.02), (-0.52, 0.09), (-0.56, -0.04), (-0.2, -0.06)], rim=0.4)
    body = [(-0.3, 0.02), (0, 0.1), (0.26, 0.08), (0.36, 0.1), (0.34, -0.03), (0.1, -0.12)]
    bird.curves(coat, [*body, (-0.2, -0.08)], rim=0.5)
    bird.curves(belly, [(0.3, 0.02), (0.24, -0.07), (0.05, -0.11), (-0.12, -0.07), (0.1, -0.02)])
    bird.discs(coat, (0.36, 0.08, 0.085), rim=0.5)
    bird.polygons(rgb("e8a02c"), [(0.42, 0.11), (0.56, 0.06), (0.42, 0.04)], rim=0)
    bird.discs(rgb("0a0a0c"), (0.385, 0.1, 0.016))
    wing = [(0.16, 0.06), (0.06, 0.34), (-0.16, 0.66), (-0.3, 0.78), (-0.28, 0.5), (-0.14, 0.05)]
    bird.curves(coat * 0.9, wing, rim=0.7)
    feathers = [[(0.02, 0.1), (-0.1 - 0.06 * n, 0.62 - 0.12 * n)] for n in range(4)]
    bird.lines(coat * 0.6, 0.008, *feathers)


def paint_dragon(scene: Scene) -> None:
    """A dragon on the wing that breathes fire."""
    canvas = scene.canvas
    x = canvas.width * (0.52 if scene.lamp[0] < canvas.width / 2 else 0.48)
    facing = 1 if scene.lamp[0] < canvas.width / 2 else -1
    dragon = LocalShapes(scene, (x, scene.horizon * 0.52), scene.unit * 0.46, facing, 0.1)
    hide = scene.tint("dragon", mix(rgb("2f5a3a"), scene.palette.land, 0.35))
    web = mix(hide, rgb("7a2a24"), 0.4)
    dragon.polygons(
        web * 0.6,
        [(0.05, 0.08), (0.2, 0.5), (0.02, 0.42), (-0.12, 0.44), (-0.1, 0.25), (-0.16, 0.08)],
        rim=0.3,
    )
    spine = [(-0.95 + 1.25 * t, 0.1 * np.sin(6.2 * t) - 0.05 + 0.1 * t) for t in _STEPS]
    for number, (start, end) in enumerate(pairwise(spine)):
        t = number / len(spine)
        dragon.lines(hide, 0.025 + 0.17 * np.sin(np.pi * min(t, 0.8)) ** 1.6, [start, end])
    dragon.polygons(hide, [(-0.9, -0.04), (-1.08, 0.06), (-1.0, -0.06), (-1.08, -0.16)], rim=0.3)
    neck = [(0.1, 0.08), (0.28, 0.2), (0.4, 0.34), (0.5, 0.32), (0.42, 0.16), (0.24, -0.06)]
    dragon.curves(hide, neck, rim=0.5)
    dragon.curves(
        hide,
        [(0.38, 0.34), (0.46, 0.42), (0.58, 0.38), (0.74, 0.32), (0.72, 0.27), (0.56, 0.24)],
        rim=0.6,
    )
    dragon.polygons(hide * 0.8, [(0.44, 0.4), (0.3, 0.52), (0.5, 0.41)], rim=0.4)
    dragon.polygons(hide * 0.8, [(0.56, 0.27), (0.68, 0.2), (0.58, 0.24)], rim=0)
    dragon.discs(rgb("ffd23a"), (0.55, 0.36, 0.016))
    wing = [
        (0.12, 0.1),
        (-0.02, 0.66),
        (-0.22, 0.82),
        (-0.3, 0.52),
        (-0.46, 0.58),
        (-0.44, 0.34),
        (-0.6, 0.3),
        (-0.34, 0.06),
    ]
    dragon.polygons(web, wing, rim=0.6)
    bones = [[(0.08, 0.12), tip] for tip in ((-0.22, 0.82), (-0.46, 0.58), (-0.6, 0.3))]
    dragon.lines(hide * 0.6, 0.018, *bones)
    legs = (
        [(0.1, -0.06), (0.2, -0.2), (0.12, -0.22)],
        [(-0.2, -0.08), (-0.14, -0.22), (-0.26, -0.2)],
    )
    dragon.curves(hide * 0.85, *legs, rim=0.3)
    for number in range(16):
        t = number / 16
        at = (0.76 + 0.4 * t, 0.28 - 0.14 * t + 0.02 * float(np.sin(number * 2.1)))
        dragon.glow(*at, 0.02 + 0.075 * t, rgb("ff8a2a"), 0.5 * (1 - 0.6 * t))
        dragon.glow(*at, 0.012 + 0.03 * t, rgb("ffe08a"), 0.7 * (1 - t))


_STEPS = [float(t) for t in np.linspace(0, 1, 30)]
