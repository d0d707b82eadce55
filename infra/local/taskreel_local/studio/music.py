"""A short seeded composition: chords, bass, melody and soft percussion in the mood of the prompt.

The piece is a loop, rendered with numpy. Its reverberation runs over the end into the beginning,
so that it can be repeated without a seam to any length.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from taskreel.domain.errors import PermanentError
from taskreel.media.audio_io import Samples, SoundWriter, compute_fade_gain, split_seconds
from taskreel.media.loudness import Limiter, LoudnessMeter
from taskreel.media.probe import MediaInfo, probe_file
from taskreel.media.sound_track import SOUND_RATE
from taskreel_local.studio import instruments

if TYPE_CHECKING:
    from pathlib import Path

MAX_SECONDS = 3600
MUSIC_LUFS = -18.0
BEATS_A_BAR = 4
BARS = 16
FFT_UNIT = 38_400  # samples: 2^9 x 3 x 5^2

MAJOR, MINOR, DORIAN, LYDIAN = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 4, 6, 7, 9, 11),
)


@dataclass(frozen=True, slots=True)
class Mood:
    """The traits of one mood.

    `progressions` are scale degrees from 0, one a bar; `drums` and `melody` are levels 0…1.
    """

    words: str
    scale: tuple[int, ...]
    tempo: tuple[int, int]
    progressions: tuple[tuple[int, ...], ...]
    lead: str
    drums: float
    melody: float
    brightness: float


MOODS: tuple[Mood, ...] = (
    Mood(
        "horror|dark|fear|haunt|ghost|thriller|crime|noir|sinister|nightmare",
        MINOR,
        (58, 68),
        ((0, 5, 3, 0), (0, 1, 0, 5)),
        "bell",
        0.15,
        0.4,
        0.5,
    ),
    Mood(
        "storm|epic|battle|war|action|adventure|hero|chase|dragon|pirate",
        MINOR,
        (92, 112),
        ((0, 5, 2, 6), (0, 3, 5, 6)),
        "strings",
        0.95,
        0.7,
        0.9,
    ),
    Mood(
        "sad|loss|lonel|melanchol|grief|rain|farewell|drama|tragic|winter",
        MINOR,
        (60, 72),
        ((0, 5, 3, 4), (0, 2, 5, 3)),
        "piano",
        0.1,
        0.75,
        0.6,
    ),
    Mood(
        "space|cosmos|galax|sci-fi|science fiction|robot|future|cyber|neon|alien",
        DORIAN,
        (74, 90),
        ((0, 3, 0, 6), (0, 5, 3, 6)),
        "glass",
        0.5,
        0.5,
        1.0,
    ),
    Mood(
        "fantasy|magic|fairy|dream|enchant|wonder|myst|forest|aurora",
        LYDIAN,
        (72, 86),
        ((0, 1, 0, 4), (0, 4, 5, 1)),
        "bell",
        0.2,
        0.8,
        0.9,
    ),
    Mood(
        "comedy|funny|happy|kids|child|party|joy|playful|cat|summer|dance",
        MAJOR,
        (104, 122),
        ((0, 4, 5, 3), (0, 3, 0, 4)),
        "pluck",
        0.8,
        0.95,
        1.0,
    ),
    Mood(
        "romance|love|wedding|sunset|tender|family|nostalg",
        MAJOR,
        (70, 82),
        ((0, 5, 3, 4), (3, 4, 2, 5)),
        "piano",
        0.25,
        0.85,
        0.7,
    ),
    Mood(
        "documentary|corporate|hope|inspir|morning|dawn|sunrise|travel|nature",
        MAJOR,
        (84, 98),
        ((0, 4, 5, 3), (5, 3, 0, 4)),
        "pluck",
        0.45,
        0.7,
        0.9,
    ),
)
CALM = Mood("", DORIAN, (66, 78), ((0, 3, 5, 4), (0, 5, 3, 6)), "piano", 0.2, 0.7, 0.7)


def compose_music(
    prompt: str,
    *,
    seed: int,
    seconds: float,
    out: Path,
    fade_in_seconds: float = 1.0,
    fade_out_seconds: float = 3.0,
) -> MediaInfo:
    """Write music of exactly `seconds` into a sound file at -18 LUFS.

    The same prompt and seed give the same music. Raises PermanentError for a wrong length.
    """
    if not 0 < seconds <= MAX_SECONDS:
        message = f"Music is up to {MAX_SECONDS} s long, not {seconds:g} s."
        raise PermanentError(message, code="bad_duration")
    piece = _compose_piece(prompt, seed, seconds)
    meter = LoudnessMeter()
    meter.add_samples(piece)
    gain = meter.compute_loudness().gain_to(MUSIC_LUFS)
    total = round(seconds * SOUND_RATE)
    limiter = Limiter()
    with SoundWriter(out) as file:
        for start, count in split_seconds(seconds):
            part = np.take(piece, range(start, start + count), axis=1, mode="wrap")
            envelope = compute_fade_gain(
                start,
                count,
                total,
                min(fade_in_seconds, seconds / 4),
                min(fade_out_seconds, seconds / 3),
            )
            file.add_frames(limiter.limit_samples(part * (envelope * gain)))
        file.add_frames(limiter.flush_frames())
    return probe_file(out)


def mood_of(prompt: str) -> Mood:
    """The first mood one of whose words the prompt has."""
    text = prompt.lower()
    return next((mood for mood in MOODS if re.search(rf"\b(?:{mood.words})", text)), CALM)


@dataclass(frozen=True, slots=True)
class _Score:
    """The piece as all instruments read it."""

    mood: Mood
    root: int  # MIDI note of the scale's first degree
    beat: float  # seconds
    degrees: tuple[int, ...]  # the chord of each bar

    def midi_note(self, degree: int, octave: int = 0) -> int:
        """MIDI note of a scale degree, which may lie outside one octave."""
        scale = self.mood.scale
        return self.root + 12 * (octave + degree // len(scale)) + scale[degree % len(scale)]

    @property
    def bar_count(self) -> int:
        return len(self.degrees)

    @property
    def length_seconds(self) -> float:
        return self.bar_count * BEATS_A_BAR * self.beat


def _compose_piece(prompt: str, seed: int, seconds: float) -> Samples:
    """Render one turn of the piece, or as many pairs of bars as `seconds` need.

    The result is `(2, n)` samples, at any loudness.
    """
    digest = hashlib.sha256(f"{prompt.strip().lower()}|{seed}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    mood = mood_of(prompt)
    lines = [mood.progressions[i] for i in rng.permutation(len(mood.progressions))]
    degrees = tuple(degree for line in (lines[0], lines[0], lines[1], lines[0]) for degree in line)
    root, beat = int(rng.integers(45, 53)), _beat_seconds(int(rng.integers(*mood.tempo)))
    pairs = min(BARS // 2, int(seconds / (2 * BEATS_A_BAR * beat)) + 1)
    score = _Score(mood, root, beat, degrees[: 2 * pairs])
    dry = instruments.LoopTape(score.length_seconds)
    wet = instruments.LoopTape(score.length_seconds)
    _play_pads(score, wet)
    _play_bass(score, dry)
    _play_arpeggio(score, wet, rng)
    _play_melody(score, wet, rng)
    _play_drums(score, dry, rng)
    return instruments.add_reverb(wet.samples, rng) + dry.samples


def _beat_seconds(tempo: int) -> float:
    """Seconds of a beat. The piece's length has small factors, for a fast Fourier transform."""
    beats = BARS * BEATS_A_BAR
    units = round(beats * 60 / tempo * SOUND_RATE / FFT_UNIT)
    return units * FFT_UNIT / SOUND_RATE / beats


