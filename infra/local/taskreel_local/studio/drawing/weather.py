"""Weather in front of a scene: rain, snow, mist, sparks and lightning."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.canvas import Point
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene, veil


def paint_weather(scene: Scene) -> None:
    """Lay the plan's weather over the picture."""
    plan = scene.plan
    if plan.has("rain"):
        _paint_rain(scene)
    if plan.has("snowfall"):
        _paint_snow(scene)
    if plan.mood == "fog":
        veil(scene, 0.8, top=scene.horizon - scene.unit * 0.2, bottom=scene.canvas.height * 1.1)
    if plan.has("fireflies"):
        _paint_sparks(scene, "fireflies", "ffe98a", low=0.45)
    if plan.has("embers"):
        _paint_sparks(scene, "embers", "ff8a3a", low=0.1)


def paint_lightning(scene: Scene) -> None:
    """A branching bolt from the clouds, and the clouds lit by it."""
    rng = scene.chance("lightning")
    away = (
        0.76 if scene.lamp[0] > scene.canvas.width / 2 else 0.24
    )  # of what stands on the other side
    start = (
        scene.canvas.width * (away + rng.uniform(-0.08, 0.08)),
        scene.horizon * rng.uniform(0.02, 0.12),
    )
    end = (
        start[0] + scene.unit * rng.uniform(-0.16, 0.16),
        scene.horizon * rng.uniform(0.86, 0.98),
    )
    white = rgb("e8eeff")
    scene.canvas.glow(start, scene.unit * 0.26, rgb("9fb4ff"), 0.5)
    scene.canvas.glow(
        ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2), scene.unit * 0.3, rgb("7d93e8"), 0.16
    )
    reach = scene.unit * 0.35
    bolt = scene.canvas.stencil(
        min(start[0], end[0]) - reach, 0, max(start[0], end[0]) + reach, scene.horizon
    )
    path = _make_jagged(start, end, rng, scene.unit * 0.06)
    bolt.line(path, scene.unit * 0.0042)
    for at in rng.integers(len(path) // 5, len(path) - 2, 5):
        x, y = path[at]
        tip = (x + scene.unit * rng.uniform(-0.16, 0.16), y + scene.unit * rng.uniform(0.05, 0.16))
        bolt.line(_make_jagged((x, y), tip, rng, scene.unit * 0.025), scene.unit * 0.0018, 0.75)
    scene.canvas.shine(bolt, rgb("8fa6ff") * 1.3, blur=scene.unit * 0.014)
    scene.canvas.cut(bolt, white * 1.5)


def _make_jagged(start: Point, end: Point, rng: np.random.Generator, swing: float) -> list[Point]:
    """Midpoint displacement between two points."""
    points = np.array([start, end])
    for _ in range(6):
        middle = (points[:-1] + points[1:]) / 2
        middle += rng.normal(0, swing, middle.shape) * (1, 0.35)
        merged = np.empty((len(points) + len(middle), 2))
        merged[0::2], merged[1::2] = points, middle
        points, swing = merged, swing * 0.52
    return [(float(x), float(y)) for x, y in points]


def _paint_rain(scene: Scene) -> None:
    canvas, rng = scene.canvas, scene.chance("rain")
    slant = rng.uniform(0.14, 0.3) * rng.choice([-1, 1])
    for count, length, thickness, strength in (
        (900, 0.035, 0.0009, 0.2),
        (260, 0.075, 0.0016, 0.22),
    ):
        stencil = canvas.whole()
        amount = int(count * canvas.width * canvas.height / canvas.unit**2)
        for x, y, size in zip(
            rng.random(amount), rng.random(amount), rng.uniform(0.6, 1.4, amount), strict=True
        ):
            x0, y0, reach = x * canvas.width, y * canvas.height, length * size * canvas.unit
            stencil.line(
                [(x0, y0), (x0 - slant * reach, y0 + reach)],
                thickness * canvas.unit,
                0.35 + 0.5 * size / 1.4,
            )
        canvas.light(stencil.mask() * strength, mix(scene.palette.haze, scene.palette.light, 0.6))


def _paint_snow(scene: Scene) -> None:
    canvas, rng = scene.canvas, scene.chance("snow")
    for count, size, blur, strength in (
        (700, 0.0016, 0.0, 0.7),
        (170, 0.0038, 0.0015, 0.75),
        (34, 0.0095, 0.006, 0.6),
    ):
        stencil = canvas.whole()
        amount = int(count * canvas.width * canvas.height / canvas.unit**2)
        for x, y, r in zip(
            rng.random(amount), rng.random(amount), rng.uniform(0.5, 1.3, amount), strict=True
        ):
            radius = max(size * r * canvas.unit, 0.5)
            stencil.ellipse((x * canvas.width, y * canvas.height), radius, radius)
        canvas.paint(
            stencil.mask(blur * canvas.unit) * strength,
            rgb("ffffff") * (0.8 if scene.palette.dark else 1.0),
        )


def _paint_sparks(scene: Scene, part: str, colour: str, *, low: float) -> None:
    canvas, rng = scene.canvas, scene.chance(part)
    for _ in range(70):
        at = (rng.random() * canvas.width, canvas.height * (low + (1 - low) * rng.random() ** 0.8))
        size = canvas.unit * 0.0022 * rng.uniform(0.5, 1.8)
        canvas.glow(at, size * 4, rgb(colour), 0.28)
        canvas.glow(at, size, rgb(colour) * 1.3, 0.95)
