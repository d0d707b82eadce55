"""People and animals, drawn from their outlines."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.canvas import Colour, Point, Stencil
from taskreel_local.studio.drawing.ground import choose_place
from taskreel_local.studio.drawing.landmarks import LAMP
from taskreel_local.studio.drawing.noise import ramp, sample
from taskreel_local.studio.drawing.palette import invented, mix, rgb
from taskreel_local.studio.drawing.picture_plan import COLOUR_WORDS
from taskreel_local.studio.drawing.sky import Scene
from taskreel_local.studio.drawing.solid_shapes import backlit


def paint_figure(scene: Scene) -> None:
    """Somebody seen from behind, cloak moving, a lantern in hand."""
    unit = scene.unit
    x, foot = choose_place(scene, 0.36)
    height = unit * 0.26
    shape = scene.canvas.stencil(x - height * 0.5, foot - height * 1.15, x + height * 0.5, foot + 2)
    _paint_person(shape, x, foot, height)
    backlit(scene, shape, scene.tint("figure", scene.palette.land * 0.75), rim=0.85)
    if scene.palette.dark or scene.plan.mood in ("dusk", "fog", "storm"):
        lantern = (x + height * 0.3, foot - height * 0.4)
        scene.canvas.glow(lantern, unit * 0.09, rgb("ffb54a"), 0.5)
        scene.canvas.glow(lantern, unit * 0.011, LAMP, 1.2)


def _paint_person(shape: Stencil, x: float, foot: float, h: float) -> None:
    def at(u: float, v: float) -> Point:
        return x + u * h, foot - v * h

    shape.ellipse(at(0, 0.905), h * 0.062, h * 0.078)
    shape.curve(
        [
            at(-0.05, 0.84),
            at(0.05, 0.84),
            at(0.15, 0.76),
            at(0.16, 0.5),
            at(0.2, 0.2),
            at(0.06, 0.17),
            at(-0.06, 0.17),
            at(-0.24, 0.22),
            at(-0.17, 0.5),
            at(-0.15, 0.76),
        ]
    )
    shape.curve(
        [
            at(0.1, 0.74),
            at(0.17, 0.72),
            at(0.27, 0.5),
            at(0.32, 0.44),
            at(0.28, 0.42),
            at(0.2, 0.5),
            at(0.1, 0.6),
        ]
    )
    for side in (-1, 1):
        shape.curve(
            [
                at(side * 0.015, 0.3),
                at(side * 0.105, 0.3),
                at(side * 0.085, 0.02),
                at(side * 0.12, 0.0),
                at(side * 0.03, 0.0),
            ]
        )
    shape.curve([at(-0.1, 0.965), at(0.1, 0.965), at(0.075, 0.925), at(-0.075, 0.925)])
    shape.curve([at(-0.058, 0.95), at(-0.05, 1.03), at(0.05, 1.03), at(0.058, 0.95)])
    shape.line([at(0.3, 0.44), at(0.3, 0.41)], h * 0.012)


def paint_cat(scene: Scene) -> None:
    """A cat that sits and looks at you."""
    x, foot = choose_place(scene, 0.36, 0.1)
    h = scene.unit * 0.3

    def at(u: float, v: float) -> Point:
        return x + u * h, foot - v * h

    shape = scene.canvas.stencil(x - h * 0.6, foot - h * 1.1, x + h * 0.75, foot + h * 0.08)
    shape.curve(
        [
            at(-0.1, 0.68),
            at(0.1, 0.68),
            at(0.2, 0.45),
            at(0.3, 0.18),
            at(0.27, 0.0),
            at(0, -0.02),
            at(-0.27, 0.0),
            at(-0.3, 0.18),
            at(-0.2, 0.45),
        ]
    )
    shape.ellipse(at(0, 0.76), h * 0.18, h * 0.155)
    for side in (-1, 1):
        shape.polygon([at(side * 0.175, 0.78), at(side * 0.175, 1.0), at(side * 0.04, 0.89)])
        shape.ellipse(at(side * 0.1, 0.01), h * 0.085, h * 0.035)
    tail = [
        at(0.24 + 0.26 * float(np.sin(t * 2.4)), 0.05 + 0.42 * t) for t in np.linspace(0, 1, 16)
    ]
    for i in range(15):
        shape.line(tail[i : i + 2], h * 0.075 * (1 - i / 40))
        shape.ellipse(tail[i], h * 0.037 * (1 - i / 40), h * 0.037 * (1 - i / 40))
    fur = mix(scene.palette.land, rgb("2a1a14"), 0.4) * 0.8
    backlit(scene, shape, scene.tint("cat", fur), rim=0.9)
    _paint_eyes(scene, [at(-0.075, 0.775), at(0.075, 0.775)], h * 0.038, "b8ff5a")


def _paint_eyes(scene: Scene, eyes: list[Point], size: float, colour: str) -> None:
    for eye in eyes:
        iris = scene.canvas.stencil(
            eye[0] - size * 2, eye[1] - size * 2, eye[0] + size * 2, eye[1] + size * 2
        )
        iris.ellipse(eye, size, size * 0.8)
        scene.canvas.cut(iris, rgb(colour) * 1.1)
        pupil = scene.canvas.stencil(eye[0] - size, eye[1] - size, eye[0] + size, eye[1] + size)
        pupil.ellipse(eye, size * 0.26, size * 0.7)
        scene.canvas.cut(pupil, rgb("080808"))
        scene.canvas.glow(eye, size * 1.6, rgb(colour), 0.25)


def paint_fox(scene: Scene) -> None:
    """Paint a listening fox: rust-red, with white throat and tail tip, and dark legs."""
    x, foot = choose_place(scene, 0.36, 0.08)
    h = scene.unit * 0.27
    facing = 1 if x < scene.canvas.width / 2 else -1
    rust = mix(rgb("c4581f"), scene.palette.land, 0.4 if scene.palette.dark else 0.1)
    fur = rust if scene.plan.colours.get("fox") == COLOUR_WORDS["red"] else scene.tint("fox", rust)
    white, dark = mix(rgb("f2e8da"), fur, 0.15), mix(fur, rgb("120c0a"), 0.78)

    def part(colour: Colour, *outlines: list[Point], rim: float = 0.0) -> None:
        shape = scene.canvas.stencil(x - h * 1.3, foot - h * 1.1, x + h * 1.1, foot + h * 0.05)
        for outline in outlines:
            shape.curve([(x + facing * u * h, foot - v * h) for u, v in outline])
        backlit(scene, shape, colour, rim=rim)

    def leg(u: float, lean: float) -> list[Point]:
        return [
            (u - 0.06, 0.36),
            (u + 0.06, 0.36),
            (u + lean + 0.035, 0.02),
            (u + lean + 0.08, 0),
            (u + lean - 0.03, 0),
        ]

    part(dark, leg(0.3, 0.03), leg(-0.28, 0.04))
    part(
        fur,
        [
            (-0.36, 0.5),
            (-0.6, 0.5),
            (-0.95, 0.3),
            (-1.12, 0.2),
            (-0.95, 0.13),
            (-0.66, 0.22),
            (-0.36, 0.4),
        ],
        rim=0.6,
    )
    part(white, [(-0.93, 0.3), (-1.2, 0.2), (-0.93, 0.13), (-0.98, 0.21)])
    body = [
        (-0.42, 0.52),
        (-0.1, 0.56),
        (0.2, 0.6),
        (0.36, 0.58),
        (0.4, 0.44),
        (0.28, 0.3),
        (0, 0.32),
        (-0.34, 0.3),
    ]
    part(
        fur,
        body,
        [(0.18, 0.5), (0.24, 0.66), (0.4, 0.78), (0.52, 0.66), (0.42, 0.5), (0.34, 0.4)],
        rim=0.7,
    )
    part(dark, leg(0.2, -0.02), leg(-0.36, -0.03), rim=0.3)
    part(fur, [(-0.46, 0.44), (-0.3, 0.5), (-0.22, 0.34), (-0.32, 0.2), (-0.42, 0.24)])
    part(white, [(0.3, 0.44), (0.38, 0.62), (0.46, 0.64), (0.44, 0.52), (0.37, 0.36)])
    for back, tip in ((0.34, 0.36), (0.45, 0.49)):
        part(
            dark,
            [(back - 0.05, 0.8), (tip - 0.02, 1.03), (tip + 0.02, 1.03), (back + 0.1, 0.82)],
            rim=0.5,
        )
    head = [
        (0.28, 0.74),
        (0.34, 0.86),
        (0.46, 0.88),
        (0.56, 0.8),
        (0.74, 0.7),
        (0.76, 0.66),
        (0.66, 0.63),
        (0.44, 0.6),
    ]
    part(fur, head, rim=0.7)
    part(white, [(0.38, 0.64), (0.52, 0.72), (0.7, 0.69), (0.72, 0.655), (0.64, 0.63), (0.46, 0.6)])
    part(
        rgb("0a0808"),
        *[_make_dot(u, v, r) for u, v, r in ((0.755, 0.685, 0.024), (0.535, 0.765, 0.018))],
    )


def _make_dot(u: float, v: float, radius: float) -> list[Point]:
    return [
        (u + radius * float(np.cos(turn)), v + radius * float(np.sin(turn)))
        for turn in np.linspace(0, 2 * np.pi, 12)
    ]


def paint_wolf(scene: Scene) -> None:
    """A wolf howling on its rise."""
    x, foot = choose_place(scene, 0.38, 0.05)
    h = scene.unit * 0.27

    def at(u: float, v: float) -> Point:
        return x + u * h, foot - v * h

    shape = scene.canvas.stencil(x - h * 0.8, foot - h * 1.2, x + h * 0.7, foot + h * 0.05)
    shape.curve(
        [
            at(-0.42, 0.56),
            at(-0.1, 0.6),
            at(0.12, 0.72),
            at(0.24, 0.62),
            at(0.2, 0.36),
            at(-0.05, 0.3),
            at(-0.3, 0.32),
            at(-0.46, 0.4),
        ]
    )
    shape.curve([at(0.02, 0.66), at(0.16, 0.88), at(0.28, 0.9), at(0.27, 0.66), at(0.2, 0.5)])
    shape.polygon(
        [
            at(0.15, 0.86),
            at(0.24, 1.0),
            at(0.37, 1.17),
            at(0.41, 1.14),
            at(0.33, 0.98),
            at(0.36, 0.96),
            at(0.3, 0.84),
        ]
    )
    shape.polygon([at(0.17, 0.86), at(0.06, 0.97), at(0.2, 0.95)])
    for u, lean in ((0.16, 0.03), (0.07, -0.02), (-0.3, -0.06), (-0.38, 0.02)):
        shape.curve(
            [
                at(u - 0.06, 0.42),
                at(u + 0.06, 0.42),
                at(u + lean + 0.035, 0.02),
                at(u + lean + 0.07, 0.0),
                at(u + lean - 0.03, 0.0),
            ]
        )
    shape.curve(
        [
            at(-0.4, 0.54),
            at(-0.52, 0.5),
            at(-0.64, 0.26),
            at(-0.6, 0.2),
            at(-0.5, 0.32),
            at(-0.4, 0.4),
        ]
    )
    backlit(scene, shape, scene.tint("wolf", scene.palette.land * 0.7), rim=0.85)


def paint_whale(scene: Scene) -> None:
    """A whale's back and fluke, or the whole animal under water."""
    x, y = scene.canvas.width * 0.46, scene.canvas.height * 0.42
    h = scene.unit * 0.5
    if scene.plan.place != "underwater":  # only what rises over the water
        y, h = scene.horizon + scene.unit * 0.14, scene.unit * 0.46

    def at(u: float, v: float) -> Point:
        return x + u * h, y - v * h

    swimming = scene.plan.place == "underwater"
    shape = scene.canvas.stencil(x - h, y - h, x + h, y + (h if swimming else -0.03 * h))
    shape.curve(
        [
            at(-0.62, 0.02),
            at(-0.5, 0.17),
            at(-0.15, 0.22),
            at(0.3, 0.1),
            at(0.58, 0.05),
            at(0.62, 0.0),
            at(0.3, -0.03),
            at(-0.1, -0.14),
            at(-0.45, -0.13),
        ]
    )
    shape.curve(
        [
            at(0.5, 0.06),
            at(0.7, 0.24),
            at(0.86, 0.28),
            at(0.72, 0.08),
            at(0.82, -0.06),
            at(0.66, -0.04),
            at(0.54, 0.0),
        ]
    )
    shape.curve([at(-0.2, -0.08), at(-0.1, -0.32), at(0.02, -0.36), at(-0.03, -0.14)])
    colour = mix(mix(scene.palette.land, scene.palette.haze, 0.35), rgb("28405a"), 0.4)
    backlit(scene, shape, scene.tint("whale", colour), rim=0.5)


