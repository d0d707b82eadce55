"""Clips of any size, rate and sound, one after another in one film."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskreel.domain.errors import PermanentError
from taskreel.media.audio_io import SoundReader
from taskreel.media.encode import SOUND_RATE, FilmWriter, Quality, make_sound_frame, to_even_size
from taskreel.media.frames import FrameShape, read_clip_frames
from taskreel.media.open_media import open_stream
from taskreel.media.prefetch import prefetch_items
from taskreel.media.probe import MediaInfo, probe_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def stitch_videos(  # noqa: PLR0913  # the options of one piece of work
    clips: Sequence[Path],
    *,
    out: Path,
    width: int | None = None,
    height: int | None = None,
    fps: int = 30,
    fill: bool = False,
    quality: Quality = "standard",
    on_progress: Callable[[float], None] | None = None,
) -> MediaInfo:
    """The clips in turn as .mp4, .mov or .webm; the first one's size where none is given.

    Other shapes get bars, or are cropped with `fill`. A clip without sound is silent for its length; the sound of each
    is cut or filled up to its pictures. Raises PermanentError for no clips and for files without pictures.
    """
    if not clips:
        raise PermanentError("At least one clip is needed to stitch.", code="no_inputs")
    if width is None or height is None:
        first = probe_file(clips[0])
        width, height = width or first.width or 1280, height or first.height or 720
    shape = FrameShape(to_even_size(width, height), fps, fill)
    heard = [_has_sound(clip) for clip in clips]
    with FilmWriter(out, size=shape.size, fps=fps, quality=quality, sound=any(heard)) as film:
        for index, clip in enumerate(clips):
            _append(film, clip, shape, SoundReader.of(clip) if heard[index] else None)
            if on_progress:
                on_progress((index + 1) / len(clips))
    return probe_file(out)


def _append(film: FilmWriter, clip: Path, shape: FrameShape, reader: SoundReader | None) -> None:
    """One clip, its sound read along with its pictures so that neither runs ahead."""
    for number, frame in enumerate(prefetch_items(read_clip_frames(clip, shape)), 1):
        film.frame(frame)
        if number % shape.fps == 0:
            _sound_until(film, reader)
    _sound_until(film, reader)


def _sound_until(film: FilmWriter, reader: SoundReader | None) -> None:
    missing = round(film.seconds * SOUND_RATE) - round(film.sound_seconds * SOUND_RATE)
    if reader is None:
        film.silence_until(film.seconds)
    elif missing > 0:
        film.sound([make_sound_frame(reader.read(missing))])


def _has_sound(clip: Path) -> bool:
    with open_stream(clip, need="video") as container:
        return bool(container.streams.audio)
