"""Outside the air: space with its nebulae and planets, and the world under water."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.canvas import Canvas, Point, Stencil
from taskreel_local.studio.drawing.noise import Field, line, ramp, resize, sample, smooth, spread
from taskreel_local.studio.drawing.palette import blend_stops, invented, mix, rgb
from taskreel_local.studio.drawing.sky import Scene


def paint_space(scene: Scene) -> None:
    """Stars and nebulae, with a planet where the prompt has one."""
    canvas = scene.canvas
    canvas.rgb[:] = scene.palette.sky[0][:, None, None]
    _paint_nebula(scene)
    _paint_starfield(scene)
    if scene.plan.has("planet", "rocket", "moon"):
        _paint_planets(scene)


def _paint_nebula(scene: Scene) -> None:
    canvas, rng, texture = scene.canvas, scene.chance("nebula"), scene.dice.clouds
    x, y = canvas.x[:, ::2] / canvas.unit, canvas.y[::2] / canvas.unit
    q = sample(texture, x * 0.33, y * 0.33)
    r = sample(texture, x * 0.33 + 0.22 * q + 0.4, y * 0.33 + 0.3 * q + 0.1)
    dust = sample(texture, x * 0.5 + 0.35 * r, y * 0.5 + 0.25 * q)
    slope = rng.uniform(-0.9, 0.9)
    across = (
        y - 0.5 * canvas.height / canvas.unit - slope * (x - 0.5 * canvas.width / canvas.unit)
    ) / np.hypot(1, slope)
    band = np.exp(-((across / 0.33) ** 2))
    glow = resize(
        np.clip((0.25 + 0.75 * band) * ramp(r, 0.25, 0.95), 0, 1).astype(np.float32),
        canvas.width,
        canvas.height,
    )
    lanes = resize(ramp(dust, 0.35, 0.85), canvas.width, canvas.height)
    stops = invented(rng)
    stops[0] = scene.palette.sky[0]
    hue = resize(spread(q + 0.6 * r), canvas.width, canvas.height)
    canvas.rgb[:] += blend_stops(stops, 0.3 + 0.45 * hue) * glow * (0.25 + 0.75 * lanes)
    core = resize(
        (band**3 * ramp(dust * r, 0.3, 0.75)).astype(np.float32), canvas.width, canvas.height
    )
    canvas.light(core * 0.5, mix(stops[3], rgb("ffffff"), 0.5))


def _paint_starfield(scene: Scene) -> None:
    canvas, rng = scene.canvas, scene.chance("stars")
    count = int(2600 * canvas.width * canvas.height / canvas.unit**2)
    x, y, power = (
        rng.random(count) * canvas.width,
        rng.random(count) * canvas.height,
        rng.random(count) ** 6,
    )
    warmth = rng.random(count)
    tint = np.stack([0.75 + 0.25 * warmth, np.full(count, 0.88), 1.0 - 0.3 * warmth]).astype(
        np.float32
    )
    canvas.rgb[:, y.astype(int), x.astype(int)] += (
        tint * (0.1 + 0.9 * power) * min(1.0, canvas.unit / 400)
    )
    for i in np.flatnonzero(power > 0.6)[:90]:
        size = scene.unit * 0.0028 * power[i]
        canvas.glow((x[i], y[i]), size * 3.5, tint[:, i], 0.25)
        canvas.glow((x[i], y[i]), size, tint[:, i], 1.1)


def _paint_planets(scene: Scene) -> None:
    rng, canvas = scene.chance("planet"), scene.canvas
    left = rng.random() < 0.5
    radius = scene.unit * rng.uniform(0.2, 0.3)
    centre = (canvas.width * (0.3 if left else 0.7), canvas.height * rng.uniform(0.4, 0.62))
    light = (-0.75 if left else 0.75, -0.45)
    rings = rng.random() < 0.6 or scene.plan.has("planet")
    tilt = rng.uniform(0.18, 0.32)
    if rings:
        _paint_ring(scene, centre, radius, tilt, back=True)
    _paint_planet(scene, centre, radius, light, invented(rng))
    if rings:
        _paint_ring(scene, centre, radius, tilt, back=False)
    moon = (canvas.width * (0.78 if left else 0.2), canvas.height * rng.uniform(0.16, 0.3))
    _paint_planet(
        scene, moon, radius * 0.22, light, np.stack([rgb("2a2a30"), rgb("8d8a88"), rgb("d9d5cc")])
    )


def _paint_planet(scene: Scene, centre: Point, radius: float, light: Point, stops: Field) -> None:
    canvas = scene.canvas
    canvas.glow(centre, radius * 0.62, mix(stops[-2], rgb("ffffff"), 0.3), 0.28)
    disc = canvas.stencil(
        centre[0] - radius - 2,
        centre[1] - radius - 2,
        centre[0] + radius + 2,
        centre[1] + radius + 2,
    )
    disc.ellipse(centre, radius, radius)
    u = (canvas.x[:, disc.left : disc.left + disc.width] - centre[0]) / radius
    v = (canvas.y[disc.top : disc.top + disc.height] - centre[1]) / radius
    depth = np.sqrt(np.clip(1 - u * u - v * v, 0, 1))
    swirl = sample(scene.dice.clouds, u * 0.14 + 0.3, v * 0.3 + 0.2)
    bands = sample(
        scene.dice.clouds, u * 0.03 + swirl * 0.12, v * 0.55 + swirl * 0.1 + u * u * 0.05
    )
    day = ramp(u * light[0] + v * light[1] + depth * 0.55, -0.12, 0.95)
    rim = np.clip(1 - depth, 0, 1) ** 3 * day
    colour = blend_stops(stops, 0.25 + 0.65 * bands) * (0.02 + 1.05 * day)
    colour += rim * mix(stops[-1], rgb("9fd0ff"), 0.5)[:, None, None] * 0.8
    canvas.paint(disc.mask(), colour, top=disc.top, left=disc.left)


def _paint_ring(scene: Scene, centre: Point, radius: float, tilt: float, *, back: bool) -> None:
    canvas = scene.canvas
    reach = radius * 2.25
    top, bottom = (
        (centre[1] - reach * tilt - 2, centre[1])
        if back
        else (centre[1], centre[1] + reach * tilt + 2)
    )
    part = canvas.stencil(centre[0] - reach, top, centre[0] + reach, bottom)
    u = (canvas.x[:, part.left : part.left + part.width] - centre[0]) / radius
    v = (canvas.y[part.top : part.top + part.height] - centre[1]) / (radius * tilt)
    away = np.hypot(u, v)
    grooves = sample(scene.dice.grain, away * 0.7, np.zeros_like(away))
    mask = ramp(away, 1.28, 1.34) * (1 - ramp(away, 2.1, 2.22)) * (0.25 + 0.75 * grooves)
    mask *= 1 - 0.85 * np.exp(-(((away - 1.78) / 0.035) ** 2))
    canvas.paint(
        np.clip(mask * 0.85, 0, 1).astype(np.float32), rgb("e9d8b8"), top=part.top, left=part.left
    )


def paint_underwater(scene: Scene) -> None:
    """Light from above, shafts, bubbles, a seabed with corals."""
    canvas, rng = scene.canvas, scene.chance("underwater")
    depth = canvas.y[:, 0] / canvas.height
    canvas.rgb[:] = scene.palette.sky_at(depth**0.75)[:, :, None]
    source = canvas.width * rng.uniform(0.3, 0.7)
    canvas.glow((source, 0), scene.unit * 0.42, scene.palette.light, 0.55)
    angle = np.arctan2(canvas.x - source, canvas.y + 0.35 * canvas.unit)
    rays = sample(scene.dice.clouds, angle * 0.9 + 0.2, np.zeros_like(angle) + 0.3)
    fine = sample(scene.dice.clouds, angle * 2.3, np.zeros_like(angle) + 0.7)
    shafts = ramp(rays * 0.65 + fine * 0.35, 0.45, 0.8) * np.exp(-canvas.y / (0.62 * canvas.height))
    canvas.light((shafts * 0.4).astype(np.float32), scene.palette.light)
    u, v = canvas.x / canvas.unit, canvas.y[: canvas.height // 5] / canvas.unit
    ripple = sample(scene.dice.clouds, u * 0.9, 0.25 / (v + 0.06))
    caustic = np.exp(-np.abs(ripple - 0.5) * 22) * np.exp(-v * 16)
    canvas.light((caustic * 0.8).astype(np.float32), scene.palette.light)
    _paint_seabed(scene)
    _paint_bubbles(canvas, scene.chance("bubbles"))


def _paint_seabed(scene: Scene) -> None:
    canvas, rng = scene.canvas, scene.chance("seabed")
    for near in (0.35, 0.65, 1.0):
        top = (
            canvas.height
            - canvas.unit * (0.2 - 0.13 * near)
            - canvas.unit * 0.05 * line(rng, canvas.width, cells=2, octaves=4)
        )
        colour = mix(scene.palette.haze, scene.palette.land, 0.35 + 0.6 * near)
        plants = canvas.stencil(
            0, float(top.min()) - canvas.unit * 0.35, canvas.width, canvas.height
        )
        for x in rng.random(int(12 * canvas.width / canvas.unit)) * canvas.width:
            _paint_plant(
                plants,
                (x, float(top[int(x)]) + canvas.unit * 0.02),
                canvas.unit * rng.uniform(0.06, 0.2) * (0.5 + near),
                rng,
            )
        edge = [(float(x), float(top[int(x)])) for x in np.linspace(0, canvas.width - 1, 80)]
        plants.polygon([(0, canvas.height), *edge, (canvas.width, canvas.height)])
        canvas.cut(plants, colour)
        if near == 1.0:
            _paint_corals(scene, top, rng)
    scene.ground = top.astype(np.float32)


def _paint_plant(stencil: Stencil, foot: Point, height: float, rng: np.random.Generator) -> None:
    sway, phase = rng.uniform(0.08, 0.2) * height, rng.random() * 6
    for shift in (-0.12, 0.0, 0.14):
        points = [
            (
                foot[0] + shift * height * t + sway * t * float(np.sin(phase + 4 * t + shift * 9)),
                foot[1] - height * t * (1 - abs(shift)),
            )
            for t in np.linspace(0, 1, 12)
        ]
        for i in range(11):
            stencil.line(points[i : i + 2], height * 0.045 * (1 - i / 12))


def _paint_corals(scene: Scene, top: Field, rng: np.random.Generator) -> None:
    canvas = scene.canvas
    for colour in ("ff6f6a", "ffb24d", "d45bd0", "ff8fb5"):
        x = rng.uniform(0.04, 0.96) * canvas.width
        foot = (x, float(top[int(x)]) + canvas.unit * 0.02)
        size = canvas.unit * rng.uniform(0.05, 0.1)
        part = canvas.stencil(
            x - size * 1.4, foot[1] - size * 1.6, x + size * 1.4, foot[1] + size * 0.2
        )
        _paint_branch(part, foot, -np.pi / 2, size * 0.5, rng, 5)
        canvas.cut(part, mix(rgb(colour), scene.palette.haze, 0.25))


def _paint_branch(
    part: Stencil, at: Point, angle: float, length: float, rng: np.random.Generator, depth: int
) -> None:
    end = (at[0] + length * float(np.cos(angle)), at[1] + length * float(np.sin(angle)))
    part.line([at, end], length * 0.3)
    if depth > 0:
        for turn in (-0.5, 0.45):
            _paint_branch(
                part,
                end,
                angle + turn * rng.uniform(0.5, 1.3),
                length * rng.uniform(0.66, 0.84),
                rng,
                depth - 1,
            )


def _paint_bubbles(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(26):
        x = canvas.width * rng.choice([0.18, 0.46, 0.8]) + rng.normal(0, 0.03) * canvas.unit
        at, r = (
            (float(x), canvas.height * rng.uniform(0.1, 0.9)),
            canvas.unit * rng.uniform(0.002, 0.008),
        )
        u = (canvas.x - at[0]) / r
        v = (canvas.y - at[1]) / r
        left, right = max(int(at[0] - r * 1.5), 0), int(at[0] + r * 1.5) + 1
        top, bottom = max(int(at[1] - r * 1.5), 0), int(at[1] + r * 1.5) + 1
        away = np.hypot(u[:, left:right], v[top:bottom])
        if away.size:
            ring = np.exp(-(((away - 0.9) / 0.16) ** 2)) * 0.5 + smooth(
                1 - np.hypot(u[:, left:right] + 0.35, v[top:bottom] + 0.35) * 3
            )
            canvas.light(np.clip(ring, 0, 1).astype(np.float32), rgb("dffcff"), top=top, left=left)
