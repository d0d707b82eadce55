"""Camera moves over still pictures: eased, sub-pixel, with a little depth.

A still is converted to planar YUV once; each film frame samples the three planes as 8-bit images.
That takes half the time of RGB. Pillow's resize takes a fractional box, so a slow move does not
jitter by whole pixels as libav's zoompan does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from taskreel.media.encode import Picture, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

OVERSCAN = 1.3  # stills are so much larger than the film: zooms stay sharp
MOST_ZOOM = 1.22


@dataclass(frozen=True, slots=True)
class View:
    """A camera position: centre 0 to 1 of the free range, zoom from 1, and slant of the rows."""

    x: float = 0.5
    y: float = 0.5
    zoom: float = 1.0
    lean: float = 0.0


@dataclass(frozen=True, slots=True)
class Move:
    """A camera move from one view to another."""

    start: View
    end: View

    def view_at(self, t: float) -> View:
        """Return the view at `t`, 0 to 1; the move starts and stops softly."""
        s = ease_motion(t)
        return View(
            self.start.x + (self.end.x - self.start.x) * s,
            self.start.y + (self.end.y - self.start.y) * s,
            # Viewers perceive zoom as a ratio: an even pace is a geometric one.
            self.start.zoom * (self.end.zoom / self.start.zoom) ** s,
            # Not exactly 0 within a leaning move: Pillow's two samplers differ by half a pixel.
            (self.start.lean + (self.end.lean - self.start.lean) * s) or (self.start.lean and 1e-9),
        )


PUSH_IN = Move(View(zoom=1.0), View(y=0.46, zoom=1.2))
PULL_OUT = Move(View(y=0.46, zoom=1.2), View(zoom=1.0))
PAN_RIGHT = Move(View(x=0.12, zoom=1.13, lean=-1), View(x=0.88, zoom=1.13, lean=1))
PAN_LEFT = Move(View(x=0.88, zoom=1.13, lean=1), View(x=0.12, zoom=1.13, lean=-1))
RISE = Move(View(y=1.0, zoom=1.14), View(y=0.0, zoom=1.14))
SINK = Move(View(y=0.0, zoom=1.14), View(y=1.0, zoom=1.14))
DRIFT = Move(View(x=0.2, y=0.8, zoom=1.05, lean=-0.6), View(x=0.85, y=0.3, zoom=1.19, lean=0.6))
STILL = Move(View(), View())

BY_WORD: tuple[tuple[str, Move], ...] = (
    ("static", STILL),
    ("still camera", STILL),
    ("zoom out", PULL_OUT),
    ("pull out", PULL_OUT),
    ("pull back", PULL_OUT),
    ("zoom", PUSH_IN),
    ("push in", PUSH_IN),
    ("pan left", PAN_LEFT),
    ("pan", PAN_RIGHT),
    ("rise", RISE),
    ("tilt up", RISE),
    ("crane", RISE),
    ("tilt down", SINK),
    ("descend", SINK),
    ("drift", DRIFT),
    ("orbit", DRIFT),
    ("fly", DRIFT),
)
IN_TURN = (PUSH_IN, PAN_RIGHT, PULL_OUT, DRIFT, PAN_LEFT, RISE)


def choose_moves(prompt: str, seed: int, count: int) -> list[Move]:
    """Return the move that the prompt names, else varied moves; `seed` chooses the first."""
    text = prompt.lower()
    for word, move in BY_WORD:
        if word in text:
            return [move] * count
    return [IN_TURN[(seed + i) % len(IN_TURN)] for i in range(count)]


def ease_motion(t: float) -> float:
    """Map 0 to 1 onto itself with soft ends and a long even middle."""
    t = min(max(t, 0.0), 1.0)
    return t - 0.85 * math.sin(2 * math.pi * t) / (2 * math.pi)


class StillPicture:
    """A picture prepared for a film of `size`: covers it, cropped at the centre."""

    def __init__(self, image: Image.Image, size: Size) -> None:
        self._size = size
        width, height = (2 * round(side * OVERSCAN / 2) for side in size)
        self._planes = _split_planes(_crop_to_cover(image, width, height))

    def render(self, view: View) -> Picture:
        """Return the film frame of a camera position."""
        width, height = self._size
        picture = np.empty(width * height * 3 // 2, np.uint8)
        start = 0
        for plane, (w, h) in zip(self._planes, plane_sizes(self._size), strict=True):
            picture[start : start + w * h] = np.asarray(_sample_plane(plane, view, (w, h))).ravel()
            start += w * h
        return picture.reshape(height * 3 // 2, width)


def _sample_plane(plane: Image.Image, view: View, size: Size) -> Image.Image:
    zoom = min(max(view.zoom, 1.0), MOST_ZOOM * 2)
    width, height = plane.width / zoom, plane.height / zoom
    left, top = (plane.width - width) * view.x, (plane.height - height) * view.y
    if view.lean == 0:
        box = (left, top, min(left + width, plane.width), min(top + height, plane.height))
        return plane.resize(size, Image.Resampling.BILINEAR, box=box)
    # Lower rows, which are nearer, move ahead of the upper ones: the parallax of a moving camera.
    reach = min(left, plane.width - width - left, plane.width * 0.013)
    slant = view.lean * reach
    kx, ky = width / size[0], height / size[1]
    shear = 2 * slant / size[1]
    matrix = (kx, shear, left - slant + kx / 2 - 0.5, 0.0, ky, top + ky / 2 - 0.5)
    return plane.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def blend_pictures(one: Picture, other: Picture, share: float) -> Picture:
    """Return `one` mixed with a share of `other`, 0 to 1."""
    return np.asarray(Image.blend(Image.fromarray(one), Image.fromarray(other), share), np.uint8)


def plane_sizes(size: Size) -> tuple[Size, Size, Size]:
    """Return width and height of the Y, U and V planes."""
    half = (size[0] // 2, size[1] // 2)
    return size, half, half


def to_picture(image: Image.Image) -> Picture:
    """Convert an RGB image of even size to a film picture."""
    frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24").reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        src_color_range=ColorRange.JPEG,
    )
    return np.asarray(frame.to_ndarray(), np.uint8)


def _split_planes(image: Image.Image) -> Sequence[Image.Image]:
    flat = to_picture(image).ravel()
    planes, start = [], 0
    for width, height in plane_sizes(image.size):
        planes.append(Image.fromarray(flat[start : start + width * height].reshape(height, width)))
        start += width * height
    return planes


def _crop_to_cover(image: Image.Image, width: int, height: int) -> Image.Image:
    scale = max(width / image.width, height / image.height)
    across, down = width / scale, height / scale
    left, top = max((image.width - across) / 2, 0.0), max((image.height - down) / 2, 0.0)
    box = (left, top, min(left + across, image.width), min(top + down, image.height))
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS, box=box)
