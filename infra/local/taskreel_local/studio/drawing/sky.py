"""The sky: its gradient, sun or moon, stars, aurora, rainbow and clouds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from taskreel_local.studio.drawing.canvas import Canvas, Colour, Point, soften
from taskreel_local.studio.drawing.noise import Dice, Field, line, ramp, resize, sample, smooth
from taskreel_local.studio.drawing.palette import Palette, mix, rgb
from taskreel_local.studio.drawing.picture_plan import Plan

CLOUD_COVER = {
    "storm": 0.86,
    "noir": 0.6,
    "fog": 0.5,
    "snow": 0.62,
    "night": 0.34,
    "space": 0.0,
    "desert": 0.22,
    "neon": 0.4,
}
USUAL_COVER = 0.46
REDUCED = 2  # clouds are soft: half the points will do


@dataclass
class Scene:
    """The state that the painters of one picture share."""

    canvas: Canvas
    plan: Plan
    dice: Dice
    palette: Palette
    horizon: float  # its row
    lamp: Point  # where the sun or moon stands
    moonlit: bool
    ground: Field = field(
        default_factory=lambda: np.zeros(0, np.float32)
    )  # row of the nearest ground for each column

    def chance(self, part: str) -> np.random.Generator:
        """A part's own randomness."""
        return self.dice.of(part)

    def tint(self, thing: str, otherwise: Colour) -> Colour:
        """The colour that the prompt names for a thing, in this light; else the other."""
        named = self.plan.colours.get(thing)
        return (
            otherwise
            if named is None
            else mix(rgb(named), self.palette.land, 0.4 if self.palette.dark else 0.1)
        )

    @property
    def unit(self) -> int:
        """Pixels of the shorter side."""
        return self.canvas.unit


def paint_sky(scene: Scene) -> None:
    """All that is above the horizon and behind everything else."""
    _paint_gradient(scene)
    if scene.moonlit or scene.plan.mood in ("neon", "dusk", "dream"):
        _paint_stars(scene, 1.0 if scene.moonlit else 0.35)
    if scene.plan.has("aurora"):
        _paint_aurora(scene)
    if scene.plan.mood not in ("storm", "fog", "fire") or scene.plan.has("moon", "sun"):
        (_paint_moon if scene.moonlit else _paint_sun)(scene)
    _paint_clouds(scene)
    if scene.plan.has("rainbow"):
        _paint_rainbow(scene)


def _paint_gradient(scene: Scene) -> None:
    canvas, palette = scene.canvas, scene.palette
    height = canvas.y[:, 0] / scene.horizon
    canvas.rgb[:] = palette.sky_at(height**0.9)[:, :, None]
    x, y = scene.lamp
    wide = np.exp(-(((canvas.x - x) / (0.55 * canvas.width)) ** 2)) * np.exp(
        -(((canvas.y - y) / (0.32 * scene.unit)) ** 2)
    )
    strength = {"storm": 0.16, "fog": 0.25}.get(scene.plan.mood, 0.2 if palette.dark else 0.34)
    canvas.paint((wide * strength).astype(np.float32), mix(palette.sky[-1], palette.light, 0.55))


def _paint_sun(scene: Scene) -> None:
    canvas, light = scene.canvas, scene.palette.light
    radius = scene.unit * scene.chance("sun").uniform(0.035, 0.06)
    canvas.halo(scene.lamp, radius * 4.5, light, 0.55)
    canvas.halo(scene.lamp, radius * 1.6, light, 0.75)
    disc = canvas.stencil(*_distance_around(scene.lamp, radius))
    disc.ellipse(scene.lamp, radius, radius)
    canvas.cut(disc, light * 1.25)


def _paint_moon(scene: Scene) -> None:
    canvas, rng = scene.canvas, scene.chance("moon")
    radius = scene.unit * rng.uniform(0.045, 0.07)
    x, y = scene.lamp
    canvas.halo(scene.lamp, radius * 3.4, mix(scene.palette.sky[-1], scene.palette.light, 0.6), 0.6)
    disc = canvas.stencil(*_distance_around(scene.lamp, radius))
    disc.ellipse(scene.lamp, radius, radius)
    mask = disc.mask()
    u = (canvas.x[:, disc.left : disc.left + disc.width] - x) / radius
    v = (canvas.y[disc.top : disc.top + disc.height] - y) / radius
    seas = sample(scene.dice.clouds, u * 0.16 + 0.3, v * 0.16 + 0.6)
    face = (1.12 - 0.42 * ramp(seas, 0.42, 0.78)) * (1 - 0.18 * (u * u + v * v))
    canvas.paint(mask, scene.palette.light[:, None, None] * face, top=disc.top, left=disc.left)


