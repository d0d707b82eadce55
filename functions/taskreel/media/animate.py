"""Turn pictures into a silent film: camera moves, cross-fades and an exact length, no AI model."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionOptions:
    """Length, size and camera work of an animation.

    Words like "zoom out" or "pan left" in `prompt` choose the move, else `seed` does. Odd sizes
    lose a pixel.
    """

    seconds: float
    width: int
    height: int
    fps: int = 30
    prompt: str = ""
    seed: int = 0
    quality: Quality = "standard"


def animate_pictures(
    images: Sequence[Path],
    options: MotionOptions,
    *,
    out: Path,
    on_progress: Callable[[float], None] | None = None,
) -> MediaInfo:
    """Make a silent film that shows `images` in turn.

    Raises PermanentError for no images, for unreadable ones, and for a length that is not over 0
    and at most 10 minutes.
    """
    fps = options.fps
    frames = count_frames(options.seconds, fps)
    if not images:
        raise PermanentError("A video needs at least one picture.", code="no_images")

    size = to_even_size(options.width, options.height)
    with FilmWriter(out, size=size, fps=fps, quality=options.quality, sound=False) as film:
        moves = choose_moves(options.prompt, options.seed, len(images))
        shots = zip(images, moves, strict=True)
        for number, picture in enumerate(
            prefetch_items(_draw_pictures(list(shots), size, frames, fps)), 1
        ):
            film.add_picture(picture)
            if on_progress and number % fps == 0:
                on_progress(number / frames)
    return probe_file(out)


def count_frames(seconds: float, fps: int) -> int:
    """Count a film's frames; raises PermanentError for a length or rate outside the limits."""
    if not (0 < seconds <= MAX_SECONDS and 1 <= fps <= MAX_FPS):
        message = (
            f"A video of {seconds:g} s at {fps} frames a second is not possible: the length must be"
            f" over 0 and at most {MAX_SECONDS} s, the rate 1 to {MAX_FPS}."
        )
        raise PermanentError(message, code="bad_duration")
    return max(1, round(seconds * fps))


def _draw_pictures(
    shots: list[tuple[Path, Move]], size: tuple[int, int], frames: int, fps: int
) -> Iterator[Picture]:
    """Draw all frames; at most two stills are in memory at a time."""
    each = frames / len(shots)
    fade = min(LONGEST_FADE_SECONDS * fps, each / 3) if len(shots) > 1 else 0.0
    before: tuple[StillPicture, Move, float] | None = None
    for index, (path, move) in enumerate(shots):
        still = StillPicture(open_picture(path), size)
        begin, end = index * each, (index + 1) * each
        length = end - begin + fade  # the move goes on while the next picture fades in
        for number in range(round(begin), round(end)):
            picture = still.render(move.view_at((number - begin) / length))
            if before is not None and number - begin < fade:
                old, old_move, old_begin = before
                behind = old.render(old_move.view_at((number - old_begin) / (each + fade)))
                picture = blend_pictures(behind, picture, (number - begin + 0.5) / fade)
            yield picture
        before = (still, move, begin)
