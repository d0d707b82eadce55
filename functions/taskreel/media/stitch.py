"""Join clips of any size, rate and sound into one film.

Clips that are alike are copied, packet by packet: nothing is encoded again.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from taskreel.domain.errors import PermanentError
from taskreel.media.animations import animations_as_clips
from taskreel.media.audio_io import SoundReader
from taskreel.media.copy_streams import can_be_copied, copy_clips
from taskreel.media.encode import FilmWriter, Quality, Size, find_film_format, to_even_size
from taskreel.media.frame_filters import Fit, FrameShape
from taskreel.media.frames import read_clip_frames, read_frame_rate
from taskreel.media.open_media import open_stream
from taskreel.media.prefetch import prefetch_items
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.sound_track import SOUND_RATE, make_sound_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class StitchOptions:
    """Size, rate and quality of a joined film.

    What is None is as in the first clip; a quality always encodes. `fit` is for clips of another
    shape.
    """

    width: int | None = None
    height: int | None = None
    fps: int | None = None
    fit: Fit = "contain"
    quality: Quality | None = None

    @property
    def as_it_is(self) -> bool:
        """True if clips that are alike need no change."""
        return not (self.width or self.height or self.fps or self.quality)


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
    find_film_format(out)  # refuse before the work, not after it
    with animations_as_clips(clips, out.parent) as shown:
        return _join_clips(shown, out, options, on_progress)


def _join_clips(
    clips: Sequence[Path],
    out: Path,
    options: StitchOptions,
    on_progress: Callable[[float], None] | None,
) -> MediaInfo:
    if options.as_it_is and can_be_copied(clips, out):
        copy_clips(clips, out, on_progress)
        return probe_file(out)

    fps = Fraction(options.fps) if options.fps else read_frame_rate(clips[0])
    shape = FrameShape(_choose_size(clips[0], options), fps, options.fit)
    audible = [_has_sound(clip) for clip in clips]
    quality = options.quality or "standard"
    with FilmWriter(
        out, size=shape.size, fps=shape.fps, quality=quality, sound=any(audible)
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
    second = max(1, round(shape.fps))
    for number, frame in enumerate(prefetch_items(read_clip_frames(clip, shape)), 1):
        film.add_frame(frame)
        if number % second == 0:
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
