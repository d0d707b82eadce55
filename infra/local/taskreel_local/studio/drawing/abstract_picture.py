"""An abstract picture: noise bent by noise, coloured and lit like a relief.

After Quilez, "domain warping", 2002.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taskreel_local.studio.drawing.canvas import Canvas
from taskreel_local.studio.drawing.noise import Dice, Field, resize, sample, spread
from taskreel_local.studio.drawing.palette import blend_stops, invented, mix, rgb

LONG_SIDE = 640  # of the field; colour and light are computed in full


def paint_abstract(canvas: Canvas, dice: Dice, *, named: Sequence[str] = ()) -> None:
    """Marbled, flowing, in the `named` colours (hex digits), else in colours of chance."""
    rng = dice.of("abstract")
    scale = min(1.0, LONG_SIDE / max(canvas.width, canvas.height))
    width, height = max(8, round(canvas.width * scale)), max(8, round(canvas.height * scale))
    zoom = rng.uniform(0.2, 0.32) / min(width, height)
    x = np.arange(width, dtype=np.float32)[None, :] * zoom + np.zeros((height, 1), np.float32)
    y = np.arange(height, dtype=np.float32)[:, None] * zoom + np.zeros((1, width), np.float32)
    texture = dice.clouds
    qx, qy = sample(texture, x, y), sample(texture, x + 0.52, y + 0.13)
    bend = rng.uniform(0.22, 0.36)
    rx = sample(texture, x + bend * qx + 0.17, y + bend * qy + 0.92)
    ry = sample(texture, x + bend * qx + 0.83, y + bend * qy + 0.28)
    flow = sample(texture, x + 0.9 * bend * rx, y + 0.9 * bend * ry)
    value = spread(flow * 0.7 + np.hypot(qx - 0.5, qy - 0.5) * 0.55 + (rx - 0.5) * 0.3)
    value = resize(value, canvas.width, canvas.height)
    veins = resize(spread(np.abs(ry - rx)), canvas.width, canvas.height)
    colour = blend_stops(_choose_stops(named, rng), value * 0.94)
    accent = blend_stops(_choose_stops(named[::-1], dice.of("accent")), 0.35 + 0.5 * veins)
    colour += (accent - colour) * np.clip(0.55 - veins * 1.5, 0, 0.5)
    gy, gx = np.gradient(value)
    relief = np.clip((gx * 0.8 - gy) * canvas.unit * 0.05, -0.4, 0.55).astype(np.float32)
    shine = np.clip(relief * 1.6 - 0.35, 0, 1) ** 2
    canvas.rgb[:] = colour * (1 + relief * 0.75) + shine * 0.8


def _choose_stops(named: Sequence[str], rng: np.random.Generator) -> Field:
    """Five stops from dark to light around the named colours."""
    if not named:
        return invented(rng)
    first, last = rgb(named[0]), rgb(named[-1])
    middle = mix(first, last, 0.5)
    white = rgb("fffaf0")
    return np.stack(
        [first * 0.2, first * 0.6, middle, mix(last, white, 0.25), mix(last, white, 0.7)]
    )