def _distance_around(point: Point, radius: float) -> tuple[float, float, float, float]:
    reach = radius + 2
    return point[0] - reach, point[1] - reach, point[0] + reach, point[1] + reach


def _paint_stars(scene: Scene, share: float) -> None:
    canvas, rng = scene.canvas, scene.chance("stars")
    count = int(1100 * share * canvas.width * canvas.height / canvas.unit**2)
    x = rng.random(count) * canvas.width
    y = rng.random(count) ** 1.25 * scene.horizon
    power = rng.random(count) ** 5
    tint = np.stack(
        [0.86 + 0.14 * rng.random(count), np.full(count, 0.92), 0.88 + 0.12 * rng.random(count)]
    )
    fade = np.clip(1.25 - y / scene.horizon, 0, 1)
    columns, rows = x.astype(int), np.minimum(y.astype(int), canvas.height - 1)
    canvas.rgb[:, rows, columns] += (
        tint * (0.12 + 0.9 * power) * fade * min(1.0, canvas.unit / 400)
    ).astype(np.float32)
    for i in np.flatnonzero(power > 0.55)[:60]:
        canvas.glow(
            (x[i], y[i]),
            scene.unit * 0.0022 * (0.5 + power[i]),
            tint[:, i].astype(np.float32),
            0.8 * fade[i],
        )
    _milky_way(scene, share * 0.55)


def _milky_way(scene: Scene, strength: float) -> None:
    canvas, rng = scene.canvas, scene.chance("milky way")
    slope, offset = rng.uniform(-1.1, 1.1), rng.uniform(0.15, 0.55)
    u, v = canvas.x[:, ::REDUCED] / canvas.unit, canvas.y[::REDUCED] / canvas.unit
    across = (v - offset - slope * (u - 0.5 * canvas.width / canvas.unit)) / np.hypot(1, slope)
    clumps = sample(scene.dice.clouds, u * 0.5, v * 0.5)
    band = (
        np.exp(-((across / 0.13) ** 2))
        * (0.25 + clumps)
        * (1 - 0.75 * np.exp(-(((across + 0.1 * (clumps - 0.5)) / 0.025) ** 2)))
    )
    whole = resize((band * strength * 0.34).astype(np.float32), canvas.width, canvas.height)
    whole *= np.clip(1.1 - canvas.y / scene.horizon, 0, 1)
    canvas.light(np.clip(whole, 0, 1), mix(scene.palette.haze, scene.palette.light, 0.5))


def _paint_aurora(scene: Scene) -> None:
    canvas, rng = scene.canvas, scene.chance("aurora")
    for colour, reach in ((rgb("2dff9c"), 0.62), (rgb("3df0c8"), 0.4), (rgb("a24dff"), 0.55)):
        foot = scene.horizon * (0.72 + 0.2 * line(rng, canvas.width, cells=2.2, octaves=3))
        rays = 0.55 + 0.45 * line(rng, canvas.width, cells=60, octaves=3)
        above = (foot[None, :] - canvas.y) / (scene.horizon * reach)
        curtain = np.where(above > 0, np.exp(-above * 3.2) * smooth(above * 12), 0) * rays[None, :]
        canvas.light((curtain * 0.75).astype(np.float32), colour)


def _paint_rainbow(scene: Scene) -> None:
    canvas = scene.canvas
    centre, radius, width = (
        (canvas.width * 0.5, scene.horizon * 1.1),
        scene.unit * 0.62,
        scene.unit * 0.07,
    )
    place = (np.hypot(canvas.x - centre[0], canvas.y - centre[1]) - radius) / width
    hue = np.clip(place + 0.5, 0, 1)
    shape = np.exp(-((place / 0.42) ** 2)) * np.clip(
        (scene.horizon - canvas.y) / (0.2 * scene.unit), 0, 1
    )
    colours = np.stack([np.exp(-(((hue - at) / 0.2) ** 2)) for at in (0.9, 0.55, 0.2)]).astype(
        np.float32
    )
    canvas.light((shape * 0.42).astype(np.float32), colours)


