"""Boats, balloons, rockets, trees, flowers, lanterns, and a bottle with a message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from taskreel_local.studio.drawing.canvas import Point, Stencil
from taskreel_local.studio.drawing.ground import LOWEST, ground_at
from taskreel_local.studio.drawing.noise import Field, ramp, smooth
from taskreel_local.studio.drawing.palette import invented, mix, rgb
from taskreel_local.studio.drawing.sky import Scene
from taskreel_local.studio.drawing.solid_shapes import backlit

BY_NAME = {
    "poppy": ("e0301e", "f04a2a", "c8201c"),
    "poppies": ("e0301e", "f04a2a", "c8201c"),
    "lavender": ("8a6be0", "a58af0", "6f52c4"),
    "sunflower": ("f7c52d", "f2a81d", "ffd75a"),
    "rose": ("d42a4a", "f08aa5", "b01838"),
    "daisy": ("fbf8ee", "f4f1ea", "fff3b8"),
    "daisies": ("fbf8ee", "f4f1ea", "fff3b8"),
    "tulip": ("e8413a", "f6c945", "d95fa8"),
    "bluebell": ("5a78e0", "7a90f0", "4a5fc8"),
}
FLOWERS = ("e8413a", "f6c945", "d978d8", "f4f1ea", "8a6be0", "ff8fa3")
ARC = np.linspace(0, np.pi, 12)


def paint_boat(scene: Scene) -> None:
    """A sailing boat on the water."""
    canvas, unit = scene.canvas, scene.unit
    crowded = scene.plan.has("lighthouse", "castle")
    x = canvas.width * (0.28 if crowded else 0.42)
    if scene.lamp[0] > canvas.width / 2 and crowded:
        x = canvas.width - x
    foot = scene.horizon + unit * (0.075 if crowded else 0.13)
    h = unit * (0.16 if crowded else 0.34)
    heel = 0.16 if scene.plan.mood == "storm" else 0.03

    def at(u: float, v: float) -> Point:
        return x + (u + v * heel) * h, foot - (v - u * heel) * h

    sails = canvas.stencil(x - h * 0.7, foot - h * 1.2, x + h * 0.8, foot + h * 0.2)
    sails.polygon(
        [
            at(0.03, 0.14),
            at(0.03, 1.0),
            *(
                at(0.03 + 0.4 * float(np.sin(t * np.pi / 2)) ** 1.1, 1.0 - 0.86 * t)
                for t in np.linspace(0.1, 1, 9)
            ),
        ]
    )
    sails.polygon(
        [
            at(-0.02, 0.14),
            at(-0.02, 0.92),
            *(at(-0.02 - 0.36 * t**0.8, 0.92 - 0.76 * t) for t in np.linspace(0.1, 1, 9)),
        ]
    )
    cloth = mix(
        mix(rgb("f3e7d2"), scene.palette.sky[-1], 0.35),
        scene.palette.land,
        0.35 if scene.palette.dark else 0.08,
    )
    backlit(scene, sails, cloth, rim=0.5)
    hull = canvas.stencil(x - h * 0.7, foot - h * 1.2, x + h * 0.8, foot + h * 0.2)
    hull.curve(
        [
            at(-0.46, 0.12),
            at(-0.46, 0.13),
            at(0.5, 0.15),
            at(0.5, 0.14),
            at(0.34, -0.03),
            at(-0.32, -0.03),
        ]
    )
    hull.line([at(0, 0.1), at(0, 1.06)], h * 0.016)
    backlit(scene, hull, scene.tint("boat", mix(scene.palette.land, rgb("4a1f18"), 0.4)), rim=0.6)
    _paint_wake(scene, (x, foot), h)


def _paint_wake(scene: Scene, at: Point, h: float) -> None:
    canvas = scene.canvas
    part = canvas.stencil(at[0] - h, at[1] - h * 0.1, at[0] + h, at[1] + h * 0.5)
    v = (canvas.y[part.top : part.top + part.height] - at[1]) / h
    u = (canvas.x[:, part.left : part.left + part.width] - at[0]) / h
    shadow = (
        np.exp(-((u / (0.42 - 0.3 * v)) ** 4))
        * ramp(v, -0.02, 0.03)
        * np.exp(-np.clip(v, 0, 1) * 6)
    )
    shadow *= 0.75 + 0.25 * np.sin(v * 90 + u * 5)
    canvas.paint(
        (shadow * 0.6).astype(np.float32), scene.palette.water * 0.6, top=part.top, left=part.left
    )


def paint_balloons(scene: Scene) -> None:
    """Hot-air balloons, near and far."""
    rng, canvas, unit = scene.chance("balloons"), scene.canvas, scene.unit
    for size in (0.035, 0.05, 0.075, 0.15):
        x = canvas.width * rng.uniform(0.14, 0.86)
        _paint_balloon(
            scene,
            (x, scene.horizon * rng.uniform(0.28, 0.72)),
            unit * size,
            min(1.0, size * 7),
            rng,
        )


def _paint_balloon(
    scene: Scene, at: Point, r: float, near: float, rng: np.random.Generator
) -> None:
    canvas, (x, y) = scene.canvas, at
    envelope = canvas.stencil(x - r * 1.1, y - r * 1.1, x + r * 1.1, y + r * 1.9)
    outline = [
        (x + r * float(np.sin(a)), y - r * float(np.cos(a))) for a in np.linspace(-2.2, 2.2, 40)
    ]
    envelope.polygon([*outline, (x + r * 0.16, y + r * 1.3), (x - r * 0.16, y + r * 1.3)])
    u = np.clip((canvas.x[:, envelope.left : envelope.left + envelope.width] - x) / r, -1, 1)
    v = (canvas.y[envelope.top : envelope.top + envelope.height] - y) / r
    width = np.sqrt(np.clip(1 - np.clip(v, -1, 0.8) ** 2 * 0.9, 0.06, 1))
    gore = np.arcsin(np.clip(u / width, -1, 1)) / np.pi * 10
    hues = invented(rng)
    stripes: Field = (np.floor(gore) % 2).astype(np.float32)
    named = scene.tint("balloon", hues[2])
    other = hues[3] if named is hues[2] else named * 0.8
    colour = named[:, None, None] * (1 - stripes) + other[:, None, None] * stripes
    side = np.sign(scene.lamp[0] - x) or 1.0
    shade = 0.55 + 0.55 * ramp(u / width * side, -0.9, 0.8)
    tones = colour * shade
    tones = scene.palette.haze[:, None, None] + (tones - scene.palette.haze[:, None, None]) * (
        0.45 + 0.55 * near
    )
    canvas.paint(envelope.mask(), tones, top=envelope.top, left=envelope.left)
    basket = canvas.stencil(x - r, y + r, x + r, y + r * 2)
    basket.box(x - r * 0.13, y + r * 1.52, x + r * 0.13, y + r * 1.72)
    for sign in (-1, 1):
        basket.line(
            [(x + sign * r * 0.15, y + r * 1.28), (x + sign * r * 0.11, y + r * 1.55)], r * 0.02
        )
    canvas.cut(basket, mix(rgb("5a3a20"), scene.palette.haze, 0.5 * (1 - near)))
    canvas.glow((x, y + r * 1.25), r * 0.12, rgb("ffb454"), 0.7 if scene.palette.dark else 0.35)


def paint_rocket(scene: Scene) -> None:
    """A rocket on its column of fire."""
    canvas, unit = scene.canvas, scene.unit
    x, y, h = canvas.width * 0.47, canvas.height * 0.36, unit * 0.36

    def at(u: float, v: float) -> Point:
        return x + u * h, y + v * h

    for spread, strength, fire in ((0.13, 0.8, "ff7a2a"), (0.07, 1.0, "ffd27a")):
        flame = canvas.stencil(x - h, y, x + h, canvas.height)
        flame.polygon(
            [
                at(-spread, 0.5),
                at(spread, 0.5),
                at(spread * 0.6, 1.2),
                at(0, 1.75),
                at(-spread * 0.6, 1.2),
            ]
        )
        canvas.shine(flame, rgb(fire) * strength, blur=unit * 0.018)
    canvas.glow(at(0, 0.62), unit * 0.1, rgb("ffb45a"), 0.8)
    body = canvas.stencil(x - h * 0.4, y - h * 0.7, x + h * 0.4, y + h * 0.7)
    body.curve(
        [
            at(0, -0.62),
            at(0.1, -0.4),
            at(0.145, -0.1),
            at(0.13, 0.25),
            at(0.1, 0.5),
            at(-0.1, 0.5),
            at(-0.13, 0.25),
            at(-0.145, -0.1),
            at(-0.1, -0.4),
        ]
    )
    u = (canvas.x[:, body.left : body.left + body.width] - x) / h
    v = (canvas.y[body.top : body.top + body.height] - y) / h
    nose = smooth((-0.28 - v) * 60)
    colour = rgb("e9ecef")[:, None, None] * (1 - nose) + rgb("d8442f")[:, None, None] * nose
    shade = 0.42 + 0.7 * ramp(u * (np.sign(scene.lamp[0] - x) or 1.0), -0.15, 0.13)
    canvas.paint(body.mask(), colour * shade, top=body.top, left=body.left)
    fins = canvas.stencil(x - h * 0.4, y, x + h * 0.4, y + h * 0.7)
    for side in (-1, 1):
        fins.curve(
            [
                at(side * 0.11, 0.18),
                at(side * 0.27, 0.42),
                at(side * 0.28, 0.62),
                at(side * 0.1, 0.48),
            ]
        )
    backlit(scene, fins, rgb("b03325") * 0.85, rim=0.4)
    window = canvas.stencil(x - h * 0.1, y - h * 0.25, x + h * 0.1, y)
    window.ellipse(at(0, -0.12), h * 0.06, h * 0.06)
    canvas.cut(window, rgb("3a4450"))
    pane = canvas.stencil(x - h * 0.1, y - h * 0.25, x + h * 0.1, y)
    pane.ellipse(at(0, -0.12), h * 0.045, h * 0.045)
    canvas.cut(pane, rgb("8fe0ff"))


def paint_tree(scene: Scene) -> None:
    """One great tree in its season."""
    canvas, unit, rng = scene.canvas, scene.unit, scene.chance("tree")
    x = canvas.width * (0.68 if scene.lamp[0] < canvas.width / 2 else 0.32)
    foot = min(ground_at(scene, x), scene.horizon + unit * 0.28) + unit * 0.03
    wood = canvas.stencil(x - unit * 0.4, foot - unit * 0.6, x + unit * 0.4, foot + unit * 0.03)
    trunk = Bough((x, foot + unit * 0.02), -np.pi / 2, unit * 0.15, unit * 0.042)
    tips = _grow_bough(wood, trunk, rng, 7)
    backlit(scene, wood, scene.palette.land * 0.7, rim=0.4)
    if scene.plan.mood == "snow":
        return
    leaf = rgb(
        {
            "autumn": "d9792b",
            "spring": "f4b6cf",
            "dream": "c58cf0",
            "sunset": "5a2f34",
            "night": "12241f",
        }.get(scene.plan.mood, "3f7d34")
    )
    leaf = scene.tint("tree", leaf)
    for depth, lift in ((0.0, 0.0), (0.45, -0.012), (0.85, -0.024)):
        crown = canvas.stencil(x - unit * 0.45, foot - unit * 0.72, x + unit * 0.45, foot)
        for tip in tips:
            if rng.random() < 1 - depth * 0.55:
                r = unit * rng.uniform(0.012, 0.03) * (1.15 - depth * 0.55)
                toward = np.sign(scene.lamp[0] - x) * depth * unit * 0.014
                crown.ellipse((tip[0] + toward, tip[1] + lift * unit), r * 1.2, r)
        shade = mix(mix(leaf, scene.palette.land, 0.5), mix(leaf, scene.palette.light, 0.35), depth)
        canvas.paint(crown.mask() * (0.92 - 0.25 * depth), shade, top=crown.top, left=crown.left)


@dataclass(frozen=True)
class Bough:
    """The start of a bough and its growth, in pixels and radians."""

    at: Point
    angle: float
    length: float
    thick: float


def _grow_bough(wood: Stencil, bough: Bough, rng: np.random.Generator, depth: int) -> list[Point]:
    """Draw a bough and all that grows from it; returns where leaves stand."""
    x, y = bough.at
    end = (
        x + bough.length * float(np.cos(bough.angle)),
        y + bough.length * float(np.sin(bough.angle)),
    )
    wood.line([bough.at, end], bough.thick)
    wood.ellipse(end, bough.thick / 2, bough.thick / 2)
    tips = [end] if depth <= 3 else []
    if depth > 0:
        for turn in (-0.42, 0.42):
            angle = bough.angle + turn * rng.uniform(0.5, 1.35) + 0.06 * float(np.cos(bough.angle))
            child = Bough(end, angle, bough.length * rng.uniform(0.7, 0.86), bough.thick * 0.68)
            tips += _grow_bough(wood, child, rng, depth - 1)
    return tips


def paint_flowers(scene: Scene) -> None:
    """Flowers towards the viewer, small and dense behind, large and few in front."""
    canvas, rng, unit = scene.canvas, scene.chance("flowers"), scene.unit
    start = min(
        float(scene.ground.min()) if scene.ground.size else scene.horizon, canvas.height * 0.8
    )
    named = [hues for word, hues in BY_NAME.items() if word in scene.plan.text]
    hues = [
        scene.tint("flowers", rgb(str(rng.choice(named[0] if named else FLOWERS))))
        for _ in range(3)
    ]
    for near in np.linspace(0, 1, 9):
        y = start + (canvas.height * 1.03 - start) * near**1.3
        count = int(260 * (1 - 0.84 * near) * canvas.width / unit)
        size = unit * (0.0035 + 0.019 * near**1.4)
        for hue in hues:
            bed = canvas.stencil(0, y - size * 9, canvas.width, y + size * 9)
            stems = canvas.stencil(0, y - size * 9, canvas.width, canvas.height)
            for x in rng.random(count // 3) * canvas.width:
                at = (float(x), float(y + rng.normal(0, 1.6) * size))
                stems.line([at, (at[0] + rng.normal(0, 0.6) * size, at[1] + size * 5)], size * 0.16)
                _paint_blossom(bed, at, size * rng.uniform(0.7, 1.15), rng)
            if near > 0.35:
                canvas.cut(stems, mix(scene.palette.land, rgb("2f5a24"), 0.5))
            lit = mix(hue, scene.palette.light, 0.12) * (0.5 if scene.palette.dark else 1.0)
            canvas.cut(bed, mix(mix(scene.palette.haze, hue, 0.75), lit, float(near)))


def _paint_blossom(bed: Stencil, at: Point, size: float, rng: np.random.Generator) -> None:
    if size < 3:  # pixels
        bed.ellipse(at, size, size * 0.8)
        return
    turn = rng.random() * 6
    for petal in range(5):
        angle = turn + petal * 2 * np.pi / 5
        bed.ellipse(
            (at[0] + size * 0.62 * float(np.cos(angle)), at[1] + size * 0.5 * float(np.sin(angle))),
            size * 0.5,
            size * 0.42,
        )
    bed.ellipse(at, size * 0.24, size * 0.2, 0.35)


def paint_lantern(scene: Scene) -> None:
    """A lantern that burns on the ground."""
    canvas, unit = scene.canvas, scene.unit
    x = canvas.width * (0.52 if scene.lamp[0] < canvas.width / 2 else 0.48)
    foot, h = min(ground_at(scene, x) + unit * 0.12, canvas.height * LOWEST), unit * 0.13
    frame = canvas.stencil(x - h, foot - h * 1.6, x + h, foot + 2)
    frame.box(x - h * 0.3, foot - h * 0.12, x + h * 0.3, foot)
    frame.polygon(
        [
            (x + u * h, foot - v * h)
            for u, v in ((-0.32, 0.82), (0.32, 0.82), (0.1, 1.05), (-0.1, 1.05))
        ]
    )
    for u in (-0.25, 0.0, 0.25):
        frame.line([(x + u * h, foot - h * 0.1), (x + u * h, foot - h * 0.85)], h * 0.035)
    frame.line(
        [
            (x + h * 0.2 * float(np.cos(a)), foot - h * (1.05 + 0.24 * float(np.sin(a))))
            for a in ARC
        ],
        h * 0.03,
    )
    glass = canvas.stencil(x - h, foot - h * 1.6, x + h, foot + 2)
    glass.box(x - h * 0.25, foot - h * 0.82, x + h * 0.25, foot - h * 0.12)
    canvas.glow((x, foot - h * 0.45), unit * 0.2, rgb("ffb54a"), 0.45)
    canvas.cut(glass, scene.tint("lantern", rgb("ffcf70")) * 1.1)
    canvas.glow((x, foot - h * 0.42), h * 0.22, rgb("fff6d8"), 1.2)
    backlit(scene, frame, mix(scene.palette.land, rgb("1a1410"), 0.7), rim=0.3)


def paint_bottle(scene: Scene) -> None:
    """A bottle on the shore with a rolled letter in it."""
    canvas, unit = scene.canvas, scene.unit
    share = 0.68 if scene.lamp[0] < canvas.width / 2 else 0.32
    x, y, h = canvas.width * share, canvas.height * 0.93, unit * 0.22
    turn = -0.28

    def at(u: float, v: float) -> Point:
        return x + (u * float(np.cos(turn)) - v * float(np.sin(turn))) * h, y + (
            u * float(np.sin(turn)) + v * float(np.cos(turn))
        ) * h

    glass = canvas.stencil(x - h, y - h * 0.6, x + h, y + h * 0.6)
    glass.curve(
        [
            at(-0.5, -0.12),
            at(-0.52, 0.0),
            at(-0.5, 0.12),
            at(0.0, 0.13),
            at(0.14, 0.1),
            at(0.22, 0.045),
            at(0.46, 0.042),
            at(0.46, -0.042),
            at(0.22, -0.045),
            at(0.14, -0.1),
            at(0.0, -0.13),
        ]
    )
    shadow = glass.mask(unit * 0.012) * 0.5
    canvas.paint(
        shadow, scene.palette.land * 0.6, top=glass.top + round(unit * 0.012), left=glass.left
    ) if glass.top + glass.height + round(unit * 0.012) < canvas.height else None
    letter = canvas.stencil(x - h, y - h * 0.6, x + h, y + h * 0.6)
    letter.polygon([at(-0.4, -0.05), at(0.04, -0.06), at(0.04, 0.05), at(-0.4, 0.06)])
    canvas.paint(
        glass.mask() * 0.5,
        mix(rgb("6fae94"), scene.palette.haze, 0.3),
        top=glass.top,
        left=glass.left,
    )
    canvas.cut(letter, mix(rgb("f2e3bd"), scene.palette.haze, 0.1))
    for v in (-0.085, 0.075):
        streak = canvas.stencil(x - h, y - h * 0.6, x + h, y + h * 0.6)
        streak.line([at(-0.42, v), at(0.05, v)], h * 0.014)
        canvas.paint(
            streak.mask(unit * 0.001) * 0.8, rgb("ffffff"), top=streak.top, left=streak.left
        )
    cork = canvas.stencil(x - h, y - h * 0.6, x + h, y + h * 0.6)
    cork.polygon([at(0.42, -0.034), at(0.54, -0.034), at(0.54, 0.034), at(0.42, 0.034)])
    canvas.cut(cork, rgb("a9764a") * (0.6 if scene.palette.dark else 1.0))
