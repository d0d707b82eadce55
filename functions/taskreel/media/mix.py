"""Voices laid on a time line over music that steps back while they speak."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from taskreel.media.audio_io import (
    Samples,
    SoundReader,
    SoundWriter,
    compute_fade_gain,
    read_audio_frames,
    split_seconds,
    to_samples,
)
from taskreel.media.encode import SOUND_RATE
from taskreel.media.loudness import (
    CEILING_DB,
    TARGET_LUFS,
    Limiter,
    LoudnessMeter,
    measure_loudness,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BLOCK = SOUND_RATE // 100  # samples: the ducking looks at 10 ms at a time
HEADROOM_DB = 0.4  # what common encoders add to a peak
TRIES = 4
SPEECH_DB = -42.0  # a voice is heard above this
ATTACK_SECONDS, RELEASE_SECONDS, HOLD_SECONDS = 0.12, 0.7, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundClip:
    """A sound on the time line; `seconds` None for all of it. What comes from it can duck the music or not."""

    path: Path
    start_seconds: float = 0.0
    seconds: float | None = None
    gain: float = 1.0
    ducks: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MusicBed:
    """Music under everything, begun again when it ends; `duck_db` is how far it steps back under a voice."""

    path: Path
    gain_db: float = -9.0
    duck_db: float = -11.0
    fade_in_seconds: float = 1.0
    fade_out_seconds: float = 2.0


def mix_sounds(  # noqa: PLR0913  # the options of one piece of work
    clips: Sequence[SoundClip],
    bed: MusicBed | None,
    *,
    seconds: float,
    out: Path,
    target_lufs: float = TARGET_LUFS,
    played_as: str | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Mix to a sound file of exactly `seconds` at a loudness, true peaks under -1.5 dB. Streams: any length.

    `played_as` is the suffix of the format that `out` will be encoded to, if it will be.
    """
    with tempfile.TemporaryDirectory(prefix="taskreel-mix-") as folder:
        rough = Path(folder) / "rough.flac"
        meter = LoudnessMeter()
        with SoundWriter(rough) as file:
            for start, piece in _mixed(clips, bed, seconds):
                meter.hear(piece)
                file.write(piece * 0.5)  # headroom: sums may pass 1
                if on_progress:
                    on_progress(0.7 * start / (seconds * SOUND_RATE))
        apply_gain(rough, out, gain=2 * meter.result().gain_to(target_lufs), played_as=played_as)


def apply_gain(source: Path, out: Path, *, gain: float, played_as: str | None = None) -> None:
    """Write `source` multiplied by `gain`, its true peaks under -1.5 dB as they are played.

    Encoders and loudspeakers overshoot what a limiter lets through: what is written is measured, in the format that
    the suffix `played_as` names where `out` is encoded once more, and limited lower by what was too much.
    """
    ceiling = CEILING_DB - HEADROOM_DB
    for _ in range(TRIES):
        _limited(source, out, gain, ceiling)
        excess = _true_peak_db(out, played_as) - CEILING_DB
        if excess <= 0:
            return
        ceiling -= excess + 0.05


def _limited(source: Path, out: Path, gain: float, ceiling_db: float) -> None:
    limiter = Limiter(ceiling_db)
    with SoundWriter(out) as file:
        for frame in read_audio_frames(source):
            file.frames(limiter.limit(to_samples(frame) * np.float32(gain)))
        file.frames(limiter.rest())


def _true_peak_db(sound: Path, played_as: str | None) -> float:
    if played_as is None:
        return measure_loudness(sound).true_peak_db
    played = sound.with_name(f"{sound.stem}-played{played_as}")
    with SoundWriter(played) as file:
        file.frames(read_audio_frames(sound))
    return measure_loudness(played).true_peak_db


def _mixed(
    clips: Sequence[SoundClip], bed: MusicBed | None, seconds: float
) -> Iterator[tuple[int, Samples]]:
    total = round(seconds * SOUND_RATE)
    voices = [_Voice(clip) for clip in clips]
    music = SoundReader.looped(bed.path) if bed else None
    duck = _Ducking(bed.duck_db) if bed else None
    for start, count in split_seconds(seconds):
        speech, piece = np.zeros((2, count), np.float32), np.zeros((2, count), np.float32)
        for voice in voices:
            heard = voice.read(start, count)
            if heard is not None:
                target = speech if voice.clip.ducks else piece
                target += heard
        piece += speech
        if bed and music and duck:
            gain = duck.gains(speech) * compute_fade_gain(
                start, count, total, bed.fade_in_seconds, bed.fade_out_seconds
            )
            piece += music.read(count) * (gain * 10 ** (bed.gain_db / 20))
        yield start, piece


class _Voice:
    """A clip that opens its file when its time comes and closes it when it is over."""

    def __init__(self, clip: SoundClip) -> None:
        self.clip = clip
        self._first = round(clip.start_seconds * SOUND_RATE)
        self._last = (
            self._first + round(clip.seconds * SOUND_RATE) if clip.seconds is not None else None
        )
        self._reader: SoundReader | None = None
        self._over = False

    def read(self, start: int, count: int) -> Samples | None:
        end = start + count if self._last is None else min(start + count, self._last)
        begin = max(start, self._first)
        if self._over or begin >= end:
            return None
        self._reader = self._reader or SoundReader.of(self.clip.path)
        piece = np.zeros((2, count), np.float32)
        piece[:, begin - start : end - start] = self._reader.read(end - begin) * self.clip.gain
        self._over = self._reader.empty
        return piece


class _Ducking:
    """The music's gain from moment to moment: quick down, a little hold, slow up."""

    def __init__(self, depth_db: float) -> None:
        self._low = 10 ** (depth_db / 20)
        self._gain = 1.0
        self._hold = 0.0

    def gains(self, voice: Samples) -> Samples:
        """One gain a sample."""
        blocks = -(-voice.shape[1] // BLOCK)
        padded = np.pad(voice, ((0, 0), (0, blocks * BLOCK - voice.shape[1]))).reshape(
            2, blocks, BLOCK
        )
        power = np.mean(padded**2, axis=(0, 2))
        knots = [self._gain, *(self._step(float(level)) for level in power)]
        at = np.arange(voice.shape[1], dtype=np.float32) / BLOCK
        return np.interp(at, np.arange(blocks + 1), knots).astype(np.float32)

    def _step(self, power: float) -> float:
        speaking = power > 10 ** (SPEECH_DB / 10)
        self._hold = HOLD_SECONDS if speaking else max(self._hold - 0.01, 0.0)
        target, pace = (
            (self._low, ATTACK_SECONDS) if speaking or self._hold else (1.0, RELEASE_SECONDS)
        )
        self._gain += (target - self._gain) * (1 - np.exp(-0.01 / pace * 2.2))
        return self._gain