def paint_fish(scene: Scene) -> None:
    """A shoal of bright fish."""
    rng, unit = scene.chance("fish"), scene.unit
    hues = invented(rng)
    for _ in range(24):
        x, y = (
            scene.canvas.width * rng.uniform(0.05, 0.95),
            scene.canvas.height * rng.normal(0.5, 0.14),
        )
        h, turn = unit * rng.uniform(0.018, 0.05), -1 if rng.random() < 0.25 else 1
        shape = scene.canvas.stencil(x - h * 1.8, y - h, x + h * 1.8, y + h)
        shape.curve(
            [
                (x + turn * u * h, y + v * h)
                for u, v in (
                    (1, 0),
                    (0.4, -0.42),
                    (-0.5, -0.26),
                    (-0.95, 0),
                    (-0.5, 0.26),
                    (0.4, 0.42),
                )
            ]
        )
        shape.polygon(
            [
                (x + turn * u * h, y + v * h)
                for u, v in ((-0.7, 0), (-1.45, -0.5), (-1.2, 0), (-1.45, 0.5))
            ]
        )
        colour = mix(
            scene.tint("fish", hues[int(rng.integers(2, 5))]),
            scene.palette.haze,
            float(rng.uniform(0.05, 0.5)),
        )
        backlit(scene, shape, colour, rim=0.5)


