"""Join clips of any size, rate and sound into one film."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskreel.domain.errors import PermanentError
from taskreel.media.audio_io import SoundReader
from taskreel.media.encode import FilmWriter, Quality, Size, to_even_size
from taskreel.media.frames import FrameShape, read_clip_frames
from taskreel.media.open_media import open_stream
from taskreel.media.prefetch import prefetch_items
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.sound_track import SOUND_RATE, make_sound_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StitchOptions:
    """Size, rate and quality of a joined film; without a size it has that of the first clip.

    Clips of another shape get bars, or are cropped with `fill`.
    """

    width: int | None = None
    height: int | None = None
    fps: int = 30
    fill: bool = False
    quality: Quality = "standard"


def stitch_videos(
    clips: Sequence[Path],
    *,
    out: Path,
    options: StitchOptions | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> MediaInfo:
    """Join clips to a .mp4, .mov or .webm file.

    Each clip's sound is cut or filled up with silence to the length of its pictures. Raises
    PermanentError for no clips and for files without pictures.
    """
    options = options or StitchOptions()
    if not clips:
        raise PermanentError(
            "There is nothing to join: at least one video is needed.", code="no_inputs"
        )

    shape = FrameShape(_choose_size(clips[0], options), options.fps, options.fill)
    audible = [_has_sound(clip) for clip in clips]
    with FilmWriter(
        out, size=shape.size, fps=shape.fps, quality=options.quality, sound=any(audible)
    ) as film:
        for index, clip in enumerate(clips):
            reader = SoundReader.open(clip) if audible[index] else None
            _append_clip(film, clip, shape, reader)
            if on_progress:
                on_progress((index + 1) / len(clips))
    return probe_file(out)


def _choose_size(first: Path, options: StitchOptions) -> Size:
    if options.width and options.height:
        return to_even_size(options.width, options.height)
    info = probe_file(first)
    return to_even_size(options.width or info.width or 1280, options.height or info.height or 720)


def _append_clip(
    film: FilmWriter, clip: Path, shape: FrameShape, reader: SoundReader | None
) -> None:
    """Append one clip, its sound in step with its pictures: the muxer holds what is ahead."""
    for number, frame in enumerate(prefetch_items(read_clip_frames(clip, shape)), 1):
        film.add_frame(frame)
        if number % shape.fps == 0:
            _add_sound_to_pictures(film, reader)
    _add_sound_to_pictures(film, reader)


def _add_sound_to_pictures(film: FilmWriter, reader: SoundReader | None) -> None:
    missing = round(film.seconds * SOUND_RATE) - round(film.sound_seconds * SOUND_RATE)
    if reader is None:
        film.add_silence_until(film.seconds)
    elif missing > 0:
        film.add_sound([make_sound_frame(reader.read(missing))])


def _has_sound(clip: Path) -> bool:
    with open_stream(clip, need="video") as container:
        return bool(container.streams.audio)
