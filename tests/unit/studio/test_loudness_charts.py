"""The loudness of a film is measured from outside: voice and music told apart in the mix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taskreel.media.audio_io import SoundWriter
from taskreel.media.mix import MusicBed, SoundClip, mix_sounds
from taskreel_local.bench.loudness_charts import draw_charts, measure_mix


def write_noise(path: Path, seed: int, seconds: float, level: float) -> Path:
    """Noise that comes and goes twice a second, as syllables do."""
    count = round(seconds * 48_000)
    swell = 0.6 + 0.4 * np.sin(np.arange(count) * 2 * np.pi * 2 / 48_000)
    wave = np.random.default_rng(seed).normal(0, level, count) * swell
    with SoundWriter(path) as file:
        file.add_samples(np.stack([wave, wave]).astype(np.float32))
    return path


def test_the_music_of_a_film_is_12_lu_under_the_voice_while_it_speaks(tmp_path: Path) -> None:
    spoken = write_noise(tmp_path / "voice.wav", 1, 4, 0.02)
    music = write_noise(tmp_path / "music.wav", 2, 7, 0.3)
    clips = [SoundClip(path=spoken, start_seconds=2)]
    mix_sounds(clips, MusicBed(path=music), seconds=7, out=tmp_path / "mix.flac")
    film = measure_mix("A film", tmp_path / "mix.flac", clips)
    assert film.mix == pytest.approx(-16, abs=0.7)
    assert film.voice == pytest.approx(-16, abs=1.5)
    assert film.distance == pytest.approx(12, abs=1.5)
    # Before and after it speaks the music is louder than under the voice.
    before, under = film.lines["music"][18], film.lines["music"][36]
    assert before - under > 4
    assert draw_charts([film]).count("<polyline") == 3
