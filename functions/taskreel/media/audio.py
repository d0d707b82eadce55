"""Sound files: to another format, one after another, and a voice over music."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from taskreel.domain.errors import PermanentError
from taskreel.media.audio_io import (
    Samples,
    SoundReader,
    SoundWriter,
    measure_sound_seconds,
    read_audio_frames,
    to_samples,
)
from taskreel.media.encode import SOUND_RATE
from taskreel.media.loudness import TARGET_LUFS, LoudnessMeter
from taskreel.media.mix import MusicBed, SoundClip, apply_gain, mix_sounds
from taskreel.media.probe import MediaInfo, probe_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LONGEST_SECONDS = 4 * 3600


def convert_audio(source: Path, *, out: Path, bit_rate: int | None = None) -> MediaInfo:
    """The first audio track of any file as .wav, .mp3, .opus, .ogg, .m4a or .flac, 48 kHz stereo."""
    with SoundWriter(out, bit_rate=bit_rate) as file:
        file.frames(read_audio_frames(source))
    return probe_file(out)


def normalise_audio(source: Path, *, out: Path, target_lufs: float = TARGET_LUFS) -> MediaInfo:
    """The sound brought to a loudness by one gain (its dynamics stay), peaks under -1.5 dB."""
    meter = LoudnessMeter()
    for frame in read_audio_frames(source):
        meter.hear(to_samples(frame))
    apply_gain(source, out, gain=meter.result().gain_to(target_lufs))
    return probe_file(out)


def stitch_audio(
    sources: Sequence[Path],
    *,
    out: Path,
    gap_seconds: float = 0.0,
    crossfade_seconds: float = 0.0,
    on_progress: Callable[[float], None] | None = None,
) -> MediaInfo:
    """One sound after another, with a pause or a cross-fade between; formats and rates may differ.

    Raises PermanentError for no sources, and for both a pause and a cross-fade.
    """
    if not sources:
        raise PermanentError("At least one sound is needed to stitch.", code="no_inputs")
    if gap_seconds and crossfade_seconds:
        raise PermanentError(
            "Choose either gap_seconds or crossfade_seconds.", code="bad_parameters"
        )
    overlap = round(crossfade_seconds * SOUND_RATE)
    held: Samples = np.zeros((2, 0), np.float32)
    with SoundWriter(out) as file:
        for index, source in enumerate(sources):
            if index and gap_seconds:
                file.write(np.zeros((2, round(gap_seconds * SOUND_RATE)), np.float32))
            if overlap:
                held = _append(file, SoundReader.of(source), held, overlap)
            else:
                file.frames(read_audio_frames(source))
            if on_progress:
                on_progress((index + 1) / len(sources))
        file.write(held)
    return probe_file(out)


def _append(file: SoundWriter, reader: SoundReader, held: Samples, overlap: int) -> Samples:
    """Write a source over the held end of the one before; hold back its own last `overlap` samples."""
    first = reader.read(held.shape[1])
    fade = np.sqrt(np.linspace(0, 1, held.shape[1], dtype=np.float32))  # equal power
    waiting = held * fade[::-1] + first * fade
    while not reader.empty:
        waiting = np.concatenate([waiting, reader.read(SOUND_RATE // 4)], axis=1)
        ready = max(waiting.shape[1] - overlap, 0)
        file.write(waiting[:, :ready])
        waiting = waiting[:, ready:]
    return waiting


def mix_music(  # noqa: PLR0913  # the options of one piece of work
    voice: Path,
    music: Path,
    *,
    out: Path,
    lead_seconds: float = 1.0,
    tail_seconds: float = 2.0,
    music_gain_db: float = -9.0,
    duck_db: float = -11.0,
    target_lufs: float = TARGET_LUFS,
    on_progress: Callable[[float], None] | None = None,
) -> MediaInfo:
    """A voice over music: the music begins before it, steps back while it speaks, fades after it."""
    seconds = lead_seconds + measure_sound_seconds(voice) + tail_seconds
    if seconds > LONGEST_SECONDS:
        raise PermanentError(
            "The voice is longer than 4 hours; cut it into parts.", code="media_too_large"
        )
    bed = MusicBed(
        path=music, gain_db=music_gain_db, duck_db=duck_db, fade_out_seconds=max(tail_seconds, 0.05)
    )
    clip = SoundClip(path=voice, start_seconds=lead_seconds)
    mix_sounds(
        [clip], bed, seconds=seconds, out=out, target_lufs=target_lufs, on_progress=on_progress
    )
    return probe_file(out)
