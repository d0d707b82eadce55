"""The shots of a film: the source of each one's pictures, and the transitions between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from taskreel.media.camera import Move, StillPicture, blend_pictures
from taskreel.media.encode import Picture, Size
from taskreel.media.frame_filters import FrameShape
from taskreel.media.frames import read_clip_pictures
from taskreel.media.open_media import open_picture

Transition = Literal["cut", "fade", "dip", "slide", "wipe"]

BLACK_Y, BLACK_UV = 16, 128


@dataclass(frozen=True)
class Shot:
    """`frames` pictures from a source, which is opened when the shot starts: few are open."""

    frames: int
    source: Callable[[int], Iterator[Picture]]

    def read_pictures(self) -> Iterator[Picture]:
        """Return exactly `frames` pictures; a shorter source repeats its last one."""
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
    """Return a shot of a camera move over a picture."""
    return Shot(frames, lambda count: _render_move(open_picture(path), move, count, size))


def make_clip_shot(path: Path, frames: int, shape: FrameShape) -> Shot:
    """Return a shot of a clip from its start."""
    return Shot(frames, lambda _count: read_clip_pictures(path, shape))


def make_card_shot(background: Path | None, move: Move, frames: int, size: Size) -> Shot:
    """Return a background for a title: the picture blurred and dark, else a gradient."""
    return Shot(
        frames, lambda count: _render_move(_make_background(background, size), move, count, size)
    )


def join_shots(
    shots: Sequence[Shot], overlaps: Sequence[int], transition: Transition
) -> Iterator[Picture]:
    """Return all pictures; the last `overlaps[i]` frames of shot i blend into the next shot."""
    before: Iterator[Picture] = iter(())
    overlap = 0
    for index, shot in enumerate(shots):
        pictures = shot.read_pictures()
        for number in range(overlap):
            yield JOINS[transition](next(before), next(pictures), (number + 1) / (overlap + 1))
        following = overlaps[index] if index < len(shots) - 1 else 0
        for _ in range(shot.frames - overlap - following):
            yield next(pictures)
        before, overlap = pictures, following


def _render_move(image: Image.Image, move: Move, count: int, size: Size) -> Iterator[Picture]:
    still = StillPicture(image, size)
    for number in range(count):
        yield still.render(move.view_at(number / max(count - 1, 1)))


def _make_background(background: Path | None, size: Size) -> Image.Image:
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


def _cross_fade(one: Picture, other: Picture, share: float) -> Picture:
    return blend_pictures(one, other, share * share * (3 - 2 * share))


def _fade_through_black(one: Picture, other: Picture, share: float) -> Picture:
    """Fade to black, then from black."""
    if share < 0.5:
        return blend_pictures(one, make_black(one.shape), share * 2)
    return blend_pictures(make_black(one.shape), other, share * 2 - 1)


def _slide_over(one: Picture, other: Picture, share: float) -> Picture:
    return _slide_in(one, other, share, moving=True)


def _wipe_over(one: Picture, other: Picture, share: float) -> Picture:
    return _slide_in(one, other, share, moving=False)


def _cut_over(one: Picture, other: Picture, share: float) -> Picture:
    return one if share < 0.5 else other


def _slide_in(one: Picture, other: Picture, share: float, *, moving: bool) -> Picture:
    """Bring the new picture in from the right."""
    eased = share * share * (3 - 2 * share)
    result = np.empty_like(one)
    for old, new, out in zip(
        _split_planes(one), _split_planes(other), _split_planes(result), strict=True
    ):
        width = out.shape[1]
        edge = round(width * (1 - eased))
        out[:, :edge] = old[:, width - edge :] if moving else old[:, :edge]
        out[:, edge:] = new[:, : width - edge] if moving else new[:, edge:]
    return result


def _split_planes(picture: Picture) -> tuple[Picture, Picture, Picture]:
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
    """Return a black picture."""
    picture = np.full(shape, BLACK_UV, np.uint8)
    picture[: shape[0] * 2 // 3] = BLACK_Y
    return picture


JOINS: dict[str, Callable[[Picture, Picture, float], Picture]] = {
    "cut": _cut_over,
    "fade": _cross_fade,
    "dip": _fade_through_black,
    "slide": _slide_over,
    "wipe": _wipe_over,
}
