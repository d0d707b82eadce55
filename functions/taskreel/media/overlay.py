"""Titles, captions and credits: drawn once, then blended onto each picture that shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from taskreel.media.camera import to_picture
from taskreel.media.draw_text import Face
from taskreel.media.encode import Picture, Size
from taskreel.media.fonts import remove_undrawable
from taskreel.media.phrases import (
    CAPTION_LETTERS,
    CAPTION_LINES,
    balance_lines,
    split_phrases,
    time_phrases,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

CAPTION_WIDTH = 0.84  # of the picture
FADE_SECONDS = 0.25


@dataclass(frozen=True)
class Overlay:
    """A part of a picture with transparency: float32 planes and alphas, at an even corner."""

    left: int
    top: int
    planes: tuple[np.ndarray, np.ndarray, np.ndarray]
    alphas: tuple[np.ndarray, np.ndarray, np.ndarray]

    def blend_onto(self, picture: Picture, opacity: float) -> None:
        """Blend this onto a picture, in place."""
        rows, width = picture.shape
        height = rows * 2 // 3
        flat = picture.reshape(-1)
        start = 0
        for index, (plane, alpha) in enumerate(zip(self.planes, self.alphas, strict=True)):
            half = 1 if index == 0 else 2
            w, h = width // half, height // half
            view = flat[start : start + w * h].reshape(h, w)
            x, y = self.left // half, self.top // half
            part = view[y : y + plane.shape[0], x : x + plane.shape[1]]
            part[:] = (part + (plane - part) * (alpha * opacity) + 0.5).astype(np.uint8)
            start += w * h


@dataclass(frozen=True)
class TimedOverlay:
    """An overlay and the frames that show it: `first` to before `last`."""

    overlay: Overlay
    first: int
    last: int

    def compute_opacity(self, frame: int, fade: int) -> float:
        """Return 0 to 1; over `fade` frames it rises at the start and falls at the end."""
        if not self.first <= frame < self.last:
            return 0.0
        return min(1.0, (frame - self.first + 1) / fade, (self.last - frame) / fade)


def draw_caption(text: str, size: Size) -> Overlay:
    """Draw a phrase near the bottom, in lines of about equal length on a dark band."""
    unit = min(size)
    face = _make_caption_face(size)
    sheet = Image.new("RGBA", size)
    draw = ImageDraw.Draw(sheet)
    lines = wrap_text(text, face, _compute_caption_width(face, size))
    place, spacing = (size[0] / 2, size[1] * 0.945), unit * 0.012
    box = face.find_box(place, lines, anchor="bottom", spacing=spacing)
    pad = unit * 0.018
    draw.rounded_rectangle(
        (box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad), unit * 0.014, fill=(8, 8, 10, 150)
    )
    face.draw_lines(draw, place, lines, anchor="bottom", spacing=spacing, fill="white")
    return _to_overlay(sheet)


def draw_title(text: str, subtitle: str, size: Size) -> Overlay:
    """Draw a large title in the middle, a line and a subtitle, with a soft shadow."""
    text, subtitle = remove_undrawable(text), remove_undrawable(subtitle)
    unit = min(size)
    big = _fit_title_face(text, size, unit * 0.115, unit * 0.06)
    small = Face(max(9, round(unit * 0.042)))
    sheet = Image.new("RGBA", size)
    draw = ImageDraw.Draw(sheet)
    lines = wrap_text(text, big, size[0] * 0.84)[:3]
    middle, spacing = (size[0] / 2, size[1] * (0.46 if subtitle else 0.5)), unit * 0.02
    big.draw_lines(draw, middle, lines, anchor="middle", spacing=spacing, fill="white")
    box = big.find_box(middle, lines, anchor="middle", spacing=spacing)
    if subtitle:
        y = box[3] + unit * 0.05
        draw.line(
            (size[0] / 2 - unit * 0.09, y, size[0] / 2 + unit * 0.09, y),
            fill=(255, 255, 255, 200),
            width=max(1, unit // 300),
        )
        rest = wrap_text(subtitle, small, size[0] * 0.8)[:3]
        below = (size[0] / 2, y + unit * 0.04)
        small.draw_lines(
            draw, below, rest, anchor="top", spacing=unit * 0.012, fill=(255, 255, 255, 225)
        )
    return _to_overlay(_add_shadow(sheet, unit))


def draw_credits(lines: Sequence[str], size: Size) -> Overlay:
    """Draw closing lines, centred one under another."""
    unit = min(size)
    face = Face(max(9, round(unit * 0.046)))
    sheet = Image.new("RGBA", size)
    shown = [
        part for line in lines for part in wrap_text(remove_undrawable(line), face, size[0] * 0.8)
    ]
    middle = (size[0] / 2, size[1] / 2)
    draw = ImageDraw.Draw(sheet)
    face.draw_lines(draw, middle, shown, anchor="middle", spacing=unit * 0.03, fill="white")
    return _to_overlay(_add_shadow(sheet, unit))


def schedule_captions(text: str, size: Size, first: int, last: int) -> list[TimedOverlay]:
    """Spread a text's phrases over a span of frames, each as long as its share of the letters."""
    text = remove_undrawable(text)
    face = _make_caption_face(size)
    letter = face.measure(text) / max(len(text), 1) or 1
    # Nine tenths: words do not break exactly at the end of a line.
    fitting = 0.9 * CAPTION_LINES * _compute_caption_width(face, size) / letter
    phrases = split_phrases(text, min(fitting, CAPTION_LINES * CAPTION_LETTERS))
    return [
        TimedOverlay(draw_caption(phrase, size), round(at), round(until))
        for phrase, at, until in time_phrases(phrases, first, last)
    ]


