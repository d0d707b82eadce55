"""Sounds on a time line over music that is softer while a voice speaks (ducking)."""

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
from taskreel.media.loudness import (
    CEILING_DB,
    TARGET_LUFS,
    Limiter,
    LoudnessMeter,
    measure_loudness,
)
from taskreel.media.sound_track import SOUND_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BLOCK = SOUND_RATE // 100  # samples: ducking works on 10 ms at a time
HEADROOM_DB = 0.4  # common encoders raise a peak by so much
LIMITER_TRIES = 4
SPEECH_DB = -42.0  # a voice counts as speaking above this level
ATTACK_SECONDS, RELEASE_SECONDS, HOLD_SECONDS = 0.12, 0.7, 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundClip:
    """A sound on the time line; `seconds` None plays all of it. `ducks` softens the music."""

    path: Path
    start_seconds: float = 0.0
    seconds: float | None = None
    gain: float = 1.0
    ducks: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MusicBed:
    """Music under everything, repeated to the end; `duck_db` changes its level under a voice.

    Both are brought to one loudness before: at a `gain_db` of 0 the music is as loud as a voice
    while there is no voice, and `duck_db` softer under one.
    """

    path: Path
    gain_db: float = -4.0
    duck_db: float = -8.0
    fade_in_seconds: float = 1.0
    fade_out_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MixOptions:
    """The loudness of a mix; `played_as` is the suffix of a format that it is encoded to later."""

    target_lufs: float = TARGET_LUFS
    played_as: str | None = None


def mix_sounds(
    clips: Sequence[SoundClip],
    bed: MusicBed | None,
    *,
    seconds: float,
    out: Path,
    options: MixOptions | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Mix to a sound file of exactly `seconds`, at a loudness and with true peaks under -1.5 dB.

    Works as a stream: memory does not grow with the length.
    """
    options = options or MixOptions()
    with tempfile.TemporaryDirectory(prefix="mix-", dir=out.parent) as folder:
        rough = Path(folder) / "rough.flac"
        meter = LoudnessMeter()
        with SoundWriter(rough) as writer:
            for start, piece in _mix_chunks(clips, bed, seconds):
                meter.add_samples(piece)
                writer.add_samples(piece * 0.5)  # half: sums of sounds may exceed 1
                if on_progress:
                    on_progress(0.7 * start / (seconds * SOUND_RATE))
        gain = 2 * meter.compute_loudness().gain_to(options.target_lufs)
        apply_gain(rough, out, gain=gain, played_as=options.played_as)


def apply_gain(source: Path, out: Path, *, gain: float, played_as: str | None = None) -> None:
    """Write `source` multiplied by `gain`, with true peaks under -1.5 dB after encoding.

    `played_as` is the suffix of the format that `out` will be encoded to later, if any.
    """
    ceiling = CEILING_DB - HEADROOM_DB
    for _ in range(LIMITER_TRIES):
        # Lossy encoders overshoot the limiter: measure the encoded result, and limit lower by
        # as much as its peaks are too high.
        _write_limited(source, out, gain, ceiling)
        excess = _measure_true_peak(out, played_as) - CEILING_DB
        if excess <= 0:
            return
        ceiling -= excess + 0.05


def _write_limited(source: Path, out: Path, gain: float, ceiling_db: float) -> None:
    limiter = Limiter(ceiling_db)
    with SoundWriter(out) as writer:
        for frame in read_audio_frames(source):
            writer.add_frames(limiter.limit_samples(to_samples(frame) * np.float32(gain)))
        writer.add_frames(limiter.flush_frames())


def _measure_true_peak(sound: Path, played_as: str | None) -> float:
    if played_as is None:
        return measure_loudness(sound).true_peak_db
    played = sound.with_name(f"{sound.stem}-played{played_as}")
    with SoundWriter(played) as writer:
        writer.add_frames(read_audio_frames(sound))
    return measure_loudness(played).true_peak_db


def _mix_chunks(
    clips: Sequence[SoundClip], bed: MusicBed | None, seconds: float
) -> Iterator[tuple[int, Samples]]:
    total = round(seconds * SOUND_RATE)
    voices = [
        _ScheduledSound(clip, gain) for clip, gain in zip(clips, _match_voices(clips), strict=True)
    ]
    music = SoundReader.open_looped(bed.path) if bed else None
    music_gain = _measure_gain(bed.path) * 10 ** (bed.gain_db / 20) if bed else 1.0
    duck = _Ducking(bed.duck_db) if bed else None
    for start, count in split_seconds(seconds):
        speech = np.zeros((2, count), np.float32)
        piece = np.zeros((2, count), np.float32)
        for voice in voices:
            played = voice.read(start, count)
            if played is not None:
                target = speech if voice.clip.ducks else piece
                target += played
        piece += speech
        if bed and music and duck:
            gain = duck.compute_gains(speech) * compute_fade_gain(
                start, count, total, bed.fade_in_seconds, bed.fade_out_seconds
            )
            piece += music.read(count) * (gain * music_gain)
        yield start, piece


def _match_voices(clips: Sequence[SoundClip]) -> list[float]:
    """The gain of each clip: voices are brought to one loudness, other sounds stay as they are."""
    gains: dict[Path, float] = {}
    for clip in clips:
        if clip.ducks and clip.path not in gains:
            gains[clip.path] = _measure_gain(clip.path)
    return [clip.gain * gains.get(clip.path, 1.0) if clip.ducks else clip.gain for clip in clips]


def _measure_gain(sound: Path) -> float:
    """The factor that brings a sound to the loudness of a mix, as a stream."""
    meter = LoudnessMeter()
    for frame in read_audio_frames(sound):
        meter.add_samples(to_samples(frame))
    return meter.compute_loudness().gain_to(TARGET_LUFS)


class _ScheduledSound:
    """A clip on the time line. Its file is open only while it plays: a film may have hundreds."""

    def __init__(self, clip: SoundClip, gain: float) -> None:
        self.clip = clip
        self._gain = gain
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
        self._reader = self._reader or SoundReader.open(self.clip.path)
        piece = np.zeros((2, count), np.float32)
        piece[:, begin - start : end - start] = self._reader.read(end - begin) * self._gain
        self._over = self._reader.is_empty
        return piece


class _Ducking:
    """The music's gain over time: fast down, a short hold, slow up."""

    def __init__(self, depth_db: float) -> None:
        self._low = 10 ** (depth_db / 20)
        self._gain = 1.0
        self._hold = 0.0

    def compute_gains(self, voice: Samples) -> Samples:
        """Return one gain a sample of the voice."""
        blocks = -(-voice.shape[1] // BLOCK)
        padded = np.pad(voice, ((0, 0), (0, blocks * BLOCK - voice.shape[1]))).reshape(
            2, blocks, BLOCK
        )
        power = np.mean(padded**2, axis=(0, 2))
        knots = [self._gain, *(self._follow(float(level)) for level in power)]
        at = np.arange(voice.shape[1], dtype=np.float32) / BLOCK
        return np.interp(at, np.arange(blocks + 1), knots).astype(np.float32)

    def _follow(self, power: float) -> float:
        speaking = power > 10 ** (SPEECH_DB / 10)
        self._hold = HOLD_SECONDS if speaking else max(self._hold - 0.01, 0.0)
        target, pace = (
            (self._low, ATTACK_SECONDS) if speaking or self._hold else (1.0, RELEASE_SECONDS)
        )
        self._gain += (target - self._gain) * (1 - np.exp(-0.01 / pace * 2.2))
        return self._gain
