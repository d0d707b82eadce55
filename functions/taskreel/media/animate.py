"""Image to video without a network: camera moves over the pictures, cross-faded, to the exact length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskreel.domain.errors import PermanentError
from taskreel.media.camera import Move, StillPicture, blend_pictures, choose_moves
from taskreel.media.encode import FilmWriter, Picture, Quality, to_even_size
from taskreel.media.open_media import open_picture
from taskreel.media.prefetch import prefetch_items
from taskreel.media.probe import MediaInfo, probe_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

LONGEST_FADE_SECONDS = 0.9
MAX_SECONDS = 600
MAX_FPS = 60


def animate_pictures(  # noqa: PLR0913  # the options of one piece of work
    images: Sequence[Path],
    *,
    prompt: str = "",
    seed: int = 0,
    seconds: float,
    width: int,
    height: int,
    fps: int = 30,
    out: Path,
    quality: Quality = "standard",
    on_progress: Callable[[float], None] | None = None,
) -> MediaInfo:
    """A silent film of `seconds` that shows `images` in turn; odd sizes lose a pixel.

    Words like "zoom out" or "pan left" in `prompt` choose the move, else the seed does. Raises PermanentError for no
    images, unreadable ones, or a length that is not over 0 and at most 10 minutes.
    """
    frames = count_frames(seconds, fps)
    if not images:
        raise PermanentError("At least one picture is needed to make a film.", code="no_images")
    size = to_even_size(width, height)
    with FilmWriter(out, size=size, fps=fps, quality=quality, sound=False) as film:
        shots = zip(images, choose_moves(prompt, seed, len(images)), strict=True)
        for number, picture in enumerate(
            prefetch_items(_pictures(list(shots), size, frames, fps)), 1
        ):
            film.picture(picture)
            if on_progress and number % fps == 0:
                on_progress(number / frames)
    return probe_file(out)


def count_frames(seconds: float, fps: int) -> int:
    """Frames of a film; raises PermanentError for a length or rate outside the limits."""
    if not (0 < seconds <= MAX_SECONDS and 1 <= fps <= MAX_FPS):
        message = f"A film is up to {MAX_SECONDS} s long at 1 to {MAX_FPS} frames a second, not {seconds:g} s at {fps}."
        raise PermanentError(message, code="bad_duration")
    return max(1, round(seconds * fps))


def _pictures(
    shots: list[tuple[Path, Move]], size: tuple[int, int], frames: int, fps: int
) -> Iterator[Picture]:
    """All frames; at most two stills are in memory at a time."""
    each = frames / len(shots)
    fade = min(LONGEST_FADE_SECONDS * fps, each / 3) if len(shots) > 1 else 0.0
    before: tuple[StillPicture, Move, float] | None = None
    for index, (path, move) in enumerate(shots):
        still = StillPicture(open_picture(path), size)
        begin, end = index * each, (index + 1) * each
        length = end - begin + fade  # it moves on while the next one fades in
        for number in range(round(begin), round(end)):
            picture = still.view(move.at((number - begin) / length))
            if before is not None and number - begin < fade:
                old, old_move, old_begin = before
                behind = old.view(old_move.at((number - old_begin) / (each + fade)))
                picture = blend_pictures(behind, picture, (number - begin + 0.5) / fade)
            yield picture
        before = (still, move, begin)
