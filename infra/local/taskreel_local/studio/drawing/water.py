"""Water: what stands above mirrored in it, glitter under the lamp, and the swell of a storm."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.noise import Field, line, ramp, sample
from taskreel_local.studio.drawing.palette import luminance, mix
from taskreel_local.studio.drawing.sky import Scene


def paint_water(scene: Scene, *, calm: float = 0.5) -> None:
    """Everything below the horizon becomes water; `calm` 1 is a mirror."""
    canvas, palette = scene.canvas, scene.palette
    top = int(scene.horizon)
    rows = canvas.y[top:] - scene.horizon
    depth = rows / (canvas.height - scene.horizon)
    waves = _make_waves(scene, rows)
    mirrored = _mirror_field(scene, top, rows, waves, calm)
    fresnel = 0.3 + 0.62 * (1 - depth) ** 1.6
    body = mix(palette.water, palette.sky[1], 0.18)[:, None, None] * (1.05 - 0.4 * depth)
    surface = body + (mirrored - body) * fresnel
    surface *= 1 + (waves - 0.5) * (0.55 - 0.35 * calm)
    _paint_glitter(scene, surface, depth, waves)
    canvas.rgb[:, top:] = surface
    line_of_light = np.exp(-(((canvas.y[top:] - scene.horizon) / (0.006 * scene.unit)) ** 2))
    canvas.paint(
        np.broadcast_to(line_of_light * 0.35, surface.shape[1:]).astype(np.float32),
        palette.haze,
        top=top,
    )
    scene.ground = np.full(canvas.width, canvas.height * 1.02, np.float32)


def _make_waves(scene: Scene, rows: Field) -> Field:
    """Wave heights 0…1 in perspective: fine at the horizon, broad at the feet."""
    canvas = scene.canvas
    distance = 0.16 / (rows / canvas.unit + 0.02)
    x = (canvas.x - canvas.width / 2) / canvas.unit
    u, v = x * distance * 0.32, distance * 1.9
    broad = sample(scene.dice.clouds, u * 0.5, v * 0.55)
    fine = sample(scene.dice.grain, u * 0.9 + broad * 0.05, v * 1.1)
    return np.asarray(0.45 * broad + 0.55 * fine, np.float32)


def _mirror_field(scene: Scene, top: int, rows: Field, waves: Field, calm: float) -> Field:
    canvas = scene.canvas
    sway = (waves - 0.5) * (1.25 - calm)
    source_y = scene.horizon - rows * 0.92 - np.abs(sway) * rows * 0.9
    source_x = canvas.x + sway * (0.012 * canvas.unit + rows * 0.16)
    iy = np.clip(source_y.astype(np.int32), 0, max(top - 1, 0))
    ix = np.clip(source_x.astype(np.int32), 0, canvas.width - 1)
    return canvas.rgb[:, iy, ix]


def _paint_glitter(scene: Scene, surface: Field, depth: Field, waves: Field) -> None:
    if scene.plan.mood in ("storm", "fog"):
        return
    canvas = scene.canvas
    spread = canvas.unit * (0.035 + 0.2 * depth)
    path = np.exp(-(((canvas.x - scene.lamp[0]) / spread) ** 2))
    strength = 0.55 if scene.palette.dark else 0.95
    sparks = ramp(waves, 0.52, 0.66) * path * strength * (1 - 0.45 * depth)
    surface += scene.palette.light[:, None, None] * sparks.astype(np.float32)


def paint_swell(scene: Scene, *, layers: int = 6) -> None:
    """A heavy sea: steep waves, translucent at the crest, foam torn off by the wind."""
    rng = scene.chance("swell")
    for i in range(layers):
        near = (i + 1) / layers
        _paint_wave(scene, near, rng)


def _paint_wave(scene: Scene, near: float, rng: np.random.Generator) -> None:
    canvas, palette, unit = scene.canvas, scene.palette, scene.unit
    base = scene.horizon + (canvas.height - scene.horizon) * 0.92 * (near - 0.1) ** 1.35
    height = unit * (0.012 + 0.085 * near**1.3)
    top = base - height * _make_trochoid(
        rng, canvas.width, (1.4 + 3.2 * (1 - near)) * canvas.width / canvas.unit
    )
    first = min(max(int(top.min() - height * 0.4), 0), canvas.height - 1)
    below = (canvas.y[first:] - top[None, :]) / height
    x = canvas.x / unit
    streaks = sample(scene.dice.grain, x * (1.5 - 0.7 * near) + near * 3, below * 0.11 + near)
    folds = sample(
        scene.dice.clouds, x * (0.9 - 0.3 * near) + below * 0.06, below * 0.16 + near * 2
    )
    deep = mix(palette.water, palette.haze, 0.42 * (1 - near))
    glass = mix(mix(palette.water, palette.sky[-1], 0.5), palette.haze, 0.25 * (1 - near))
    sheen = np.clip(np.exp(-below * 0.85) * 0.75 + (folds - 0.5) * 0.5, 0, 1)
    tones = deep[:, None, None] + (glass - deep)[:, None, None] * sheen
    lifted = np.clip((base - top) / height, 0, 1.2)[None, :]
    foam = ramp(np.exp(-np.abs(below) * 1.4) * (0.35 + lifted) + (streaks - 0.5) * 0.9, 0.62, 1.0)
    lace = ramp(streaks - 0.12 * below, 0.62, 0.9) * np.clip(lifted, 0.2, 1) * 0.4
    white = mix(palette.haze, palette.light, 0.75)
    tones += (white[:, None, None] - tones) * np.clip(foam * 0.9 + lace, 0, 1)
    canvas.paint(np.clip(below * height + 0.5, 0, 1), tones, top=first)
    _paint_spray(scene, top, height, lifted[0], rng)


def _make_trochoid(rng: np.random.Generator, count: int, cells: float) -> Field:
    """Sharp crests and wide troughs, irregular: 0…1."""
    x = np.linspace(0, cells, count, dtype=np.float32) + 0.25 * line(
        rng, count, cells=cells * 0.7, octaves=3
    )
    x += np.float32(rng.random())
    wave = 1 - np.abs(np.sin(np.pi * x)) ** 0.8
    return np.asarray(
        wave * (0.65 + 0.35 * line(rng, count, cells=cells * 0.5, octaves=2)), np.float32
    )


def _paint_spray(
    scene: Scene, top: Field, height: float, lifted: Field, rng: np.random.Generator
) -> None:
    canvas = scene.canvas
    crests = np.flatnonzero(lifted > 0.62)
    if crests.size == 0 or height < 3:  # pixels: too small to see
        return
    stencil = canvas.stencil(0, float(top.min()) - height, canvas.width, float(top.max()) + height)
    for column in rng.choice(crests, 90):
        up = abs(rng.normal(0, 0.28)) * height
        size = scene.unit * 0.0011 * rng.uniform(0.5, 1.6)
        stencil.ellipse(
            (float(column) + up * 0.9, float(top[column]) - up),
            size * 1.6,
            size,
            rng.uniform(0.3, 0.9),
        )
    canvas.cut(stencil, mix(scene.palette.haze, scene.palette.light, 0.7))


def mirror_ground(scene: Scene, row: float) -> None:
    """A wet street: what stands above `row`, mirrored and smeared downwards."""
    canvas = scene.canvas
    top = min(max(int(row), 1), canvas.height - 1)
    rows = canvas.y[top:] - row
    waves = _make_waves(scene, rows)
    mirrored = _mirror_field(scene, top, rows, waves, 0.55)
    lights = np.clip(luminance(mirrored) * 1.6, 0, 1)[None]
    wet = mirrored * (0.34 + 0.5 * lights) + scene.palette.land[:, None, None] * 0.4
    canvas.rgb[:, top:] = wet * (0.8 + 0.4 * (waves - 0.5))
