"""A room, and its people and furniture: bakers and their oven."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.canvas import Colour
from taskreel_local.studio.drawing.ground import choose_place, ground_at
from taskreel_local.studio.drawing.local_shapes import LocalShapes
from taskreel_local.studio.drawing.noise import ramp, sample
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene

WALLS = ("c9a06c", "8fa08c", "b58a78", "a8a39a", "7f93a6")


def paint_room(scene: Scene) -> None:
    """A wall with a window on the day outside, and a floor of boards."""
    canvas, unit, rng = scene.canvas, scene.unit, scene.chance("room")
    floor = canvas.height * 0.68
    wall = mix(
        rgb(str(rng.choice(WALLS))), scene.palette.land, 0.35 if scene.palette.dark else 0.05
    )
    grain = sample(scene.dice.grain, canvas.x / unit * 0.7, canvas.y / unit * 0.7)
    light = np.exp(-((canvas.x - scene.lamp[0]) ** 2 + (canvas.y - floor * 0.4) ** 2) / unit**2)
    canvas.rgb[:] = wall[:, None, None] * (0.62 + 0.08 * grain + 0.5 * light)
    _paint_window(scene)
    depth = np.clip((canvas.y - floor) / (canvas.height - floor), 0, 1)
    across = (canvas.x - canvas.width / 2) / unit / (0.35 + depth)
    seams = np.exp(-((np.abs((across * 7) % 1 - 0.5) - 0.5) ** 2) * 700)
    wood = sample(scene.dice.grain, across * 0.6, depth * 0.6 + np.zeros_like(across))
    shade = (0.55 + 0.3 * wood + 0.25 * depth) * (1 - 0.45 * seams)
    boards = mix(rgb("8a5a34"), scene.palette.land, 0.3)
    canvas.paint(ramp(canvas.y - floor, -1, 1) + 0 * canvas.x, boards[:, None, None] * shade)
    skirting = canvas.stencil(0, floor - unit * 0.03, canvas.width, floor)
    skirting.box(0, floor - unit * 0.03, canvas.width, floor)
    canvas.cut(skirting, wall * 0.5)
    scene.ground = np.full(canvas.width, floor + unit * 0.06, np.float32)


def _paint_window(scene: Scene) -> None:
    canvas, unit = scene.canvas, scene.unit
    x, y, half, high = scene.lamp[0], canvas.height * 0.3, unit * 0.15, unit * 0.18
    frame = canvas.stencil(x - half * 1.15, y - high * 1.15, x + half * 1.15, y + high * 1.2)
    frame.box(x - half * 1.12, y - high * 1.1, x + half * 1.12, y + high * 1.1)
    canvas.cut(frame, rgb("4a3222"))
    pane = canvas.stencil(x - half, y - high, x + half, y + high)
    pane.box(x - half, y - high, x + half, y + high)
    rows = canvas.y[pane.top : pane.top + pane.height, 0]
    sky = scene.palette.sky_at(ramp(rows, y - high, y + high))
    canvas.paint(pane.mask(), sky[:, :, None], top=pane.top, left=pane.left)
    bars = canvas.stencil(x - half, y - high, x + half, y + high)
    bars.line([(x, y - high), (x, y + high)], unit * 0.012)
    bars.line([(x - half, y), (x + half, y)], unit * 0.012)
    canvas.cut(bars, rgb("4a3222"))


def paint_baker(scene: Scene) -> None:
    """A baker in a white hat and apron; two where the prompt speaks of several."""
    several = any(word in scene.plan.text for word in ("bakers", "cooks", "chefs"))
    x, foot = choose_place(scene, 0.34, 0.09)
    _paint_person(scene, x, foot, 1)
    if several:
        _paint_person(scene, scene.canvas.width - x * 0.92, foot + scene.unit * 0.015, -1)


def _paint_person(scene: Scene, x: float, foot: float, facing: int) -> None:
    shadow = 0.45 if scene.palette.dark else 0.1
    white = mix(rgb("f7f3ea"), scene.palette.land, shadow)
    skin, dark = mix(rgb("d9a07a"), scene.palette.land, shadow), rgb("3a3038")
    coat = scene.tint("baker", mix(rgb("6f8aa0"), scene.palette.land, shadow))
    baker = LocalShapes(scene, (x, foot), scene.unit * 0.46, facing)
    baker.curves(
        dark,
        [(-0.1, 0.36), (-0.01, 0.36), (-0.02, 0.03), (0.02, 0), (-0.11, 0)],
        [(0.01, 0.36), (0.1, 0.36), (0.09, 0.03), (0.14, 0), (0.02, 0)],
        rim=0.2,
    )
    baker.curves(
        coat,
        [(-0.1, 0.76), (0.1, 0.76), (0.16, 0.66), (0.14, 0.34), (-0.14, 0.34), (-0.16, 0.66)],
        [(0.1, 0.74), (0.17, 0.68), (0.24, 0.52), (0.3, 0.5), (0.28, 0.45), (0.18, 0.48)],
        [(-0.1, 0.74), (-0.17, 0.68), (-0.2, 0.5), (-0.16, 0.42), (-0.12, 0.46)],
    )
    apron = [(-0.07, 0.7), (0.07, 0.7), (0.12, 0.54), (0.14, 0.2), (-0.14, 0.2), (-0.12, 0.54)]
    baker.curves(white, apron, rim=0.3)
    baker.discs(skin, (0, 0.86, 0.082), (0.3, 0.475, 0.03), rim=0.3)
    baker.discs(rgb("2a1a14"), (0.03, 0.875, 0.01), (-0.028, 0.875, 0.01))
    baker.lines(rgb("8a4a3a"), 0.01, [(-0.025, 0.83), (0, 0.822), (0.025, 0.83)])
    baker.polygons(white, [(-0.078, 0.91), (-0.07, 0.98), (0.07, 0.98), (0.078, 0.91)], rim=0.3)
    baker.discs(white, (-0.06, 1.02, 0.062), (0.06, 1.02, 0.062), (0, 1.05, 0.07), rim=0.4)
    _paint_loaf(baker, 0.36, 0.52)


def _paint_loaf(place: LocalShapes, u: float, v: float) -> None:
    crust: Colour = rgb("b9752f")
    place.curves(
        crust,
        [
            (u - 0.1, v - 0.02),
            (u - 0.09, v + 0.05),
            (u, v + 0.08),
            (u + 0.09, v + 0.05),
            (u + 0.1, v - 0.02),
        ],
        rim=0.5,
    )
    cuts = [[(u + d - 0.02, v + 0.01), (u + d + 0.02, v + 0.055)] for d in (-0.045, 0.0, 0.045)]
    place.lines(rgb("f0d8a8"), 0.01, *cuts)


def paint_oven(scene: Scene) -> None:
    """A brick oven, a fire behind its mouth and bread on its sill."""
    canvas = scene.canvas
    x = canvas.width * (0.68 if scene.lamp[0] < canvas.width / 2 else 0.32)
    foot = min(ground_at(scene, x) + scene.unit * 0.01, canvas.height * 0.8)
    oven = LocalShapes(scene, (x, foot), scene.unit * 0.5)
    brick = scene.tint("oven", mix(rgb("9a4f34"), scene.palette.land, 0.2))
    dome = [
        (0.42 * float(np.cos(a)), 0.3 + 0.4 * float(np.sin(a))) for a in np.linspace(0, np.pi, 24)
    ]
    oven.polygons(brick, [(0.42, 0), *dome, (-0.42, 0)], rim=0.4)
    oven.polygons(brick * 0.8, [(-0.08, 0.66), (-0.08, 0.95), (0.08, 0.95), (0.08, 0.66)], rim=0.4)
    mortar = mix(brick, rgb("e8d8c0"), 0.3)
    for row in range(1, 12):
        v = row * 0.06
        half = 0.42 if v < 0.3 else 0.42 * float(np.sqrt(max(1 - ((v - 0.3) / 0.4) ** 2, 0)))
        oven.lines(mortar, 0.005, [(-half, v), (half, v)])
        for number in range(-4, 5):
            u = number * 0.1 + (0.05 if row % 2 else 0)
            if abs(u) < half - 0.02:
                oven.lines(mortar, 0.005, [(u, v), (u, v - 0.06)])
    mouth = [
        (0.2 * float(np.cos(a)), 0.24 + 0.2 * float(np.sin(a))) for a in np.linspace(0, np.pi, 16)
    ]
    oven.polygons(rgb("1a0d08"), [(0.2, 0.16), *mouth, (-0.2, 0.16)], rim=0)
    for u, height in ((-0.1, 0.12), (-0.03, 0.17), (0.04, 0.14), (0.11, 0.1)):
        flame = [(u - 0.045, 0.17), (u - 0.02, 0.17 + height * 0.6), (u, 0.17 + height)]
        oven.curves(rgb("ff8a2a"), [*flame, (u + 0.02, 0.17 + height * 0.5), (u + 0.045, 0.17)])
    oven.glow(0, 0.24, 0.18, rgb("ff9a3a"), 0.8)
    oven.polygons(brick * 0.5, [(-0.3, 0.12), (-0.3, 0.16), (0.3, 0.16), (0.3, 0.12)], rim=0.5)
    _paint_loaf(oven, 0.22, 0.18)