def wrap_text(text: str, face: Face, width: float) -> list[str]:
    """Break a text into lines of about equal length, no wider than `width` pixels."""
    return balance_lines(text, width, face.measure)


def _make_caption_face(size: Size) -> Face:
    return Face(max(10, round(min(size) * 0.046)))


def _compute_caption_width(face: Face, size: Size) -> float:
    return min(size[0] * CAPTION_WIDTH, CAPTION_LETTERS * face.measure("n"))


def _fit_title_face(text: str, size: Size, largest: float, smallest: float) -> Face:
    pixels = largest
    while pixels > smallest and len(wrap_text(text, Face(round(pixels)), size[0] * 0.84)) > 2:
        pixels *= 0.88
    return Face(max(10, round(pixels)))


def _add_shadow(sheet: Image.Image, unit: int) -> Image.Image:
    alpha = sheet.getchannel("A").filter(ImageFilter.GaussianBlur(unit * 0.012))
    shadow = Image.new("RGBA", sheet.size, (0, 0, 0, 255))
    shadow.putalpha(alpha.point([min(255, round(level * 1.6)) for level in range(256)]))
    return Image.alpha_composite(shadow, sheet)


def _to_overlay(sheet: Image.Image) -> Overlay:
    box = sheet.getbbox() or (0, 0, 2, 2)
    left, top = box[0] - box[0] % 2, box[1] - box[1] % 2
    right, bottom = min(box[2] + box[2] % 2, sheet.width), min(box[3] + box[3] % 2, sheet.height)
    part = sheet.crop((left, top, right, bottom))
    width, height = part.size
    alpha = part.getchannel("A")
    flat = to_picture(part.convert("RGB")).ravel().astype(np.float32)
    sizes = (width * height, width * height // 4, width * height // 4)
    y, u, v = np.split(flat, np.cumsum(sizes)[:2])
    half = np.asarray(alpha.reduce(2), np.float32) / 255
    chroma = (height // 2, width // 2)
    planes = (y.reshape(height, width), u.reshape(chroma), v.reshape(chroma))
    return Overlay(left, top, planes, (np.asarray(alpha, np.float32) / 255, half, half))