def _play_pads(score: _Score, tape: instruments.LoopTape) -> None:
    for bar, degree in enumerate(score.degrees):
        length = score.beat * BEATS_A_BAR
        for voice, pan in zip((0, 2, 4, 7), (-0.5, 0.1, 0.45, -0.15), strict=True):
            note = score.midi_note(degree + voice, 0)
            sound = instruments.play_pad(note, length * 1.25, score.mood.brightness)
            tape.add_sound(sound * 0.13, bar * length, pan)


def _play_bass(score: _Score, tape: instruments.LoopTape) -> None:
    for bar, degree in enumerate(score.degrees):
        for beat, length in ((0, 2.0), (2, 1.0), (3, 1.0)):
            if beat and score.mood.drums < 0.3:  # quiet pieces hold one note
                continue
            held = length if score.mood.drums >= 0.3 else 4.0
            sound = instruments.play_bass(
                score.midi_note(degree, -1) - (12 if score.root > 48 else 0), held * score.beat
            )
            tape.add_sound(sound * 0.3, (bar * BEATS_A_BAR + beat) * score.beat, 0)


def _play_arpeggio(score: _Score, tape: instruments.LoopTape, rng: np.random.Generator) -> None:
    pattern = rng.permutation([0, 2, 4, 7, 4, 2, 9, 7])
    for bar, degree in enumerate(score.degrees):
        if bar < BARS // 4 and score.mood.drums < 0.6:  # lets the piece begin with the pads alone
            continue
        for step in range(8):
            if rng.random() < 0.8:
                at = (bar * BEATS_A_BAR + step / 2) * score.beat
                sound = instruments.play_pluck(
                    score.midi_note(degree + int(pattern[step]), 1), 1.1, score.mood.brightness
                )
                tape.add_sound(sound * rng.uniform(0.05, 0.09), at, float(np.sin(step * 1.7) * 0.6))


