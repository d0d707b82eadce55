"""Words on a film: titles, captions and credits, drawn once and laid over as many pictures as show them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from taskreel.media.moves import to_picture
from taskreel.media.writing import Picture, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

CAPTION_LINES = 2
CAPTION_LETTERS = 42  # a line; what subtitlers use
FADE_SECONDS = 0.25


@dataclass(frozen=True)
class Overlay:
    """Part of a picture with its own transparency; planes and alphas as float32, the corner even."""

    left: int
    top: int
    planes: tuple[np.ndarray, np.ndarray, np.ndarray]
    alphas: tuple[np.ndarray, np.ndarray, np.ndarray]

    def lay(self, picture: Picture, opacity: float) -> None:
        """Onto a picture, in place."""
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
class Showing:
    """An overlay and the frames it is seen in."""

    overlay: Overlay
    first: int
    last: int

    def opacity(self, frame: int, fade: int) -> float:
        """0…1, with soft ends."""
        if not self.first <= frame < self.last:
            return 0.0
        return min(1.0, (frame - self.first + 1) / fade, (self.last - frame) / fade)


def caption(text: str, size: Size) -> Overlay:
    """One or two lines near the foot on a dark band."""
    unit = min(size)
    font = _font(max(10, round(unit * 0.042)))
    sheet = Image.new("RGBA", size)
    draw = ImageDraw.Draw(sheet)
    lines = "\n".join(wrapped(text, font, size[0] * 0.84)[:CAPTION_LINES])
    place = (size[0] / 2, size[1] * 0.945)
    box = draw.multiline_textbbox(place, lines, font=font, anchor="md", align="center", spacing=unit * 0.012)
    pad = unit * 0.018
    draw.rounded_rectangle((box[0] - pad, box[1] - pad, box[2] + pad, box[3] + pad), unit * 0.014, fill=(8, 8, 10, 150))
    draw.multiline_text(place, lines, font=font, anchor="md", align="center", spacing=unit * 0.012, fill="white")
    return _overlay(sheet)


def title(text: str, subtitle: str, size: Size) -> Overlay:
    """A large title in the middle, a line, a subtitle; softly shadowed."""
    unit = min(size)
    big = _fitting(text, size, unit * 0.115, unit * 0.06)
    small = _font(max(9, round(unit * 0.042)))
    sheet = Image.new("RGBA", size)
    draw = ImageDraw.Draw(sheet)
    lines = "\n".join(wrapped(text, big, size[0] * 0.84)[:3])
    middle = (size[0] / 2, size[1] * (0.46 if subtitle else 0.5))
    draw.multiline_text(middle, lines, font=big, anchor="mm", align="center", spacing=unit * 0.02, fill="white")
    box = draw.multiline_textbbox(middle, lines, font=big, anchor="mm", align="center", spacing=unit * 0.02)
    if subtitle:
        y = box[3] + unit * 0.05
        draw.line(
            (size[0] / 2 - unit * 0.09, y, size[0] / 2 + unit * 0.09, y),
            fill=(255, 255, 255, 200),
            width=max(1, unit // 300),
        )
        rest = "\n".join(wrapped(subtitle, small, size[0] * 0.8)[:3])
        draw.multiline_text(
            (size[0] / 2, y + unit * 0.04), rest, font=small, anchor="ma", align="center", fill=(255, 255, 255, 225)
        )
    return _overlay(_shadowed(sheet, unit))


def credits_roll(lines: Sequence[str], size: Size) -> Overlay:
    """Closing lines, centred one under another."""
    unit = min(size)
    font = _font(max(9, round(unit * 0.046)))
    sheet = Image.new("RGBA", size)
    text = "\n".join(part for line in lines for part in wrapped(line, font, size[0] * 0.8))
    ImageDraw.Draw(sheet).multiline_text(
        (size[0] / 2, size[1] / 2), text, font=font, anchor="mm", align="center", spacing=unit * 0.03, fill="white"
    )
    return _overlay(_shadowed(sheet, unit))


def phrases(text: str) -> list[str]:
    """A text cut where one breathes, each part short enough for one caption."""
    most = CAPTION_LINES * CAPTION_LETTERS
    parts: list[str] = []
    for sentence in re.split(r"(?<=[.!?…;:])\s+", " ".join(text.split())):
        words, line = sentence.split(" "), ""
        for word in words:
            if line and len(line) + 1 + len(word) > most:
                parts.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        if line:
            parts.append(line)
    return parts


def captions(text: str, size: Size, first: int, last: int) -> list[Showing]:
    """The phrases of a text over a span of frames, each for as long as its share of the letters."""
    parts = phrases(text)
    total = sum(len(part) + 8 for part in parts)  # 8: even a short word needs a moment
    showings, at = [], float(first)
    for part in parts:
        until = at + (last - first) * (len(part) + 8) / total
        showings.append(Showing(caption(part, size), round(at), round(until)))
        at = until
    return showings


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """The text in lines no wider than `width` pixels where words allow, of about equal length."""
    words = text.split()
    lines = _greedy(words, font, width)
    if len(lines) > 1:  # a narrower column with as many lines looks balanced
        for share in (0.6, 0.7, 0.8, 0.9):
            even = _greedy(words, font, width * share)
            if len(even) == len(lines):
                return even
    return lines


def _greedy(words: list[str], font: Font, width: float) -> list[str]:
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _fitting(text: str, size: Size, largest: float, smallest: float) -> Font:
    pixels = largest
    while pixels > smallest and len(wrapped(text, _font(round(pixels)), size[0] * 0.84)) > 2:
        pixels *= 0.88
    return _font(max(10, round(pixels)))


def _font(pixels: int) -> Font:
    return ImageFont.load_default(pixels)


def _shadowed(sheet: Image.Image, unit: int) -> Image.Image:
    alpha = sheet.getchannel("A").filter(ImageFilter.GaussianBlur(unit * 0.012))
    shadow = Image.new("RGBA", sheet.size, (0, 0, 0, 255))
    shadow.putalpha(alpha.point([min(255, round(level * 1.6)) for level in range(256)]))
    return Image.alpha_composite(shadow, sheet)


def _overlay(sheet: Image.Image) -> Overlay:
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