def _paint_clouds(scene: Scene) -> None:
    """A cloud layer seen in perspective, its edges lit from the lamp's side."""
    cover = CLOUD_COVER.get(scene.plan.mood, USUAL_COVER) + scene.chance("cover").uniform(
        -0.08, 0.1
    )
    if scene.plan.place == "space" or cover <= 0:
        return
    layers = ((1.0, 0.0), (1.9, 0.37)) if scene.plan.mood == "storm" else ((1.0, 0.0),)
    for scale, shift in layers:
        _cloud_layer(scene, cover, scale, shift)


def _cloud_layer(scene: Scene, cover: float, scale: float, shift: float) -> None:
    canvas, storm = scene.canvas, scene.plan.mood == "storm"
    rows = min(int(scene.horizon) + 2, canvas.height)
    x = (canvas.x[:, ::REDUCED] - canvas.width / 2) / canvas.unit
    up = np.clip((scene.horizon - canvas.y[:rows:REDUCED]) / canvas.unit, 0, None)
    distance = 0.2 / (up + 0.13)
    u, v = x * distance * scale + shift, distance * 1.15 * scale + shift
    drift = sample(scene.dice.clouds, u * 0.35 + 0.5, v * 0.35) - 0.5
    u, v = u * 0.42 + drift * 0.13, v * 0.42 + drift * 0.09
    density = sample(scene.dice.clouds, u, v)
    toward = np.tanh(6 * (scene.lamp[0] / canvas.unit - (x + canvas.width / 2 / canvas.unit)))
    beyond = sample(scene.dice.clouds, u + 0.022 * toward, v + 0.03)
    low = 1 - cover
    mask = ramp(density, low - 0.06, low + (0.34 if storm else 0.3))
    lit = np.clip(
        0.5
        + (density - beyond) * 2.6
        - ramp(density, low + 0.2, low + 0.55) * (0.7 if storm else 0.4),
        0,
        1,
    )
    _lay_clouds(scene, mask * np.clip(up * 9, 0, 1), lit, rows)


def _lay_clouds(scene: Scene, mask: Field, lit: Field, rows: int) -> None:
    canvas, palette = scene.canvas, scene.palette
    x, y = scene.lamp
    near = np.exp(
        -np.hypot(canvas.x - x, (canvas.y[:rows] - y) * 1.4) / (0.5 * canvas.unit)
    ).astype(np.float32)
    lit, mask = resize(lit, canvas.width, rows), resize(mask, canvas.width, rows)
    dark, bright = _cloud_colours(palette, scene.plan.mood)
    glow = lit * (0.55 + 0.45 * near)
    colour = dark[:, None, None] + (bright - dark)[:, None, None] * np.clip(glow, 0, 1)
    opacity = {"night": 0.5, "neon": 0.55, "storm": 0.96}.get(scene.plan.mood, 0.82)
    canvas.paint(np.clip(mask, 0, 1) * opacity, colour)


def _cloud_colours(palette: Palette, mood: str) -> tuple[Colour, Colour]:
    if mood == "storm":
        return palette.sky[0] * 0.85, mix(palette.sky[-1], palette.light, 0.25)
    if palette.dark:
        return mix(palette.sky[1], palette.sky[0], 0.4), mix(palette.sky[-1], palette.light, 0.4)
    return mix(palette.sky[1], palette.haze, 0.45), mix(palette.sky[-1], palette.light, 0.75)


def veil(scene: Scene, strength: float, *, top: float, bottom: float) -> None:
    """Drifting mist between two rows."""
    canvas, rng = scene.canvas, scene.chance("veil")
    u, v = canvas.x[:, ::4] / canvas.unit, canvas.y[::4] / canvas.unit
    drift = sample(scene.dice.clouds, u * 0.22 + rng.random(), v * 0.9 + rng.random())
    band = ramp(canvas.y[::4], top, top + 0.3 * (bottom - top)) * (
        1 - ramp(canvas.y[::4], bottom - 0.3 * (bottom - top), bottom)
    )
    mask = resize(
        (ramp(drift, 0.25, 0.95) * band * strength).astype(np.float32), canvas.width, canvas.height
    )
    canvas.paint(np.clip(mask, 0, 1), scene.palette.haze)


def bloom(canvas: Canvas, strength: float) -> None:
    """Bright parts spill light around them."""
    bright = np.clip(canvas.rgb - 0.86, 0, 1)
    for channel in range(3):
        canvas.rgb[channel] += strength * soften(bright[channel], canvas.unit * 0.028)
