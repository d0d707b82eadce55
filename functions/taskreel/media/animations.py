"""Animated pictures (GIF, APNG, WebP) as clips: what moves in a browser moves in a film."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageSequence

from taskreel.domain.errors import PermanentError
from taskreel.media.camera import to_picture
from taskreel.media.encode import FilmWriter, to_even_size
from taskreel.media.open_media import open_image_header
from taskreel.media.sniff import detect_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_ANIMATED = {"GIF", "PNG", "WEBP"}
FASTEST_FPS = 50
#: Browsers show a frame without a time, or with one of up to 10 ms, for 100 ms.
SHORTEST_MS, USUAL_MS = 11, 100
#: Of an animation that no scene cuts, and of all its frames in total.
MOST_SECONDS, MOST_PIXELS = 120, 2_000_000_000


def is_animated(path: Path) -> bool:
    """True for a picture of several frames."""
    if detect_kind(path).reader not in _ANIMATED:
        return False
    with open_image_header(path) as image:
        return getattr(image, "n_frames", 1) > 1


@contextmanager
def animations_as_clips(
    paths: Sequence[Path], folder: Path, measure: Callable[[int], float] | None = None
) -> Iterator[list[Path]]:
    """Give the paths with each animated picture replaced by a clip, until the block ends.

    An animation starts again until the seconds are over that `measure` gives for its place in
    `paths`, and is cut there; where it gives 0, and without it, it is shown once. The clips are in
    `folder`, the run's own: it is removed even if this process is killed. Raises PermanentError for
    an animation that is too long or too large.
    """
    with tempfile.TemporaryDirectory(prefix="animations-", dir=folder) as name:
        clips = []
        for number, path in enumerate(paths):
            clip = path
            if is_animated(path):
                clip = Path(name) / f"{number}.mp4"
                _write_clip(path, clip, measure(number) if measure else 0.0)
            clips.append(clip)
        yield clips


def _write_clip(path: Path, out: Path, seconds: float) -> None:
    """Write an animation at a constant rate, transparent parts on white, in high quality."""
    with open_image_header(path) as image:
        # Before a frame is decoded: a small file may hold thousands of large ones.
        pixels = image.width * image.height * getattr(image, "n_frames", 1)
        if pixels > MOST_PIXELS:
            raise PermanentError(
                f"{path.name} has {pixels:,} pixels in all its frames; an animation may have"
                f" {MOST_PIXELS:,}. Use a video.",
                code="media_too_large",
                file=path.name,
            )
        shown = [_read_milliseconds(frame) for frame in ImageSequence.Iterator(image)]
        wanted = seconds or sum(shown) / 1000
        if not seconds and wanted > MOST_SECONDS:
            raise PermanentError(
                f"{path.name} lasts {wanted:g} s; an animation may last {MOST_SECONDS} s. Use a"
                " video.",
                code="media_too_large",
                file=path.name,
            )
        fps = min(FASTEST_FPS, max(1, round(1000 / min(shown))))
        size = to_even_size(max(image.width, 16), max(image.height, 16))
        with FilmWriter(out, size=size, fps=fps, quality="high", sound=False) as film:
            total, added, ends = max(1, round(wanted * fps)), 0, 0
            for number, milliseconds in itertools.cycle(enumerate(shown)):
                image.seek(number)
                picture = to_picture(_lay_on_white(image, size))
                ends += milliseconds
                until = min(total, round(ends / 1000 * fps))
                for _ in range(added, until):
                    film.add_picture(picture)
                added = max(added, until)
                if added == total:
                    return


def _read_milliseconds(frame: Image.Image) -> int:
    frame.load()  # the time of a frame of WebP is known once it is decoded
    given = round(frame.info.get("duration") or 0)
    return given if given >= SHORTEST_MS else USUAL_MS


def _lay_on_white(frame: Image.Image, size: tuple[int, int]) -> Image.Image:
    paper = Image.new("RGBA", frame.size, "white")
    shown = Image.alpha_composite(paper, frame.convert("RGBA")).convert("RGB")
    return shown if shown.size == size else shown.resize(size, Image.Resampling.LANCZOS)
