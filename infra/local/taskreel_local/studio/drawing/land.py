"""The ground: mountains, hills, forests and dunes, layer behind layer into the haze."""

from __future__ import annotations

import numpy as np

from taskreel_local.studio.drawing.canvas import Canvas, Colour, Stencil
from taskreel_local.studio.drawing.noise import Field, line, ramp, resize, sample
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene

SNOW = rgb("f4f7fb")


def paint_mountains(scene: Scene, *, layers: int = 4, lift: float = 0.0) -> None:
    """Ranges with crags, lit from the lamp's side, snow on top; valleys fill with mist."""
    canvas, rng = scene.canvas, scene.chance("mountains")
    for i in range(layers):
        near = (i + 1) / layers
        base = scene.horizon + scene.unit * (0.16 * near**1.5 - lift)
        height = scene.unit * rng.uniform(0.2, 0.3) * (1.05 - 0.5 * near)
        peaks = line(
            rng,
            canvas.width,
            cells=1.6 + 1.6 * near + canvas.width / canvas.unit,
            octaves=9,
            gain=0.48,
        )
        top = base - height * (0.45 + 0.75 * peaks)
        _paint_range(scene, top, near**1.2, snow=scene.plan.mood != "fire" and near < 0.95)
    scene.ground = top


def _paint_range(scene: Scene, top: Field, near: float, *, snow: bool) -> None:
    canvas, palette = scene.canvas, scene.palette
    first = max(int(top.min()) - 1, 0)
    below = (canvas.y[first:] - top[None, :]) / scene.unit
    side = np.sign(scene.lamp[0] - canvas.width / 2) or 1.0
    x = canvas.x[:, ::2] / canvas.unit
    reach = below[::2, ::2]
    lit = resize(_make_relief(scene, x + near * 3, reach, side), below.shape[1], below.shape[0])
    land = palette.far(0.3 + 0.55 * near)
    shade, dark = mix(land, palette.light, 0.4 - 0.12 * near), land * 0.72
    colour = dark[:, None, None] + (shade - dark)[:, None, None] * np.clip(lit, 0, 1)
    if snow:
        cap = ramp(0.15 - 0.07 * near - below + (lit - 0.5) * 0.16, 0, 0.03)
        shadow = mix(mix(palette.sky[1], SNOW, 0.35), palette.haze, 0.25)
        bright = mix(SNOW, palette.light, 0.5) * (0.55 if palette.dark else 0.98)
        tone = ramp(lit, 0.2, 0.75)
        white = shadow[:, None, None] + (bright - shadow)[:, None, None] * tone
        colour += (white - colour) * cap * (0.8 if palette.dark else 0.92)
    mist = ramp(below, 0.05, 0.3) * (1 - near) * 0.85
    colour += (palette.haze[:, None, None] - colour) * mist
    canvas.paint(np.clip(below * scene.unit + 0.5, 0, 1), colour, top=first)


def _make_relief(scene: Scene, x: Field, depth: Field, side: float) -> Field:
    """Light and shade of ravines below the crest, 0…1: a bump map lit from one side."""
    bend = sample(scene.dice.clouds, x * 0.3, depth * 0.4) - 0.5
    u, v = x * 0.62 + bend * 0.3 + depth * 0.2, depth * 0.33 + bend * 0.15

    def height(du: float, dv: float) -> Field:
        crest = 1 - np.abs(2 * sample(scene.dice.clouds, u + du, v + dv) - 1)
        return np.asarray(
            crest + 0.4 * sample(scene.dice.grain, u * 0.8 + du, v * 0.9 + dv), np.float32
        )

    return np.clip(0.5 + (height(0, 0) - height(0.012 * side, -0.006)) * 3.4, 0, 1)


def paint_hills(scene: Scene, *, layers: int = 4) -> None:
    """Rolling ground, lighter on the lamp's side, with the grass of its season."""
    canvas, rng = scene.canvas, scene.chance("hills")
    grass = GRASS.get(scene.plan.mood)
    land = scene.palette.land if grass is None else mix(rgb(grass), scene.palette.land, 0.25)
    for i in range(layers):
        near = (i + 1) / layers
        base = scene.horizon + scene.unit * 0.42 * (near - 1 / layers) ** 1.3
        top = base - scene.unit * (0.035 + 0.05 * near) * (
            0.6 + line(rng, canvas.width, cells=1.2 + near, octaves=3, gain=0.3)
        )
        _paint_rolling(scene, top, near, land)
        if i < layers - 1:
            _far_trees(scene, top, near, land)
    scene.ground = top


