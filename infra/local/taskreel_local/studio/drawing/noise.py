"""Seeded noise: what clouds, crags and waves are made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Field: TypeAlias = npt.NDArray[np.floating[Any]]

TILE = 512
ROUGH_OCTAVES = 5  # lines of fewer octaves are rolling ones, without a kink


@dataclass(frozen=True)
class Dice:
    """Randomness by name: each part of a picture has its own, independent of the others."""

    key: str

    def of(self, part: str) -> np.random.Generator:
        """The generator of a part; the same key and part give the same numbers on every machine."""
        digest = hashlib.sha256(f"{self.key}|{part}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    @cached_property
    def clouds(self) -> Field:
        """A tile of cloud-like noise, 0…1, that repeats seamlessly."""
        return tile(self.of("tile"), cells=4, octaves=7)

    @cached_property
    def grain(self) -> Field:
        """A finer tile: rock, bark, ripples."""
        return tile(self.of("grain"), cells=16, octaves=5, gain=0.62)


def resize(field: Field, width: int, height: int) -> Field:
    """The field at another size, by cubic interpolation, which may overshoot the range."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def tile(
    rng: np.random.Generator, *, cells: int, octaves: int, gain: float = 0.5, size: int = TILE
) -> Field:
    """Fractal noise in 0…1 on a square that repeats seamlessly.

    Its octaves have `cells`, 2 `cells`, 4 `cells` … a side.
    """
    total: Field = np.zeros((size, size), np.float32)
    amplitude = 1.0
    for octave in range(octaves):
        count = cells << octave
        if count > size:
            break
        total += amplitude * _tile_octave(rng, count, size)
        amplitude *= gain
    return spread(total)


def _tile_octave(rng: np.random.Generator, count: int, size: int) -> Field:
    margin = 2
    grid = np.pad(rng.random((count, count), dtype=np.float32), margin, mode="wrap")
    image = Image.fromarray(grid)
    box = (margin, margin, margin + count, margin + count)
    return np.asarray(
        image.resize((size, size), Image.Resampling.BICUBIC, box=box), dtype=np.float32
    )


def spread(field: Field) -> Field:
    """The field stretched so that nearly all of it spans 0…1."""
    low, high = np.percentile(field[::3, ::3], (1, 99))
    return np.asarray(np.clip((field - low) / max(high - low, 1e-6), 0, 1), np.float32)


def sample(texture: Field, x: Field, y: Field) -> Field:
    """The repeating texture at positions in tiles, linear between points; `x`, `y` broadcast."""
    size = texture.shape[0]
    px, py = x * size, y * size
    x0, y0 = np.floor(px), np.floor(py)
    fx, fy = px - x0, py - y0
    left, top = x0.astype(np.int32) % size, y0.astype(np.int32) % size
    right, bottom = (left + 1) % size, (top + 1) % size
    upper = texture[top, left] * (1 - fx) + texture[top, right] * fx
    lower = texture[bottom, left] * (1 - fx) + texture[bottom, right] * fx
    return np.asarray(upper * (1 - fy) + lower * fy, dtype=np.float32)


def line(
    rng: np.random.Generator, count: int, *, cells: float, octaves: int = 7, gain: float = 0.5
) -> Field:
    """A mountain line: `count` values in -1…1."""
    x = np.linspace(0, 1, count, dtype=np.float32)
    total = np.zeros(count, np.float32)
    amplitude = 1.0
    for octave in range(octaves):
        span = cells * 2**octave
        knots = rng.uniform(-1, 1, int(span) + 3)
        position = x * span + rng.random()
        whole = position.astype(np.int32)
        blend = smooth(position - whole) if octaves < ROUGH_OCTAVES else position - whole
        total += amplitude * (knots[whole] * (1 - blend) + knots[whole + 1] * blend).astype(
            np.float32
        )
        amplitude *= gain
    return total / max(float(np.abs(total).max()), 1e-6)


def smooth(t: Field) -> Field:
    """0…1 with soft ends (the cubic Hermite step)."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def ramp(field: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, soft between."""
    return smooth((field - low) / (high - low))
