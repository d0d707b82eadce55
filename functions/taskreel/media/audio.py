"""Sound files: one after another, brought to a loudness, and a voice over music."""

from __future__ import annotations

from dataclasses import dataclass
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
from taskreel.media.loudness import TARGET_LUFS, LoudnessMeter
from taskreel.media.mix import MixOptions, MusicBed, SoundClip, apply_gain, mix_sounds
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.sound_track import SOUND_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LONGEST_SECONDS = 4 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceOverOptions:
    """Lead and tail of music around a voice, and the levels of both.

    The music's are below the voice's loudness: by default 4 dB alone, 12 dB while it speaks.
    """

    lead_seconds: float = 1.0
    tail_seconds: float = 2.0
    music_gain_db: float = -4.0
    duck_db: float = -8.0
    target_lufs: float = TARGET_LUFS


def normalise_audio(source: Path, *, out: Path, target_lufs: float = TARGET_LUFS) -> MediaInfo:
    """Bring a sound to a loudness by one gain (its dynamics stay), with peaks under -1.5 dB."""
    meter = LoudnessMeter()
    for frame in read_audio_frames(source):
        meter.add_samples(to_samples(frame))
    apply_gain(source, out, gain=meter.compute_loudness().gain_to(target_lufs))
    return probe_file(out)


def stitch_audio(
    sources: Sequence[Path],
    *,
    out: Path,
    gap_seconds: float = 0.0,
    crossfade_seconds: float = 0.0,
    on_progress: Callable[[float], None] | None = None,
) -> MediaInfo:
    """Join sounds with a pause or a cross-fade between them; formats and rates may differ.

    Raises PermanentError for no sources, and for both a pause and a cross-fade.
    """
    if not sources:
        raise PermanentError(
            "There is nothing to join: at least one audio file is needed.", code="no_inputs"
        )
    if gap_seconds and crossfade_seconds:
        raise PermanentError(
            "A pause and a cross-fade exclude each other: set either gap_seconds or"
            " crossfade_seconds.",
            code="bad_parameters",
        )

    overlap = round(crossfade_seconds * SOUND_RATE)
    tail: Samples = np.zeros((2, 0), np.float32)
    with SoundWriter(out) as writer:
        for index, source in enumerate(sources):
            if index and gap_seconds:
                writer.add_samples(np.zeros((2, round(gap_seconds * SOUND_RATE)), np.float32))
            if overlap:
                tail = _append_crossfaded(writer, SoundReader.open(source), tail, overlap)
            else:
                writer.add_frames(read_audio_frames(source))
            if on_progress:
                on_progress((index + 1) / len(sources))
        writer.add_samples(tail)
    return probe_file(out)


def _append_crossfaded(
    writer: SoundWriter, reader: SoundReader, tail: Samples, overlap: int
) -> Samples:
    """Write a source over the tail of the one before; return its own last `overlap` samples."""
    first = reader.read(tail.shape[1])
    fade = np.sqrt(np.linspace(0, 1, tail.shape[1], dtype=np.float32))  # equal power
    waiting = tail * fade[::-1] + first * fade
    while not reader.is_empty:
        waiting = np.concatenate([waiting, reader.read(SOUND_RATE // 4)], axis=1)
        ready = max(waiting.shape[1] - overlap, 0)
        writer.add_samples(waiting[:, :ready])
        waiting = waiting[:, ready:]
    return waiting


def mix_music(
    voice: Path,
    music: Path,
    *,
    out: Path,
    options: VoiceOverOptions | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> MediaInfo:
    """Lay a voice over music, which starts first, is softer while it speaks and fades out after it.

    Raises PermanentError for a result of more than four hours.
    """
    options = options or VoiceOverOptions()
    seconds = options.lead_seconds + measure_sound_seconds(voice) + options.tail_seconds
    if seconds > LONGEST_SECONDS:
        message = f"The voice and its pauses last {seconds / 3600:.1f} hours; at most 4 are mixed."
        raise PermanentError(f"{message} Cut it into parts.", code="media_too_large")

    bed = MusicBed(
        path=music,
        gain_db=options.music_gain_db,
        duck_db=options.duck_db,
        fade_out_seconds=max(options.tail_seconds, 0.05),
    )
    clip = SoundClip(path=voice, start_seconds=options.lead_seconds)
    mix_sounds(
        [clip],
        bed,
        seconds=seconds,
        out=out,
        options=MixOptions(target_lufs=options.target_lufs),
        on_progress=on_progress,
    )
    return probe_file(out)