GRASS = {
    "day": "5d9a3c",
    "spring": "6fae4a",
    "dawn": "6b7f52",
    "sunset": "4a3548",
    "autumn": "a8742f",
    "forest": "4f8a43",
    "snow": "e6edf4",
    "fog": "6f8078",
    "dream": "7a55a8",
    "mars": "9a4526",
    "dusk": "3a4468",
    "night": "2a4a5c",
    "storm": "33443c",
}


def _paint_rolling(scene: Scene, top: Field, near: float, land: Colour) -> None:
    canvas, palette = scene.canvas, scene.palette
    first = min(max(int(top.min()) - 1, 0), canvas.height - 1)
    below = (canvas.y[first:] - top[None, :]) / scene.unit
    x = canvas.x / canvas.unit
    blades = sample(
        scene.dice.grain,
        x * (1.2 - 0.5 * near),
        canvas.y[first:] / canvas.unit * (2.4 - near) + near,
    )
    slope = np.clip(
        -np.gradient(top) * np.sign(scene.lamp[0] - canvas.width / 2) * 2.5 + 0.5, 0, 1
    ).astype(np.float32)
    colour = palette.far(0.3 + 0.7 * near, land)
    bright = mix(colour, palette.light, 0.25 if palette.dark else 0.3)
    lit = np.clip(slope[None, :] * np.exp(-below * 4) + (blades - 0.5) * 0.75 * near, -0.4, 1)
    tones = colour[:, None, None] + (bright - colour)[:, None, None] * lit
    tones *= 1 - 0.5 * near * ramp(below, 0.1, 0.7)
    canvas.paint(np.clip(below * scene.unit + 0.5, 0, 1), tones, top=first)


def _far_trees(scene: Scene, top: Field, near: float, land: Colour) -> None:
    canvas, rng = scene.canvas, scene.chance(f"far trees {near:.2f}")
    size = scene.unit * 0.02 * (0.35 + near)
    stencil = canvas.stencil(
        0, float(top.min()) - size * 4, canvas.width, float(top.max()) + size * 2
    )
    for clump in rng.random(5):
        for offset in rng.normal(0, 0.05, 14):
            x = (clump + offset) * canvas.width
            if 0 <= x < canvas.width:
                r = size * rng.uniform(0.5, 1.1)
                stencil.ellipse((x, float(top[int(x)]) - r * 0.5), r, r * 1.15)
    canvas.cut(stencil, mix(scene.palette.far(0.3 + 0.7 * near, land), scene.palette.land, 0.45))


