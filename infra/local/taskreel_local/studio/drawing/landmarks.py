"""Landmarks: buildings, bridges and pyramids, and a volcano."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.canvas import Point, Stencil
from taskreel_local.studio.drawing.ground import ground_at
from taskreel_local.studio.drawing.noise import Field, ramp, sample
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene
from taskreel_local.studio.drawing.solid_shapes import backlit, column, lit_window, rocks

LAMP = rgb("fff3c4")
WINDOW = rgb("ffc860")


def paint_lighthouse(scene: Scene) -> None:
    """A banded tower on its rock, lamp lit, beams through the air."""
    canvas, unit, rng = scene.canvas, scene.unit, scene.chance("lighthouse")
    right = scene.lamp[0] < canvas.width / 2
    x = canvas.width * (0.7 if right else 0.3) + rng.uniform(-0.02, 0.02) * unit
    shore = scene.horizon + unit * 0.13
    foot = scene.horizon - unit * 0.015
    lamp = (x, foot - unit * 0.47)
    _paint_beams(scene, lamp, left=right)
    edge = canvas.width + unit * 0.06 if right else -unit * 0.06
    left_end, right_end = (x - unit * 0.24, edge) if right else (edge, x + unit * 0.24)
    rocks(scene, left_end, right_end, (x, foot), shore, "crag")
    _keepers_house(scene, x + (0.11 if right else -0.11) * unit, foot + unit * 0.03)
    _paint_tower(scene, x, foot + unit * 0.02, lamp)
    _paint_lantern(scene, lamp)
    if scene.plan.mood == "storm":
        _paint_breakers(scene, left_end, right_end, shore)


def _paint_tower(scene: Scene, x: float, foot: float, lamp: Point) -> None:
    unit = scene.unit
    top, bottom = unit * 0.03, unit * 0.052
    head = lamp[1] + unit * 0.03
    shape = scene.canvas.stencil(x - bottom - 2, head, x + bottom + 2, foot + 2)
    shape.polygon([(x - top, head), (x + top, head), (x + bottom, foot), (x - bottom, foot)])
    y = scene.canvas.y[shape.top : shape.top + shape.height]
    share = (y - head) / (foot - head)
    red = (np.floor(share * 6.2) % 2 == 0)[None].astype(np.float32)
    dim = 0.62 if scene.palette.dark else 0.95
    stripe = scene.tint("lighthouse", rgb("c0322f"))
    colours = (rgb("f4efe6")[:, None, None] * (1 - red) + stripe[:, None, None] * red) * dim
    column(scene, shape, colours, x, bottom)
    for share_up in (0.28, 0.55, 0.8):
        lit_window(scene, (x, foot - (foot - head) * share_up), unit * 0.009, unit * 0.02, WINDOW)


def _paint_lantern(scene: Scene, lamp: Point) -> None:
    canvas, unit, (x, y) = scene.canvas, scene.unit, lamp
    dark = scene.palette.land
    gallery = canvas.stencil(x - unit * 0.06, y - unit * 0.08, x + unit * 0.06, y + unit * 0.05)
    gallery.box(x - unit * 0.046, y + unit * 0.022, x + unit * 0.046, y + unit * 0.034)
    gallery.box(x - unit * 0.044, y + unit * 0.004, x + unit * 0.044, y + unit * 0.007)
    for post in np.linspace(-0.043, 0.043, 7):
        gallery.line(
            [(x + post * unit, y + unit * 0.005), (x + post * unit, y + unit * 0.024)], unit * 0.002
        )
    gallery.curve(
        [
            (x - unit * 0.034, y - unit * 0.022),
            (x - unit * 0.02, y - unit * 0.05),
            (x + unit * 0.02, y - unit * 0.05),
            (x + unit * 0.034, y - unit * 0.022),
        ]
    )
    gallery.box(x - unit * 0.03, y - unit * 0.027, x + unit * 0.03, y - unit * 0.02)
    gallery.line([(x, y - unit * 0.045), (x, y - unit * 0.07)], unit * 0.004)
    canvas.cut(gallery, mix(dark, rgb("5a1d1d"), 0.4))
    glass = canvas.stencil(x - unit * 0.03, y - unit * 0.025, x + unit * 0.03, y + unit * 0.025)
    glass.box(x - unit * 0.023, y - unit * 0.021, x + unit * 0.023, y + unit * 0.022)
    canvas.cut(glass, LAMP * 1.35)
    canvas.glow(lamp, unit * 0.05, LAMP, 0.9)
    canvas.glow(lamp, unit * 0.16, LAMP, 0.35)


def _paint_beams(scene: Scene, lamp: Point, *, left: bool) -> None:
    tilt = 0.05
    strong = 0.85 if scene.palette.dark else 0.4
    _paint_beam(scene, lamp, np.pi + tilt if left else -tilt, strong)
    _paint_beam(scene, lamp, tilt if left else np.pi - tilt, strong * 0.7)


def _paint_beam(scene: Scene, lamp: Point, angle: float, strength: float) -> None:
    canvas, unit = scene.canvas, scene.unit
    dx, dy = canvas.x[:, ::2] - lamp[0], canvas.y[::2] - lamp[1]
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = np.abs(-dx * np.sin(angle) + dy * np.cos(angle))
    width = unit * 0.011 + along * 0.105
    cone = np.where(along > 0, np.exp(-((across / np.maximum(width, 1)) ** 2) * 1.7), 0)
    fade = np.exp(-along / (0.95 * unit)) * (0.62 + 0.38 * np.exp(-along / (0.12 * unit)))
    mist = 0.55 + 0.7 * sample(
        scene.dice.clouds, canvas.x[:, ::2] / unit * 0.4, canvas.y[::2] / unit * 0.55
    )
    beam = (cone * fade * mist * strength).astype(np.float32)
    whole = np.repeat(np.repeat(beam, 2, 0), 2, 1)[: canvas.height, : canvas.width]
    canvas.light(whole, LAMP)


def _keepers_house(scene: Scene, x: float, foot: float) -> None:
    unit, canvas = scene.unit, scene.canvas
    walls = canvas.stencil(x - unit * 0.08, foot - unit * 0.12, x + unit * 0.08, foot + 2)
    walls.box(x - unit * 0.05, foot - unit * 0.052, x + unit * 0.05, foot + 2)
    column(scene, walls, mix(rgb("d8d2c6"), scene.palette.land, 0.45), x, unit * 0.08)
    roof = canvas.stencil(x - unit * 0.08, foot - unit * 0.12, x + unit * 0.08, foot)
    roof.polygon(
        [
            (x - unit * 0.06, foot - unit * 0.048),
            (x - unit * 0.034, foot - unit * 0.09),
            (x + unit * 0.034, foot - unit * 0.09),
            (x + unit * 0.06, foot - unit * 0.048),
        ]
    )
    roof.box(x + unit * 0.015, foot - unit * 0.11, x + unit * 0.028, foot - unit * 0.08)
    backlit(scene, roof, mix(rgb("5a2622"), scene.palette.land, 0.5), rim=0.35)
    for shift in (-0.024, 0.02):
        lit_window(
            scene, (x + shift * unit, foot - unit * 0.026), unit * 0.014, unit * 0.018, WINDOW
        )


def _paint_breakers(scene: Scene, left: float, right: float, shore: float) -> None:
    """Spray where the sea hits the rock."""
    canvas, rng, unit = scene.canvas, scene.chance("breakers"), scene.unit
    white = mix(scene.palette.haze, scene.palette.light, 0.8)
    for _ in range(5):
        x = rng.uniform(max(left, 0), min(right, canvas.width))
        height = unit * rng.uniform(0.05, 0.14)
        burst = canvas.stencil(x - height, shore - height * 1.3, x + height, shore + height * 0.3)
        for _ in range(150):
            reach, turn = rng.random() ** 0.6 * height, rng.normal(-np.pi / 2, 0.55)
            size = unit * 0.0035 * rng.uniform(0.3, 1.4) * (1.25 - reach / height)
            burst.ellipse(
                (x + reach * float(np.cos(turn)), shore + reach * float(np.sin(turn))),
                size,
                size,
                rng.uniform(0.3, 0.95),
            )
        canvas.paint(burst.mask(unit * 0.0012) * 0.85, white, top=burst.top, left=burst.left)
        canvas.paint(burst.mask(unit * 0.012) * 0.6, white, top=burst.top, left=burst.left)


def paint_castle(scene: Scene) -> None:
    """Towers, battlements and lit windows on a height."""
    canvas, unit, rng = scene.canvas, scene.unit, scene.chance("castle")
    x = canvas.width * (0.66 if scene.lamp[0] < canvas.width / 2 else 0.36)
    foot = scene.horizon + unit * 0.03
    rocks(scene, x - unit * 0.38, x + unit * 0.38, (x, foot), foot + unit * 0.24, "castle rock")
    shape = canvas.stencil(x - unit * 0.3, foot - unit * 0.5, x + unit * 0.3, foot + unit * 0.06)
    shape.box(x - unit * 0.17, foot - unit * 0.1, x + unit * 0.17, foot + unit * 0.05)
    towers = [
        (-0.19, 0.035, 0.2),
        (-0.1, 0.028, 0.27),
        (0.0, 0.05, 0.33),
        (0.09, 0.026, 0.25),
        (0.18, 0.036, 0.22),
    ]
    for shift, half, height in towers:
        _castle_tower(
            shape, x + shift * unit, foot, half * unit, height * unit * rng.uniform(0.92, 1.1), unit
        )
    stone = mix(mix(scene.palette.land, scene.palette.haze, 0.28), scene.palette.light, 0.06)
    backlit(scene, shape, stone, rim=0.5)
    for shift, _, height in towers:
        for share in (0.35, 0.62):
            if rng.random() < 0.75:
                lit_window(
                    scene,
                    (x + shift * unit, foot - height * unit * share),
                    unit * 0.008,
                    unit * 0.016,
                    WINDOW,
                )


def _castle_tower(
    shape: Stencil, x: float, foot: float, half: float, height: float, unit: float
) -> None:
    shape.box(x - half, foot - height, x + half, foot + unit * 0.05)
    shape.box(
        x - half * 1.2, foot - height - unit * 0.012, x + half * 1.2, foot - height + unit * 0.012
    )
    for notch in np.linspace(-1.05, 1.05, 5):
        shape.box(
            x + (notch - 0.14) * half,
            foot - height - unit * 0.024,
            x + (notch + 0.14) * half,
            foot - height,
        )
    peak = foot - height - half * 3.1
    shape.polygon(
        [
            (x - half * 1.05, foot - height - unit * 0.01),
            (x, peak),
            (x + half * 1.05, foot - height - unit * 0.01),
        ]
    )
    shape.line([(x, peak), (x, peak - unit * 0.03)], unit * 0.002)
    shape.polygon(
        [(x, peak - unit * 0.03), (x + unit * 0.025, peak - unit * 0.023), (x, peak - unit * 0.015)]
    )


def paint_house(scene: Scene) -> None:
    """A cottage with lit windows and a smoking chimney."""
    canvas, unit = scene.canvas, scene.unit
    x = canvas.width * (0.64 if scene.lamp[0] < canvas.width / 2 else 0.36)
    foot = min(ground_at(scene, x), scene.horizon + unit * 0.3) + unit * 0.035
    if scene.plan.place in ("sea", "lake"):
        foot = scene.horizon + unit * 0.05
        rocks(
            scene,
            x - unit * 0.3,
            x + unit * 0.3,
            (x, foot - unit * 0.02),
            foot + unit * 0.05,
            "islet",
        )
    w, h = unit * 0.12, unit * 0.105
    walls = canvas.stencil(x - w * 1.3, foot - h * 2.2, x + w * 1.3, foot + 2)
    walls.box(x - w, foot - h, x + w, foot)
    wood = scene.tint(
        "house", mix(rgb("b98f62"), scene.palette.land, 0.5 if scene.palette.dark else 0.2)
    )
    column(scene, walls, wood, x, w * 1.3)
    roof = canvas.stencil(x - w * 1.4, foot - h * 2.4, x + w * 1.4, foot)
    roof.polygon(
        [
            (x - w * 1.22, foot - h * 0.93),
            (x - w * 0.62, foot - h * 1.85),
            (x + w * 0.62, foot - h * 1.85),
            (x + w * 1.22, foot - h * 0.93),
        ]
    )
    roof.box(x + w * 0.3, foot - h * 2.25, x + w * 0.5, foot - h * 1.7)
    top = (
        mix(rgb("eef3f8"), scene.palette.haze, 0.3)
        if scene.plan.mood == "snow"
        else mix(rgb("5b2f22"), scene.palette.land, 0.4)
    )
    backlit(scene, roof, top, rim=0.45)
    for shift in (-0.55, 0.55):
        lit_window(scene, (x + w * shift, foot - h * 0.5), w * 0.3, h * 0.36, WINDOW)
    door = canvas.stencil(x - w * 0.2, foot - h * 0.75, x + w * 0.2, foot)
    door.box(x - w * 0.13, foot - h * 0.66, x + w * 0.13, foot)
    canvas.cut(door, scene.palette.land * 0.8)
    _paint_smoke(scene, (x + w * 0.4, foot - h * 2.25))


def _paint_smoke(scene: Scene, at: Point) -> None:
    rng, unit = scene.chance("smoke"), scene.unit
    for i in range(26):
        t = i / 26
        x = (
            at[0]
            + unit * (0.03 * float(np.sin(t * 5)) + 0.1 * t**1.5)
            + rng.normal(0, 0.003) * unit
        )
        puff = (x, at[1] - unit * 0.24 * t)
        radius = unit * (0.006 + 0.026 * t)
        part = scene.canvas.stencil(
            puff[0] - radius * 2, puff[1] - radius * 2, puff[0] + radius * 2, puff[1] + radius * 2
        )
        part.ellipse(puff, radius, radius * 0.8)
        scene.canvas.paint(
            part.mask(radius * 0.5) * 0.2 * (1 - t),
            scene.palette.haze,
            top=part.top,
            left=part.left,
        )


def paint_windmill(scene: Scene) -> None:
    """A tower mill and its four sails."""
    canvas, unit = scene.canvas, scene.unit
    x = canvas.width * (0.68 if scene.lamp[0] < canvas.width / 2 else 0.32)
    foot = min(ground_at(scene, x), scene.horizon + unit * 0.25) + unit * 0.03
    head = (x, foot - unit * 0.3)
    shape = canvas.stencil(x - unit * 0.26, head[1] - unit * 0.26, x + unit * 0.26, foot + 2)
    shape.polygon(
        [
            (x - unit * 0.04, head[1]),
            (x + unit * 0.04, head[1]),
            (x + unit * 0.065, foot),
            (x - unit * 0.065, foot),
        ]
    )
    shape.curve(
        [
            (x - unit * 0.046, head[1] + 3),
            (x - unit * 0.03, head[1] - unit * 0.05),
            (x + unit * 0.03, head[1] - unit * 0.05),
            (x + unit * 0.046, head[1] + 3),
        ]
    )
    for quarter in range(4):
        angle = 0.4 + quarter * np.pi / 2
        along, side = (
            (float(np.cos(angle)), float(np.sin(angle))),
            (float(-np.sin(angle)), float(np.cos(angle))),
        )
        tip = (head[0] + along[0] * unit * 0.23, head[1] + along[1] * unit * 0.23)
        shape.line([head, tip], unit * 0.007)
        for rung in np.linspace(0.06, 0.225, 9):
            start = (head[0] + along[0] * unit * rung, head[1] + along[1] * unit * rung)
            shape.line(
                [start, (start[0] + side[0] * unit * 0.05, start[1] + side[1] * unit * 0.05)],
                unit * 0.0035,
            )
    backlit(scene, shape, mix(scene.palette.land, scene.palette.haze, 0.15))
    lit_window(scene, (x, foot - unit * 0.1), unit * 0.014, unit * 0.022, WINDOW)


def paint_bridge(scene: Scene) -> None:
    """A suspension bridge across the water."""
    canvas, unit = scene.canvas, scene.unit
    deck, foot = scene.horizon - unit * 0.03, scene.horizon + unit * 0.05
    shape = canvas.stencil(0, deck - unit * 0.32, canvas.width, foot)
    shape.box(0, deck, canvas.width, deck + unit * 0.014)
    towers = (canvas.width * 0.27, canvas.width * 0.73)
    top = deck - unit * 0.25
    for x in towers:
        for shift in (-0.018, 0.018):
            shape.box(x + (shift - 0.006) * unit, top, x + (shift + 0.006) * unit, foot)
        for beam in (0.02, 0.1, 0.18):
            shape.box(
                x - unit * 0.02, top + beam * unit, x + unit * 0.02, top + (beam + 0.012) * unit
            )
    span = towers[1] - towers[0]
    for x in np.arange(0, canvas.width, max(unit * 0.022, 3)):
        nearest = min(abs(x - towers[0]), abs(x - towers[1]))
        share = nearest / (span / 2)
        hang = top + (deck - top) * (1 - (1 - min(share, 1)) ** 2) * 0.94
        shape.line([(x, hang), (x, deck)], unit * 0.0014)
        shape.ellipse((x, hang), unit * 0.0035, unit * 0.0035)
    cable = [
        (float(x), _make_cable(float(x), towers, span, top, deck))
        for x in np.linspace(0, canvas.width, 120)
    ]
    shape.line(cable, unit * 0.006)
    backlit(scene, shape, mix(scene.palette.land, rgb("7a241c"), 0.45))


def _make_cable(
    x: float, towers: tuple[float, float], span: float, top: float, deck: float
) -> float:
    share = min(abs(x - towers[0]), abs(x - towers[1])) / (span / 2)
    return top + (deck - top) * (1 - (1 - min(share, 1)) ** 2) * 0.94


def paint_pyramids(scene: Scene) -> None:
    """Three pyramids, one side in the light."""
    canvas, unit = scene.canvas, scene.unit
    foot = scene.horizon + unit * 0.035
    lit_left = scene.lamp[0] < canvas.width / 2
    sand, dark = (
        mix(scene.palette.sky[-1], rgb("e0ab63"), 0.6),
        mix(scene.palette.land, scene.palette.haze, 0.3),
    )
    for share, size, near in ((0.22, 0.16, 0.5), (0.78, 0.2, 0.7), (0.5, 0.3, 1.0)):
        x, height = canvas.width * share, unit * size
        peak, ridge = (x, foot - height), x + height * (0.3 if lit_left else -0.3)
        for side, lit in (((x - height * 0.85), lit_left), ((x + height * 0.85), not lit_left)):
            face = canvas.stencil(x - height, peak[1], x + height, foot + 2)
            face.polygon([peak, (side, foot), (ridge, foot + unit * 0.012)])
            colour = mix(scene.palette.haze, sand if lit else dark, 0.45 + 0.5 * near)
            rows = scene.canvas.y[face.top : face.top + face.height]
            steps: Field = (0.94 + 0.06 * np.sin(rows * 60 / unit * 2 * np.pi)).astype(np.float32)
            canvas.paint(face.mask(), colour[:, None, None] * steps, top=face.top, left=face.left)


def paint_volcano(scene: Scene) -> None:
    """A cone with a glowing crater, lava running down and a column of ash."""
    canvas, unit, rng = scene.canvas, scene.unit, scene.chance("volcano")
    x, foot, height = canvas.width * 0.5, scene.horizon + unit * 0.3, unit * 0.62
    peak = foot - height
    u, v = canvas.x / unit, canvas.y[: int(foot)] / unit
    billow = sample(scene.dice.clouds, u * 0.9, v * 0.9 + 0.3)
    up = np.clip((peak - canvas.y[: int(foot)]) / unit, 0, None)
    plume = ramp(
        billow - np.abs(canvas.x - x) / unit / (0.09 + 0.75 * up) * 0.55, 0.0, 0.3
    ) * np.clip(up * 20, 0, 1)
    glow = np.exp(-up * 5)[None] * rgb("ff6a1f")[:, None, None]
    canvas.paint(plume * 0.92, rgb("1a1214")[:, None, None] * (0.6 + 0.9 * billow) + glow * billow)
    cone = canvas.stencil(x - unit * 0.62, peak - 4, x + unit * 0.62, foot + 2)
    slope = [
        (x + side * (0.05 + 0.55 * t**1.5) * unit, peak + height * t)
        for side, t in [(-1, t) for t in np.linspace(1, 0, 14)]
        + [(1, t) for t in np.linspace(0, 1, 14)]
    ]
    cone.polygon([(float(a), float(b)) for a, b in slope])
    canvas.cut(cone, mix(scene.palette.land, scene.palette.haze, 0.15))
    canvas.glow((x, peak), unit * 0.16, rgb("ff7a2a"), 0.85)
    lava = canvas.stencil(x - unit * 0.4, peak - 2, x + unit * 0.4, foot + 2)
    for start in (-0.03, 0.0, 0.032):
        points, at = [], x + start * unit
        for t in np.linspace(0, rng.uniform(0.55, 1.0), 24):
            at += unit * (start * 0.22 + rng.normal(0, 0.004))
            points.append((at, peak + height * float(t)))
        for i in range(23):
            lava.line(points[i : i + 2], unit * 0.012 * (1 - i / 30))
    canvas.shine(lava, rgb("ff4a10"), blur=unit * 0.014)
    canvas.cut(lava, rgb("ffc04a") * 1.2)