def paint_robot(scene: Scene) -> None:
    """A friendly robot with glowing eyes."""
    x, foot = choose_place(scene, 0.38, 0.12)
    h = scene.unit * 0.42

    def box(shape: Stencil, u0: float, v0: float, u1: float, v1: float) -> None:
        shape.curve(
            [
                (x + u * h, foot - v * h)
                for u, v in ((u0, v0), (u0, v1), (u1, v1), (u1, v0))
                for _ in range(3)
            ]
        )

    body = scene.canvas.stencil(x - h * 0.5, foot - h * 1.15, x + h * 0.5, foot + 2)
    for part in (
        (-0.17, 0.74, 0.17, 1.0),
        (-0.2, 0.34, 0.2, 0.71),
        (-0.15, 0.0, -0.04, 0.36),
        (0.04, 0.0, 0.15, 0.36),
        (-0.31, 0.36, -0.22, 0.68),
        (0.22, 0.36, 0.31, 0.68),
    ):
        box(body, *part)
    body.line([(x, foot - h * 1.0), (x, foot - h * 1.09)], h * 0.012)
    body.ellipse((x, foot - h * 1.1), h * 0.022, h * 0.022)
    body.box(x - h * 0.05, foot - h * 0.76, x + h * 0.05, foot - h * 0.68)
    u = (scene.canvas.x[:, body.left : body.left + body.width] - x) / h
    v = scene.canvas.y[body.top : body.top + body.height] / h
    metal = mix(
        scene.tint("robot", rgb("8d9aa8")), scene.palette.land, 0.55 if scene.palette.dark else 0.2
    )
    sheen = (
        0.7
        + 0.5 * ramp(u * np.sign(scene.lamp[0] - x), -0.3, 0.3)
        + 0.1 * sample(scene.dice.grain, u, v)
    )
    scene.canvas.paint(body.mask(), metal[:, None, None] * sheen, top=body.top, left=body.left)
    eye = rgb("6ff6ff")
    for side in (-0.075, 0.075):
        at = (x + side * h, foot - h * 0.88)
        scene.canvas.glow(at, h * 0.028, eye, 1.3)
        scene.canvas.glow(at, h * 0.09, eye, 0.3)
    scene.canvas.glow((x, foot - h * 0.55), h * 0.04, rgb("ff9a4a"), 0.9)


def paint_birds(scene: Scene) -> None:
    """A loose flock against the sky."""
    rng, canvas, unit = scene.chance("birds"), scene.canvas, scene.unit
    centre = (canvas.width * rng.uniform(0.3, 0.7), scene.horizon * rng.uniform(0.3, 0.6))
    flock = canvas.stencil(0, 0, canvas.width, scene.horizon)
    for _ in range(13):
        x, y = centre[0] + rng.normal(0, 0.16) * unit, centre[1] + rng.normal(0, 0.07) * unit
        size, lift = unit * rng.uniform(0.012, 0.03), rng.uniform(0.2, 0.6)
        for side in (-1, 1):
            wing = [
                (x, y),
                (x + side * size * 0.45, y - size * lift),
                (x + side * size, y - size * lift * 0.45),
                (x + side * size * 0.5, y - size * lift * 0.55),
            ]
            flock.polygon(wing)
        flock.ellipse((x, y), size * 0.16, size * 0.09)
    canvas.cut(flock, scene.tint("birds", mix(scene.palette.land, scene.palette.haze, 0.12)))
