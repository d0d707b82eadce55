"""Animated pictures (GIF, APNG, WebP) as clips: what moves in a browser moves in a film."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageSequence

from taskreel.media.camera import to_picture
from taskreel.media.encode import FilmWriter, to_even_size
from taskreel.media.open_media import open_image_header
from taskreel.media.sniff import detect_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ANIMATED = {"GIF", "PNG", "WEBP"}
FASTEST_FPS = 50
#: Browsers show a frame without a time, or with one of up to 10 ms, for 100 ms.
SHORTEST_MS, USUAL_MS = 11, 100


def is_animated(path: Path) -> bool:
    """True for a picture of several frames."""
    if detect_kind(path).reader not in _ANIMATED:
        return False
    with open_image_header(path) as image:
        return getattr(image, "n_frames", 1) > 1


@contextmanager
def animations_as_clips(
    paths: Sequence[Path], seconds: Sequence[float] | None = None
) -> Iterator[list[Path]]:
    """Give the paths with each animated picture replaced by a clip, until the block ends.

    An animation starts again until it has lasted its `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="taskreel-animations-") as folder:
        clips = []
        for number, path in enumerate(paths):
            clip = path
            if is_animated(path):
                clip = Path(folder) / f"{number}.mp4"
                _write_clip(path, clip, seconds[number] if seconds else 0.0)
            clips.append(clip)
        yield clips


def _write_clip(path: Path, out: Path, at_least: float) -> None:
    """Write an animation at a constant rate, transparent parts on white, in high quality."""
    with open_image_header(path) as image:
        shown = [_read_milliseconds(frame) for frame in ImageSequence.Iterator(image)]
        fps = min(FASTEST_FPS, max(1, round(1000 / min(shown))))
        size = to_even_size(max(image.width, 16), max(image.height, 16))
        with FilmWriter(out, size=size, fps=fps, quality="high", sound=False) as film:
            while True:
                ends = 0
                start = film.seconds
                for number, milliseconds in enumerate(shown):
                    image.seek(number)
                    picture = to_picture(_lay_on_white(image, size))
                    ends += milliseconds
                    while round((film.seconds - start) * fps) < max(1, round(ends / 1000 * fps)):
                        film.add_picture(picture)
                if film.seconds >= at_least:
                    return


def _read_milliseconds(frame: Image.Image) -> int:
    frame.load()  # the time of a frame of WebP is known once it is decoded
    given = round(frame.info.get("duration") or 0)
    return given if given >= SHORTEST_MS else USUAL_MS


def _lay_on_white(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    paper = Image.new("RGBA", frame.size, "white")
    shown = Image.alpha_composite(paper, frame.convert("RGBA")).convert("RGB")
    return shown if shown.size == size else shown.resize(size, Image.Resampling.LANCZOS)