def paint_forest(scene: Scene, *, layers: int = 5) -> None:
    """Rows of conifers that darken towards the viewer, mist between the rows."""
    canvas, rng = scene.canvas, scene.chance("forest")
    for i in range(layers):
        near = (i + 1) / layers
        base = scene.horizon + (scene.canvas.height - scene.horizon) * 0.74 * near**1.5
        top = base - scene.unit * 0.05 * line(rng, canvas.width, cells=2, octaves=4)
        height = scene.unit * (0.06 + 0.2 * near**1.4)
        stencil = canvas.stencil(0, float(top.min()) - height * 1.6, canvas.width, canvas.height)
        columns = np.arange(canvas.width, dtype=np.float32)
        ground = [(float(x), float(top[int(x)])) for x in columns[:: max(1, canvas.width // 64)]]
        stencil.polygon(
            [
                (0, canvas.height),
                *ground,
                (canvas.width, float(top[-1])),
                (canvas.width, canvas.height),
            ]
        )
        for x in np.arange(-height / 2, canvas.width + height / 2, height * 0.2):
            at = float(x + rng.normal(0, height * 0.1))
            foot = float(top[int(np.clip(at, 0, canvas.width - 1))]) + height * 0.06
            conifer(stencil, at, foot, height * rng.uniform(0.55, 1.2), rng)
        colour = scene.palette.far(near**0.9)
        canvas.cut(stencil, colour)
        _ground_mist(scene, base + height * 0.05, height * 0.8, 0.42 * (1 - near))
    scene.ground = top


def _ground_mist(scene: Scene, row: float, depth: float, strength: float) -> None:
    canvas = scene.canvas
    band = np.exp(-(((canvas.y - row) / depth) ** 2)) * strength
    canvas.paint(
        np.broadcast_to(band, (canvas.height, canvas.width)).astype(np.float32), scene.palette.haze
    )


def conifer(
    stencil: Stencil, x: float, foot: float, height: float, rng: np.random.Generator
) -> None:
    """A spruce: drooping tiers around a trunk, no two alike."""
    tiers = 7
    left, right = [(x, foot - height)], []
    for tier in range(1, tiers + 1):
        y = foot - height * (1 - tier / tiers) * 0.96
        reach = height * 0.21 * (tier / tiers) ** 0.85
        left += [(x - reach * rng.uniform(0.75, 1.15), y), (x - reach * 0.5, y - height * 0.018)]
        right += [(x + reach * rng.uniform(0.75, 1.15), y), (x + reach * 0.5, y - height * 0.018)]
    stencil.polygon([*left, *reversed(right)])
    stencil.box(x - height * 0.012, foot - height * 0.06, x + height * 0.012, foot + height * 0.08)


def paint_dunes(scene: Scene, *, layers: int = 5) -> None:
    """Dunes with a bright windward side, a sharp crest and a dark lee."""
    canvas, rng = scene.canvas, scene.chance("dunes")
    for i in range(layers):
        near = (i + 1) / layers
        base = scene.horizon + scene.unit * 0.44 * (near - 1 / layers) ** 1.35
        top = base - scene.unit * (0.03 + 0.1 * near) * _make_crests(
            rng, canvas, 1.1 + 1.3 * (1 - near)
        )
        _paint_dune(scene, top, near)
    scene.ground = top


def paint_shore(scene: Scene) -> None:
    """Dark sand and stones at the water's edge, for what stands in front."""
    canvas, rng = scene.canvas, scene.chance("shore")
    top = canvas.height - scene.unit * (
        0.15 + 0.035 * line(rng, canvas.width, cells=1.6, octaves=3)
    )
    wash = np.exp(-np.abs((canvas.y - top[None, :]) / (0.012 * scene.unit)))
    lace = sample(scene.dice.grain, canvas.x / scene.unit * 1.2, canvas.y / scene.unit * 2)
    sand = mix(mix(rgb("8a6f52"), scene.palette.land, 0.62), scene.palette.haze, 0.12)
    _paint_rolling(scene, top, 1.0, sand)
    canvas.paint(
        wash * ramp(lace, 0.2, 0.6) * 0.7, mix(scene.palette.haze, scene.palette.light, 0.5)
    )
    scene.ground = top


def _make_crests(rng: np.random.Generator, canvas: Canvas, cells: float) -> Field:
    """Asymmetric waves: a long rise and a short fall."""
    x = (
        np.linspace(0, cells * max(1.0, canvas.width / canvas.unit), canvas.width)
        + rng.random() * 3
    )
    bend = (
        x
        + 0.22 * np.sin(x * 2.1 + rng.random() * 6)
        + 0.04 * line(rng, canvas.width, cells=3, octaves=3)
    )
    phase = bend % 1
    rise = np.sin(np.clip(phase / 0.7, 0, 1) * np.pi / 2) ** 1.6
    fall = np.clip(np.cos(np.clip((phase - 0.7) / 0.3, 0, 1) * np.pi / 2), 0, 1) ** 1.3
    wave = np.where(phase < 0.7, rise, fall)
    return np.asarray(wave * (0.6 + 0.4 * np.sin(x * 1.3 + rng.random() * 6)), np.float32)


def _paint_dune(scene: Scene, top: Field, near: float) -> None:
    canvas, palette = scene.canvas, scene.palette
    first = min(max(int(top.min()) - 1, 0), canvas.height - 1)
    below = (canvas.y[first:] - top[None, :]) / scene.unit
    lamp_side = np.sign(scene.lamp[0] - canvas.width / 2) or 1.0
    x = canvas.x / canvas.unit
    shift = np.clip(
        (canvas.x - lamp_side * below * scene.unit * 0.9).astype(np.int32), 0, canvas.width - 1
    )
    slope = (np.gradient(top) * lamp_side * -1.0).astype(np.float32)[shift]
    lit = 0.52 - 0.5 * np.tanh(slope * 5.5)
    phase = sample(scene.dice.clouds, x * 0.5, below * 1.2 + near) * 26 + below * (150 - 70 * near)
    ripples = np.sin(phase) * 0.055 * near * np.exp(-((below - 0.2) ** 2) * 8)
    sand, dark = mix(palette.sky[-1], palette.light, 0.2), palette.land
    near_sand = mix(palette.haze, sand * np.array([1.0, 0.86, 0.66], np.float32), 0.45 + 0.5 * near)
    shade = mix(palette.haze, dark, 0.35 + 0.6 * near)
    tones = shade[:, None, None] + (near_sand - shade)[:, None, None] * np.clip(lit + ripples, 0, 1)
    tones *= 1 - 0.25 * near * ramp(below, 0.05, 0.5)
    canvas.paint(np.clip(below * scene.unit + 0.5, 0, 1), tones, top=first)
