"""Sounds made of sines and noise: mono arrays, about -1…1, and the tape they are laid on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from taskreel.media.audio_io import Samples
from taskreel.media.sound_track import SOUND_RATE

Wave: TypeAlias = npt.NDArray[np.float64]

REVERB_SECONDS = 2.6
REVERB_SHARE = 0.42


class LoopTape:
    """A stereo loop; what runs over its end goes on at its beginning."""

    def __init__(self, seconds: float) -> None:
        self.samples: Samples = np.zeros((2, round(seconds * SOUND_RATE)), np.float32)

    def add_sound(self, sound: Samples, at_seconds: float, pan: float) -> None:
        """Add a sound at a time; `pan` -1 (left) … 1 (right), equal power."""
        length = self.samples.shape[1]
        start = round(at_seconds * SOUND_RATE) % length
        angle = (pan + 1) * np.pi / 4
        gains = np.array([[np.cos(angle)], [np.sin(angle)]], np.float32)
        first = min(sound.size, length - start)
        self.samples[:, start : start + first] += gains * sound[:first]
        rest = sound[first : first + length]
        self.samples[:, : rest.size] += gains * rest


@lru_cache(maxsize=256)
def play_pad(note: int, seconds: float, brightness: float) -> Samples:
    """Soft strings: slightly detuned partials that swell and die away."""
    t = _make_times(seconds)
    sound = np.zeros_like(t)
    for detune in (-0.07, 0.0, 0.06):
        for partial in range(1, 6):
            strength = (0.5 + 0.3 * brightness) ** (partial - 1) / partial
            sound += strength * np.sin(
                _make_phase(note + detune, t) * partial + partial * 1.3 + detune * 40
            )
    slow = 1 + 0.12 * np.sin(2 * np.pi * 0.23 * t + note)
    return _apply_envelope(
        sound * slow / 5, t, attack=min(0.9, seconds / 3), release=min(1.4, seconds / 3)
    )


@lru_cache(maxsize=128)
def play_bass(note: int, seconds: float) -> Samples:
    """A round bass note."""
    t = _make_times(seconds)
    phase = _make_phase(note, t)
    sound = (
        np.sin(phase)
        + 0.35 * np.sin(2 * phase) * np.exp(-t * 2.5)
        + 0.12 * np.sin(3 * phase) * np.exp(-t * 5)
    )
    return _apply_envelope(sound * np.exp(-t * 0.55) / 1.3, t, attack=0.018, release=0.18)


@lru_cache(maxsize=256)
def play_pluck(note: int, seconds: float, brightness: float) -> Samples:
    """A harp-like pluck."""
    t = _make_times(seconds)
    phase = _make_phase(note, t)
    sound = sum(
        np.sin(phase * k) * np.exp(-t * (2.6 + 1.9 * k)) * (0.45 + 0.25 * brightness) ** (k - 1)
        for k in range(1, 7)
    )
    return _apply_envelope(np.asarray(sound), t, attack=0.004, release=0.1)


@lru_cache(maxsize=256)
def play_piano(note: int, seconds: float, brightness: float) -> Samples:
    """Felted piano: stretched partials, two strings a little apart."""
    t = _make_times(seconds + 0.5)
    sound = np.zeros_like(t)
    for k in range(1, 8):
        stretch = k * np.sqrt(1 + 0.0004 * k * k)
        strength = (0.38 + 0.2 * brightness) ** (k - 1)
        for detune in (-0.012, 0.014):
            sound += (
                strength
                * np.sin(_make_phase(note + detune, t) * stretch)
                * np.exp(-t * (0.9 + 0.75 * k))
            )
    return _apply_envelope(sound / 2.6, t, attack=0.006, release=0.3)


@lru_cache(maxsize=256)
def play_bell(note: int, seconds: float, brightness: float) -> Samples:
    """A music box."""
    t = _make_times(seconds + 1.2)
    phase = _make_phase(note + 12, t)
    partials = ((1.0, 1.0, 2.2), (2.76, 0.4 * brightness, 4.5), (5.4, 0.18 * brightness, 8.0))
    sound = sum(
        strength * np.sin(phase * ratio) * np.exp(-t * decay) for ratio, strength, decay in partials
    )
    return _apply_envelope(np.asarray(sound) * 0.6, t, attack=0.003, release=0.3)


@lru_cache(maxsize=256)
def play_glass(note: int, seconds: float, brightness: float) -> Samples:
    """A synthetic voice with a slow vibrato."""
    t = _make_times(seconds + 0.6)
    phase = _make_phase(note, t) + 0.05 * np.sin(2 * np.pi * 4.6 * t) * np.clip(t * 2, 0, 1)
    sound = np.sin(phase + 1.4 * brightness * np.exp(-t * 1.6) * np.sin(phase * 2.0))
    return _apply_envelope(sound * 0.7, t, attack=0.06, release=0.5)


@lru_cache(maxsize=256)
def play_strings(note: int, seconds: float, brightness: float) -> Samples:
    """A bowed section, brighter than the pad."""
    t = _make_times(seconds + 0.3)
    vibrato = 0.09 * np.sin(2 * np.pi * 5.1 * t) * np.clip(t * 1.5, 0, 1)
    sound = np.zeros_like(t)
    for detune in (-0.05, 0.05):
        for k in range(1, 9):
            sound += (
                (0.6 + 0.2 * brightness) ** (k - 1)
                / k
                * np.sin((_make_phase(note + detune, t) + vibrato) * k + k * detune * 30)
            )
    return _apply_envelope(sound / 3, t, attack=0.12, release=0.35)


LEADS: dict[str, Callable[[int, float, float], Samples]] = {
    "piano": play_piano,
    "bell": play_bell,
    "glass": play_glass,
    "strings": play_strings,
    "pluck": play_pluck,
}


@lru_cache(maxsize=1)
def play_kick() -> Samples:
    """A soft drum: a sine that falls."""
    t = _make_times(0.4)
    phase = 2 * np.pi * (46 * t + 62 / 26 * (1 - np.exp(-26 * t)))
    return _apply_envelope(np.sin(phase) * np.exp(-t * 9), t, attack=0.003, release=0.05)


def play_brush(rng: np.random.Generator) -> Samples:
    """A brushed snare."""
    t = _make_times(0.22)
    noise = np.diff(rng.normal(0, 1, t.size + 1)) * 0.6
    return _apply_envelope(noise * np.exp(-t * 19) * 0.6, t, attack=0.006, release=0.05)


def play_shaker(rng: np.random.Generator) -> Samples:
    """A grain of high noise."""
    t = _make_times(0.07)
    noise = np.diff(rng.normal(0, 1, t.size + 2), n=2) * 0.4
    return _apply_envelope(noise * np.exp(-t * 60), t, attack=0.008, release=0.02)


def add_reverb(samples: Samples, rng: np.random.Generator) -> Samples:
    """The loop in a hall: convolved round with decaying noise, so that the hall is seamless too."""
    length = samples.shape[1]
    t = _make_times(min(REVERB_SECONDS, length / SOUND_RATE))
    wet = np.empty_like(samples)
    for channel in (0, 1):
        tail = rng.normal(0, 1, t.size) * np.exp(-t * 2.9)
        tail = np.convolve(
            tail, np.hanning(9) / np.hanning(9).sum(), "same"
        )  # walls swallow the highest notes
        tail[: round(0.012 * SOUND_RATE)] = 0
        tail /= np.sqrt(np.sum(tail**2))
        spectrum = np.fft.rfft(samples[channel]) * np.fft.rfft(tail, length)
        wet[channel] = np.fft.irfft(spectrum, length)
    return np.asarray(samples * (1 - REVERB_SHARE / 2) + wet * REVERB_SHARE, np.float32)


def _make_times(seconds: float) -> Wave:
    return np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE


def _make_phase(note: float, t: Wave) -> Wave:
    """A MIDI note's angle at each moment (A4 = 69 = 440 Hz)."""
    return np.asarray(2 * np.pi * 440.0 * 2 ** ((note - 69) / 12) * t)


def _apply_envelope(sound: Wave, t: Wave, *, attack: float, release: float) -> Samples:
    """Begin and end without a click."""
    length = t[-1] + 1 / SOUND_RATE if t.size else 0.0
    rise = np.clip(t / attack, 0, 1)
    fall = np.clip((length - t) / release, 0, 1)
    return np.asarray(sound * np.sin(rise * np.pi / 2) * np.sin(fall * np.pi / 2) ** 2, np.float32)
