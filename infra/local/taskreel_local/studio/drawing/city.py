"""The city: towers behind towers, windows lit, signs glowing."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from taskreel_local.studio.drawing.canvas import Colour
from taskreel_local.studio.drawing.palette import mix, rgb
from taskreel_local.studio.drawing.sky import Scene

SIGNS = ("ff2d95", "21f0ff", "ffd319", "9b5cff", "ff6b2d", "3dff9e")
WINDOWS = ("ffd68a", "ffc46b", "fff0cf", "cfe6ff")


def paint_city(scene: Scene, *, layers: int = 4) -> None:
    """Skyline layers from the haze to the street."""
    rng = scene.chance("city")
    street = scene.horizon + scene.unit * 0.16
    for i in range(layers):
        near = (i + 1) / layers
        x = -scene.unit * 0.05
        while x < scene.canvas.width:
            width = scene.unit * rng.uniform(0.045, 0.1) * (0.55 + 0.75 * near)
            middle = 1 - 0.45 * abs(x / scene.canvas.width - 0.5)
            height = scene.unit * (0.1 + rng.gamma(2.0, 0.075)) * middle * (0.85 + 0.45 * near)
            _paint_tower(scene, Block(x, street - height, x + width, street, near), rng)
            x += width * rng.uniform(0.9, 1.35)
        _street_haze(scene, street, near)
    scene.ground = np.full(scene.canvas.width, street, np.float32)


@dataclass(frozen=True)
class Block:
    """A tower's place: its edges, the street's row, and its nearness 0…1."""

    left: float
    top: float
    right: float
    street: float
    near: float


def _paint_tower(scene: Scene, block: Block, rng: np.random.Generator) -> None:
    canvas, palette = scene.canvas, scene.palette
    left, top, right, street, near = astuple(block)
    height = street - top
    body = canvas.stencil(left - 1, top - scene.unit * 0.12, right + 1, street + 2)
    body.box(left, top, right, street + 2)
    width = right - left
    match int(rng.integers(0, 5)):
        case 0:
            body.box(left + width * 0.2, top - height * 0.06, right - width * 0.2, top + 1)
            body.line(
                [(left + width / 2, top), (left + width / 2, top - height * 0.22)],
                scene.unit * 0.0025,
            )
        case 1:
            body.polygon([(left, top), (right, top), (left + width / 2, top - width * 0.55)])
        case 2:
            body.polygon([(left, top), (right, top), (right, top - width * 0.35)])
        case 3:
            body.box(left + width * 0.12, top - scene.unit * 0.012, left + width * 0.4, top + 1)
        case _:
            pass  # a flat roof
    wall = palette.far(0.25 + 0.75 * near)
    lamp_side = float(np.clip((scene.lamp[0] - left) / canvas.width, -1, 1))
    canvas.cut(body, mix(wall, palette.light, 0.05 + 0.04 * lamp_side * (1 - near)))
    if near > 0.3:  # farther windows are lost in the haze
        _paint_windows(scene, block, rng)
    if scene.plan.mood == "neon" and near > 0.45 and rng.random() < 0.55:
        _paint_sign(scene, block, rng)


def _paint_windows(scene: Scene, block: Block, rng: np.random.Generator) -> None:
    left, top, right, street, near = astuple(block)
    pitch = max(scene.unit * 0.0085 * (0.6 + near), 2.5)
    columns, rows = int((right - left) / pitch) - 1, int((street - top) / (pitch * 1.25)) - 1
    if columns < 1 or rows < 1:
        return
    night = scene.palette.dark or scene.plan.mood in ("dusk", "sunset")
    lit = rng.random((rows, columns)) < (0.42 if night else 0.12)
    stencil = scene.canvas.stencil(left, top, right, street)
    for row, column in np.argwhere(lit):
        x, y = left + (column + 0.8) * pitch, top + (row + 0.9) * pitch * 1.25
        stencil.box(x, y, x + pitch * 0.55, y + pitch * 0.7, rng.uniform(0.35, 1))
    colour = _window_colour(scene, rng)
    scene.canvas.cut(
        stencil, mix(scene.palette.haze, colour, 0.35 + 0.65 * near) * (1.15 if night else 0.95)
    )


def _window_colour(scene: Scene, rng: np.random.Generator) -> Colour:
    return rgb(
        str(rng.choice(SIGNS if scene.plan.mood == "neon" and rng.random() < 0.5 else WINDOWS))
    )


def _paint_sign(scene: Scene, block: Block, rng: np.random.Generator) -> None:
    left, top, right, street, _ = astuple(block)
    canvas, colour = scene.canvas, rgb(str(rng.choice(SIGNS)))
    x = left + (right - left) * rng.uniform(0.15, 0.7)
    y0 = top + (street - top) * rng.uniform(0.1, 0.4)
    y1 = y0 + (street - top) * rng.uniform(0.15, 0.4)
    thickness = scene.unit * rng.uniform(0.004, 0.012)
    stencil = canvas.stencil(
        x - scene.unit * 0.06, y0 - scene.unit * 0.06, x + scene.unit * 0.06, y1 + scene.unit * 0.06
    )
    stencil.line([(x, y0), (x, y1)], thickness)
    canvas.shine(stencil, colour * 1.4, blur=scene.unit * 0.012)
    canvas.cut(stencil, mix(colour, rgb("ffffff"), 0.45) * 1.2)


def _street_haze(scene: Scene, street: float, near: float) -> None:
    canvas = scene.canvas
    glow = (
        np.exp(-(np.clip(street - canvas.y, 0, None) / (0.11 * scene.unit)))
        * 0.5
        * (1 - near * 0.8)
    )
    canvas.paint(
        np.broadcast_to(glow, (canvas.height, canvas.width)).astype(np.float32), scene.palette.haze
    )
