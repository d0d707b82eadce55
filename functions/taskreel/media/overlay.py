"""Titles, captions and credits: drawn once, then blended onto each picture that shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from PIL.ImageFont import FreeTypeFont

from taskreel.media.camera import to_picture
from taskreel.media.encode import Picture, Size
from taskreel.media.fonts import load_font, remove_undrawable
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
    face = _load_caption_font(text, size)
    sheet = Image.new("RGBA", size)
    draw = ImageDraw.Draw(sheet)
    lines = "\n".join(wrap_text(text, face, _compute_caption_width(face, size)))
    place = (size[0] / 2, size[1] * 0.945)
    box = draw.multiline_textbbox(
        place, lines, font=face, anchor="md", align="center", spacing=unit * 0.012
    )
    pad = unit * 0.018
    draw.rounded_rectangle(
        (box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad), unit * 0.014, fill=(8, 8, 10, 150)
    )
    draw.multiline_text(
        place, lines, font=face, anchor="md", align="center", spacing=unit * 0.012, fill="white"
    )
    return _to_overlay(sheet)


def draw_title(text: str, subtitle: str, size: Size) -> Overlay:
    """Draw a large title in the middle, a line and a subtitle, with a soft shadow."""
    text, subtitle = remove_undrawable(text), remove_undrawable(subtitle)
    unit = min(size)
    big = _fit_title_font(text, size, unit * 0.115, unit * 0.06)
    small = load_font(max(9, round(unit * 0.042)), subtitle)
    sheet = Image.new("RGBA", size)
    draw = ImageDraw.Draw(sheet)
    lines = "\n".join(wrap_text(text, big, size[0] * 0.84)[:3])
    middle = (size[0] / 2, size[1] * (0.46 if subtitle else 0.5))
    draw.multiline_text(
        middle, lines, font=big, anchor="mm", align="center", spacing=unit * 0.02, fill="white"
    )
    box = draw.multiline_textbbox(
        middle, lines, font=big, anchor="mm", align="center", spacing=unit * 0.02
    )
    if subtitle:
        y = box[3] + unit * 0.05
        draw.line(
            (size[0] / 2 - unit * 0.09, y, size[0] / 2 + unit * 0.09, y),
            fill=(255, 255, 255, 200),
            width=max(1, unit // 300),
        )
        rest = "\n".join(wrap_text(subtitle, small, size[0] * 0.8)[:3])
        draw.multiline_text(
            (size[0] / 2, y + unit * 0.04),
            rest,
            font=small,
            anchor="ma",
            align="center",
            fill=(255, 255, 255, 225),
        )
    return _to_overlay(_add_shadow(sheet, unit))


def draw_credits(lines: Sequence[str], size: Size) -> Overlay:
    """Draw closing lines, centred one under another."""
    unit = min(size)
    shown = [remove_undrawable(line) for line in lines]
    face = load_font(max(9, round(unit * 0.046)), "\n".join(shown))
    sheet = Image.new("RGBA", size)
    text = "\n".join(part for line in shown for part in wrap_text(line, face, size[0] * 0.8))
    ImageDraw.Draw(sheet).multiline_text(
        (size[0] / 2, size[1] / 2),
        text,
        font=face,
        anchor="mm",
        align="center",
        spacing=unit * 0.03,
        fill="white",
    )
    return _to_overlay(_add_shadow(sheet, unit))


def schedule_captions(text: str, size: Size, first: int, last: int) -> list[TimedOverlay]:
    """Spread a text's phrases over a span of frames, each as long as its share of the letters."""
    text = remove_undrawable(text)
    face = _load_caption_font(text, size)
    letter = face.getlength(text) / max(len(text), 1) or 1
    # Nine tenths: words do not break exactly at the end of a line.
    fitting = 0.9 * CAPTION_LINES * _compute_caption_width(face, size) / letter
    phrases = split_phrases(text, min(fitting, CAPTION_LINES * CAPTION_LETTERS))
    return [
        TimedOverlay(draw_caption(phrase, size), round(at), round(until))
        for phrase, at, until in time_phrases(phrases, first, last)
    ]


def wrap_text(text: str, face: FreeTypeFont, width: float) -> list[str]:
    """Break a text into lines of about equal length, no wider than `width` pixels."""
    return balance_lines(text, width, face.getlength)


def _load_caption_font(text: str, size: Size) -> FreeTypeFont:
    return load_font(max(10, round(min(size) * 0.046)), text)


def _compute_caption_width(face: FreeTypeFont, size: Size) -> float:
    return min(size[0] * CAPTION_WIDTH, CAPTION_LETTERS * face.getlength("n"))


def _fit_title_font(text: str, size: Size, largest: float, smallest: float) -> FreeTypeFont:
    pixels = largest
    while (
        pixels > smallest
        and len(wrap_text(text, load_font(round(pixels), text), size[0] * 0.84)) > 2
    ):
        pixels *= 0.88
    return load_font(max(10, round(pixels)), text)


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
