"""The shots of a film: where each one's pictures come from, and how one passes into the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from taskreel.media.camera import Move, StillPicture, blend_pictures
from taskreel.media.encode import Picture, Size
from taskreel.media.frames import FrameShape, read_clip_pictures
from taskreel.media.open_media import open_picture

Transition = Literal["cut", "fade", "dip", "slide", "wipe"]

BLACK_Y, BLACK_UV = 16, 128


@dataclass(frozen=True)
class Shot:
    """`frames` pictures from a source that is opened when the shot begins."""

    frames: int
    source: Callable[[int], Iterator[Picture]]

    def pictures(self) -> Iterator[Picture]:
        """Exactly `frames` pictures; the last one is held where the source is shorter."""
        shown = 0
        picture: Picture | None = None
        for picture in self.source(self.frames):
            yield picture
            shown += 1
            if shown == self.frames:
                return
        while picture is not None and shown < self.frames:
            yield picture.copy()
            shown += 1


def make_still_shot(path: Path, move: Move, frames: int, size: Size) -> Shot:
    """A camera move over a picture."""
    return Shot(frames, lambda count: _moved(open_picture(path), move, count, size))


def make_clip_shot(path: Path, frames: int, shape: FrameShape) -> Shot:
    """A clip from its beginning."""
    return Shot(frames, lambda _count: read_clip_pictures(path, shape))


def make_card_shot(background: Path | None, move: Move, frames: int, size: Size) -> Shot:
    """Ground for a title: the picture out of focus and dark, else a quiet gradient."""
    return Shot(frames, lambda count: _moved(_ground(background, size), move, count, size))


def join_shots(
    shots: Sequence[Shot], overlaps: Sequence[int], transition: Transition
) -> Iterator[Picture]:
    """All pictures in turn; `overlaps[i]` frames of shot i run together with the beginning of the next."""
    before: Iterator[Picture] = iter(())
    overlap = 0
    for index, shot in enumerate(shots):
        pictures = shot.pictures()
        for number in range(overlap):
            yield JOINS[transition](next(before), next(pictures), (number + 1) / (overlap + 1))
        following = overlaps[index] if index < len(shots) - 1 else 0
        for _ in range(shot.frames - overlap - following):
            yield next(pictures)
        before, overlap = pictures, following


def _moved(image: Image.Image, move: Move, count: int, size: Size) -> Iterator[Picture]:
    still = StillPicture(image, size)
    for number in range(count):
        yield still.view(move.at(number / max(count - 1, 1)))


def _ground(background: Path | None, size: Size) -> Image.Image:
    if background is None:
        ramp = np.linspace(0, 1, 64)[:, None, None] * np.array([14, 12, 26]) + np.array(
            [10, 12, 20]
        )
        return Image.fromarray(np.broadcast_to(ramp, (64, 64, 3)).astype(np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
    image = open_picture(background)
    image.thumbnail((size[0], size[1]))
    image = image.filter(ImageFilter.GaussianBlur(min(image.size) * 0.018))
    return ImageEnhance.Brightness(image).enhance(0.55)


def _fade(one: Picture, other: Picture, share: float) -> Picture:
    return blend_pictures(one, other, share * share * (3 - 2 * share))


def _dip(one: Picture, other: Picture, share: float) -> Picture:
    """Through black."""
    if share < 0.5:
        return blend_pictures(one, make_black(one.shape), share * 2)
    return blend_pictures(make_black(one.shape), other, share * 2 - 1)


def _slide(one: Picture, other: Picture, share: float) -> Picture:
    return _beside(one, other, share, moving=True)


def _wipe(one: Picture, other: Picture, share: float) -> Picture:
    return _beside(one, other, share, moving=False)


def _cut(one: Picture, other: Picture, share: float) -> Picture:
    return one if share < 0.5 else other


def _beside(one: Picture, other: Picture, share: float, *, moving: bool) -> Picture:
    """The new picture comes in from the right."""
    eased = share * share * (3 - 2 * share)
    result = np.empty_like(one)
    for old, new, out in zip(_views(one), _views(other), _views(result), strict=True):
        width = out.shape[1]
        edge = round(width * (1 - eased))
        out[:, :edge] = old[:, width - edge :] if moving else old[:, :edge]
        out[:, edge:] = new[:, : width - edge] if moving else new[:, edge:]
    return result


def _views(picture: Picture) -> tuple[Picture, Picture, Picture]:
    rows, width = picture.shape
    height = rows * 2 // 3
    flat = picture.reshape(-1)
    y, u = width * height, width * height // 4
    half = (height // 2, width // 2)
    return (
        flat[:y].reshape(height, width),
        flat[y : y + u].reshape(half),
        flat[y + u :].reshape(half),
    )


def make_black(shape: tuple[int, ...]) -> Picture:
    """A black picture."""
    picture = np.full(shape, BLACK_UV, np.uint8)
    picture[: shape[0] * 2 // 3] = BLACK_Y
    return picture


JOINS: dict[str, Callable[[Picture, Picture, float], Picture]] = {
    "cut": _cut,
    "fade": _fade,
    "dip": _dip,
    "slide": _slide,
    "wipe": _wipe,
}
