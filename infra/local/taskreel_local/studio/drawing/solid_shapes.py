"""Solid shapes in the light of their scene: columns, windows, rocks."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.canvas import Colour, Point, Stencil
from taskreel_local.studio.drawing.noise import Field, line, ramp, sample
from taskreel_local.studio.drawing.palette import mix
from taskreel_local.studio.drawing.sky import Scene


def backlit(scene: Scene, stencil: Stencil, colour: Colour, *, rim: float = 0.6) -> None:
    """Paint a shape dark, with a bright edge towards the lamp."""
    mask = stencil.mask()
    scene.canvas.paint(mask, colour, top=stencil.top, left=stencil.left)
    middle = (stencil.left + stencil.width / 2, stencil.top + stencil.height / 2)
    away = max(float(np.hypot(scene.lamp[0] - middle[0], scene.lamp[1] - middle[1])), 1.0)
    step = max(scene.unit * 0.003, 1.0)
    dx, dy = ((scene.lamp[i] - middle[i]) / away * step for i in (0, 1))
    edge = np.clip(mask - shifted(mask, round(-dx), round(-dy)), 0, 1)
    scene.canvas.paint(edge * rim, scene.palette.light, top=stencil.top, left=stencil.left)


def shifted(mask: Field, dx: int, dy: int) -> Field:
    """The mask moved by whole pixels; what comes in from outside is 0."""
    moved = np.zeros_like(mask)
    height, width = mask.shape
    rows, columns = slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
    from_rows, from_columns = (
        slice(max(-dy, 0), height - max(dy, 0)),
        slice(max(-dx, 0), width - max(dx, 0)),
    )
    moved[rows, columns] = mask[from_rows, from_columns]
    return moved


def column(scene: Scene, stencil: Stencil, colour: Field, centre: float, half: float) -> None:
    """Paint a shape as a round column: bright towards the lamp, dark away from it."""
    x = (scene.canvas.x[:, stencil.left : stencil.left + stencil.width] - centre) / max(half, 1e-3)
    side = np.sign(scene.lamp[0] - centre) or 1.0
    shade = 0.5 + 0.62 * ramp(x * side, -1.0, 0.9) - 0.18 * ramp(x * side, 0.75, 1.1)
    tones = (colour if colour.ndim == 3 else colour[:, None, None]) * shade
    scene.canvas.paint(stencil.mask(), tones, top=stencil.top, left=stencil.left)


def lit_window(scene: Scene, at: Point, width: float, height: float, colour: Colour) -> None:
    """A warm window and its glow."""
    window = scene.canvas.stencil(at[0] - width, at[1] - height, at[0] + width, at[1] + height)
    window.box(at[0] - width / 2, at[1] - height / 2, at[0] + width / 2, at[1] + height / 2)
    scene.canvas.cut(window, colour * 1.2)
    if scene.palette.dark or scene.plan.mood in ("dusk", "sunset", "dawn", "snow", "fog"):
        scene.canvas.glow(at, height * 1.6, colour, 0.3)


def rocks(scene: Scene, left: float, right: float, peak: Point, foot: float, part: str) -> None:
    """A crag rising from `foot` to a flat `peak` between two columns, its facets lit."""
    canvas, rng = scene.canvas, scene.chance(part)
    x = np.linspace(left, right, 90)
    share = np.where(
        x < peak[0], (x - left) / max(peak[0] - left, 1), (right - x) / max(right - peak[0], 1)
    )
    rough = line(rng, 90, cells=7, octaves=4, gain=0.55)
    rise = foot - peak[1]
    steep = np.clip(share * 1.25, 0, 1)
    top = foot - rise * steep**0.6 + rough * rise * 0.3 * (1 - np.clip(steep * 1.4 - 0.4, 0, 1))
    bottom = foot + rise * (0.1 + 0.22 * steep**0.5 + 0.16 * line(rng, 90, cells=9, octaves=5))
    stencil = canvas.stencil(left, float(top.min()) - 4, right, float(bottom.max()) + 2)
    stencil.polygon(
        [
            (float(a), float(b))
            for a, b in [*zip(x, top, strict=True), *zip(x[::-1], bottom[::-1], strict=True)]
        ]
    )
    u = canvas.x[:, stencil.left : stencil.left + stencil.width] / scene.unit
    v = canvas.y[stencil.top : stencil.top + stencil.height] / scene.unit
    side = np.sign(scene.lamp[0] - peak[0]) or 1.0
    facets = np.clip(
        (_make_facets(scene, u, v) - _make_facets(scene, u + 0.02 * side, v - 0.012)) * 2.6 + 0.22,
        -0.2,
        1,
    )
    dark = mix(scene.palette.land, scene.palette.haze, 0.1)
    bright = mix(dark, mix(scene.palette.haze, scene.palette.light, 0.4), 0.55)
    tones = dark[:, None, None] + (bright - dark)[:, None, None] * facets
    canvas.paint(stencil.mask(), tones, top=stencil.top, left=stencil.left)
    _paint_foot(scene, stencil, x, bottom)


def _paint_foot(scene: Scene, stencil: Stencil, x: Field, bottom: Field) -> None:
    """Foam where rock meets water, mist where it meets land."""
    canvas = scene.canvas
    depth = scene.unit * (0.014 if scene.plan.place in ("sea", "lake") else 0.05)
    columns = np.arange(stencil.left, stencil.left + stencil.width)
    edge = np.interp(columns, x, bottom)[None, :]
    rows = canvas.y[stencil.top : stencil.top + stencil.height + int(depth)]
    lace = sample(scene.dice.grain, columns[None, :] / scene.unit * 1.3, rows / scene.unit * 2.2)
    band = np.exp(-(((rows - edge) / depth) ** 2)) * ramp(lace, 0.15, 0.7) * 0.85
    ends = np.clip(np.minimum(columns - x[0], x[-1] - columns) / (0.05 * scene.unit), 0, 1)
    white = mix(scene.palette.haze, scene.palette.light, 0.6 if scene.plan.place == "sea" else 0.1)
    canvas.paint(band * ends, white, top=stencil.top, left=stencil.left)


def _make_facets(scene: Scene, u: Field, v: Field) -> Field:
    """Blocky light and shade of rock, 0…1."""
    broad = sample(scene.dice.clouds, u * 0.9, v * 1.3 + u * 0.3)
    return np.asarray(
        0.6 * sample(scene.dice.grain, u * 0.55 + broad * 0.1, v * 0.8) + 0.4 * broad, np.float32
    )
