"""Cars and trains."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.canvas import Colour
from taskreel_local.studio.drawing.ground import choose_place, ground_at
from taskreel_local.studio.drawing.local_shapes import LocalShapes
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene

TYRE, HUB = "16161a", "a9adb4"


def paint_car(scene: Scene) -> None:
    """A low car in profile, its lamps on after dark."""
    x, foot = choose_place(scene, 0.56, 0.1)
    facing = 1 if x < scene.canvas.width / 2 else -1
    car = LocalShapes(scene, (x, foot), scene.unit * 0.6, facing)
    paint = scene.tint("car", mix(rgb("b3202a"), scene.palette.land, 0.15))
    glass = mix(rgb("1d2833"), scene.palette.sky[-1], 0.35)
    shadow = [(-0.52, 0.02), (0.52, 0.02), (0.46, -0.03), (-0.46, -0.03)]
    car.curves(scene.palette.land * 0.4, shadow, rim=0)
    cabin = [(-0.3, 0.25), (-0.16, 0.385), (-0.02, 0.41), (0.12, 0.395), (0.27, 0.27), (0.2, 0.22)]
    car.curves(paint, [(-0.36, 0.24), *cabin, (-0.3, 0.22)], rim=0.8)
    body = [
        (-0.51, 0.1),
        (-0.51, 0.22),
        (-0.47, 0.275),
        (-0.2, 0.285),
        (0.2, 0.28),
        (0.44, 0.235),
        (0.515, 0.17),
        (0.51, 0.09),
        (0.3, 0.07),
        (-0.3, 0.07),
    ]
    car.curves(paint, body, rim=0.6)
    car.curves(glass, [(-0.25, 0.27), (-0.14, 0.365), (-0.01, 0.38), (-0.01, 0.27)], rim=0.1)
    car.curves(glass, [(0.02, 0.27), (0.02, 0.38), (0.11, 0.37), (0.21, 0.275)], rim=0.1)
    car.lines(paint * 0.5, 0.006, [(0.0, 0.26), (0.01, 0.1)], [(-0.44, 0.16), (0.46, 0.15)])
    for u in (-0.31, 0.32):
        car.discs(rgb(TYRE), (u, 0.1, 0.102))
        car.discs(rgb(HUB) * 0.9, (u, 0.1, 0.058), rim=0.3)
        car.discs(rgb("44474d"), (u, 0.1, 0.018))
    car.discs(rgb("fff2c0"), (0.475, 0.19, 0.02))
    car.discs(rgb("e0241e"), (-0.5, 0.21, 0.017))
    if scene.palette.dark or scene.plan.mood in ("dusk", "fog", "sunset"):
        car.glow(0.49, 0.19, 0.1, rgb("fff0b8"), 0.8)
        car.glow(-0.5, 0.21, 0.06, rgb("ff3a2a"), 0.6)


def paint_train(scene: Scene) -> None:
    """A steam engine that pulls its carriages across the picture."""
    canvas, unit = scene.canvas, scene.unit
    middle = canvas.width * 0.5
    foot = min(ground_at(scene, middle) + unit * 0.05, canvas.height * 0.8)
    size = unit * 0.44
    rail = LocalShapes(scene, (0, foot), canvas.width)
    rail.lines(mix(rgb("6a625c"), scene.palette.land, 0.5), 0.006, [(-0.02, 0), (1.02, 0)])
    engine = LocalShapes(scene, (canvas.width * 0.64, foot), size)
    coat = scene.tint("train", mix(rgb("1f3a2e"), scene.palette.land, 0.25))
    coach = scene.tint("train", mix(rgb("7a2a24"), scene.palette.land, 0.2))
    for number in range(int(canvas.width * 0.6 / (size * 0.82)) + 1):
        _paint_carriage(engine, -0.66 - 0.82 * number, coach)
    _paint_engine(engine, coat)
    _paint_steam(scene, engine)


def _paint_engine(engine: LocalShapes, coat: Colour) -> None:
    brass = rgb("c99a3a")
    engine.polygons(coat, [(-0.2, 0.12), (-0.2, 0.46), (0.04, 0.46), (0.04, 0.12)], rim=0.5)
    engine.polygons(coat * 0.7, [(-0.24, 0.46), (-0.22, 0.5), (0.08, 0.5), (0.08, 0.46)], rim=0.6)
    engine.polygons(rgb("ffdf9a"), [(-0.13, 0.3), (-0.13, 0.42), (-0.02, 0.42), (-0.02, 0.3)])
    engine.curves(
        coat, [(0.02, 0.15), (0.02, 0.36), (0.3, 0.37), (0.47, 0.36), (0.48, 0.15)], rim=0.7
    )
    for u in (0.12, 0.25, 0.38):
        engine.lines(brass, 0.012, [(u, 0.16), (u, 0.355)])
    stack = [(0.36, 0.35), (0.345, 0.5), (0.32, 0.56), (0.46, 0.56), (0.435, 0.5), (0.42, 0.35)]
    engine.polygons(coat * 0.6, stack, rim=0.5)
    engine.curves(brass, [(0.14, 0.36), (0.15, 0.43), (0.23, 0.43), (0.24, 0.36)], rim=0.5)
    engine.polygons(coat * 0.5, [(0.44, 0.12), (0.6, 0.015), (0.44, 0.015)], rim=0.4)
    engine.polygons(coat * 0.45, [(-0.22, 0.08), (-0.22, 0.15), (0.48, 0.15), (0.48, 0.08)], rim=0)
    for u, r in ((-0.11, 0.095), (0.09, 0.095), (0.28, 0.065), (0.42, 0.065)):
        engine.discs(rgb("16161a"), (u, r, r))
        engine.discs(mix(coat, rgb("c23a2a"), 0.6), (u, r, r * 0.72))
        engine.discs(rgb("16161a"), (u, r, r * 0.2))
    engine.lines(rgb("b0b4ba"), 0.02, [(-0.11, 0.07), (0.09, 0.07)])
    engine.discs(rgb("fff0b8"), (0.485, 0.31, 0.03))
    engine.glow(0.52, 0.31, 0.1, rgb("ffe9a8"), 0.6)


def _paint_carriage(engine: LocalShapes, left: float, coat: Colour) -> None:
    right = left + 0.76
    box = [(left, 0.1), (left, 0.42), (right, 0.42), (right, 0.1)]
    engine.polygons(coat, box, rim=0.4)
    roof = [(left - 0.02, 0.42), (left + 0.03, 0.47), (right - 0.03, 0.47), (right + 0.02, 0.42)]
    engine.polygons(coat * 0.55, roof, rim=0.6)
    windows = []
    for number in range(5):
        u = left + 0.05 + number * 0.14
        windows.append([(u, 0.26), (u, 0.38), (u + 0.1, 0.38), (u + 0.1, 0.26)])
    engine.polygons(rgb("ffdf9a"), *windows, rim=0)
    engine.polygons(rgb("16161a"), [(right, 0.12), (right, 0.14), (right + 0.07, 0.14)], rim=0)
    for u in (left + 0.12, left + 0.26, right - 0.26, right - 0.12):
        engine.discs(rgb("16161a"), (u, 0.055, 0.055))
        engine.discs(rgb("5b5e66"), (u, 0.055, 0.026))


def _paint_steam(scene: Scene, engine: LocalShapes) -> None:
    rng = scene.chance("steam")
    white = mix(scene.palette.haze, rgb("f6f4f0"), 0.6)
    for number in range(34):
        t = number / 34
        u = 0.39 - 1.5 * t**1.2 + rng.normal(0, 0.025)
        v = 0.6 + 0.34 * t**0.7 + rng.normal(0, 0.025)
        radius = engine.size * (0.035 + 0.12 * t)
        x, y = engine.at(u, v)
        puff = scene.canvas.stencil(x - radius * 2, y - radius * 2, x + radius * 2, y + radius * 2)
        puff.ellipse((x, y), radius, radius * 0.85)
        mask = (puff.mask(max(radius * 0.4, 0.5)) * (0.55 * (1 - t))).astype(np.float32)
        scene.canvas.paint(mask, white, top=puff.top, left=puff.left)