def _play_melody(score: _Score, tape: instruments.LoopTape, rng: np.random.Generator) -> None:
    """Play a motif of two bars, repeated over the changing chords and bent to them."""
    motif = _make_motif(rng)
    play = instruments.LEADS[score.mood.lead]
    for phrase in range(score.bar_count // 2):
        if phrase % 4 == 0 or rng.random() > score.mood.melody:
            continue
        shift = int(rng.choice([0, 0, 0, 1, -1]))
        for at, length, degree in motif:
            bar = phrase * 2 + int(at // BEATS_A_BAR)
            strong = at % 2 == 0
            tone = degree + shift
            if strong:  # on a strong beat, the nearest tone of the chord
                tone = min(
                    (score.degrees[bar] + third for third in (0, 2, 4, 7, -3)),
                    key=lambda t: abs(t - tone),
                )
            start = (phrase * 2 * BEATS_A_BAR + at) * score.beat
            tape.add_sound(
                play(score.midi_note(tone, 1), length * score.beat * 1.4, score.mood.brightness)
                * 0.17,
                start,
                0.12,
            )


def _make_motif(rng: np.random.Generator) -> list[tuple[float, float, int]]:
    """Two bars of (beat, length in beats, scale degree).

    Mostly small steps, now and then a leap, and a rest at the end.
    """
    notes: list[tuple[float, float, int]] = []
    at, degree = 0.0, int(rng.choice([2, 4, 7]))
    while at < 6.5:  # beats; then it breathes
        length = float(rng.choice([0.5, 1.0, 1.0, 1.5, 2.0]))
        notes.append((at, length, degree))
        step = int(rng.choice([-2, -1, -1, 1, 1, 2, 4, -3]))
        degree = int(np.clip(degree + step, 0, 10))
        at += length
    return notes


def _play_drums(score: _Score, tape: instruments.LoopTape, rng: np.random.Generator) -> None:
    level = score.mood.drums
    for bar in range(score.bar_count):
        if bar < 2 or level < 0.2:
            continue
        start = bar * BEATS_A_BAR * score.beat
        for beat in (0, 2.5) if level > 0.6 else (0,):
            tape.add_sound(instruments.play_kick() * 0.5 * level, start + beat * score.beat, 0)
        for beat in (1, 3):
            tape.add_sound(
                instruments.play_brush(rng) * 0.16 * level, start + beat * score.beat, 0.1
            )
        for eighth in range(8):
            tape.add_sound(
                instruments.play_shaker(rng) * rng.uniform(0.02, 0.06) * level,
                start + eighth / 2 * score.beat,
                -0.35,
            )
