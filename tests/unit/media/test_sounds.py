from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskreel.domain.errors import PermanentError
from taskreel.media.audio import VoiceOverOptions, mix_music, normalise_audio, stitch_audio
from taskreel.media.audio_io import SoundWriter, to_samples
from taskreel.media.loudness import Limiter, measure_loudness
from taskreel.media.mix import MusicBed, SoundClip, apply_gain, mix_sounds
from unit.media.decode_results import convert_sound, measure_level, read_sound


def test_sounds_follow_one_another_whatever_their_rates(
    voice: Path, tone: Path, tmp_path: Path
) -> None:
    info = stitch_audio([voice, tone], out=tmp_path / "a.mp3")
    assert info.duration_seconds == pytest.approx(5.0, abs=0.08)
    sound = read_sound(tmp_path / "a.mp3")
    assert measure_level(sound[:, :40_000]) < 0.01
    assert measure_level(sound[:, 60_000:90_000]) > 0.3
    assert measure_level(sound[:, 120_000:200_000]) == pytest.approx(0.177, abs=0.02)


def test_a_pause_lengthens_and_a_cross_fade_shortens(tone: Path, tmp_path: Path) -> None:
    paused = stitch_audio([tone, tone], out=tmp_path / "a.wav", gap_seconds=0.5)
    faded = stitch_audio([tone, tone], out=tmp_path / "b.wav", crossfade_seconds=0.5)
    assert paused.duration_seconds == pytest.approx(6.5, abs=0.02)
    assert faded.duration_seconds == pytest.approx(5.5, abs=0.02)
    with pytest.raises(PermanentError):
        stitch_audio([tone, tone], out=tmp_path / "c.wav", gap_seconds=1, crossfade_seconds=1)


def test_a_tone_has_the_loudness_the_standard_says(tone: Path) -> None:
    # EBU Tech 3341: a 1 kHz stereo sine of -23 dBFS reads -23 LUFS; at 440 Hz the weighting
    # takes about 0.6 dB more.
    measured = measure_loudness(tone)
    assert measured.integrated_lufs == pytest.approx(-12.7, abs=0.4)
    assert measured.true_peak_db == pytest.approx(-12.04, abs=0.2)


def test_a_sound_is_brought_to_a_loudness_and_silence_stays_silent(
    voice: Path, tmp_path: Path
) -> None:
    normalise_audio(voice, out=tmp_path / "a.wav", target_lufs=-20)
    assert measure_loudness(tmp_path / "a.wav").integrated_lufs == pytest.approx(-20, abs=0.6)
    mix_sounds([], None, seconds=1.5, out=tmp_path / "silence.wav")
    normalise_audio(tmp_path / "silence.wav", out=tmp_path / "b.wav")
    assert measure_level(read_sound(tmp_path / "b.wav")) == 0


def test_music_steps_back_while_the_voice_speaks_and_fades_at_the_end(
    voice: Path, tone: Path, tmp_path: Path
) -> None:
    bed = MusicBed(path=tone, gain_db=0, duck_db=-12, fade_in_seconds=0, fade_out_seconds=0.5)
    quiet_voice = SoundClip(path=voice, start_seconds=2.0, gain=0.06)  # of -16 LUFS
    mix_sounds([quiet_voice], bed, seconds=6, out=tmp_path / "a.flac")
    sound = read_sound(tmp_path / "a.flac")
    assert sound.shape[1] == 6 * 48_000
    alone, under, after = (
        measure_level(sound[:, a * 4800 : b * 4800]) for a, b in ((5, 25), (36, 39), (53, 55))
    )
    assert 20 * np.log10(under / alone) == pytest.approx(-11, abs=2.5)
    assert after > under * 2
    assert measure_level(sound[:, -200:]) < alone * 0.02


def write_tone(path: Path, hertz: float, level: float, seconds: float) -> Path:
    wave = np.sin(np.arange(round(seconds * 48_000)) * 2 * np.pi * hertz / 48_000) * level
    with SoundWriter(path) as file:
        file.add_samples(np.stack([wave, wave]).astype(np.float32))
    return path


def measure_tone(sound: np.ndarray, hertz: float) -> float:
    """The level of one tone in dB, whatever else sounds."""
    at = np.arange(sound.shape[1]) * 2j * np.pi * hertz / 48_000
    return float(20 * np.log10(np.abs((sound[0] * np.exp(-at)).mean()) + 1e-9))


@pytest.mark.parametrize(("voice_level", "music_level"), [(0.012, 0.9), (0.3, 0.3), (0.9, 0.02)])
def test_a_voice_stands_12_db_above_the_music_however_loud_either_was_recorded(
    voice_level: float, music_level: float, tmp_path: Path
) -> None:
    """A telephone's voice under a mastered song, the same loudness, and a loud voice."""
    speech = write_tone(tmp_path / "voice.wav", 1000, voice_level, 4)
    song = write_tone(tmp_path / "music.wav", 1500, music_level, 4)
    mix_music(speech, song, out=tmp_path / "a.flac")
    heard = read_sound(tmp_path / "a.flac")[:, 2 * 48_000 : 4 * 48_000]
    difference = measure_tone(heard, 1000) - measure_tone(heard, 1500)
    # The two tones differ by about 1 dB in the ear's weighting (BS.1770).
    assert difference == pytest.approx(12, abs=2)


def test_a_voice_over_music_is_as_long_as_lead_voice_and_tail_at_the_target(
    voice: Path, tone: Path, tmp_path: Path
) -> None:
    info = mix_music(
        voice,
        tone,
        out=tmp_path / "a.m4a",
        options=VoiceOverOptions(lead_seconds=0.5, tail_seconds=1.0),
    )
    assert info.duration_seconds == pytest.approx(3.5, abs=0.06)
    measured = measure_loudness(tmp_path / "a.m4a")
    assert measured.integrated_lufs == pytest.approx(-16, abs=1)
    assert measured.true_peak_db <= -1.5


@pytest.mark.parametrize("samples", [144_000, 144_001, 50_000, 5_000])
def test_an_mp3_is_exactly_as_long_as_its_sound_and_begins_with_it(
    samples: int, tmp_path: Path
) -> None:
    sound = np.zeros((2, samples), np.float32)
    sound[:, 500:510] = 0.8
    with SoundWriter(tmp_path / "a.mp3") as file:
        for start in range(0, samples, 24_000):
            file.add_samples(sound[:, start : start + 24_000])
    heard = read_sound(tmp_path / "a.mp3")
    assert heard.shape == sound.shape
    assert int(np.abs(heard[0]).argmax()) == pytest.approx(505, abs=12)


@pytest.mark.parametrize("suffix", [".wav", ".m4a", ".mp3", ".opus"])
@pytest.mark.parametrize("shape", ["noise", "square"])
def test_no_true_peak_passes_the_ceiling_once_encoded_even_of_what_overshoots_most(
    shape: str, suffix: str, tmp_path: Path
) -> None:
    time = np.arange(2 * 48_000)
    noise = np.random.default_rng(1).normal(0, 0.3, (2, time.size))
    square = np.sign(np.sin(time * 2 * np.pi * 220 / 48_000)) * 0.5 * np.ones((2, 1))
    with SoundWriter(tmp_path / "a.flac") as file:
        file.add_samples((noise if shape == "noise" else square).astype(np.float32))
    apply_gain(tmp_path / "a.flac", tmp_path / f"b{suffix}", gain=3.0)
    apply_gain(tmp_path / "a.flac", tmp_path / "c.flac", gain=3.0, played_as=suffix)
    convert_sound(tmp_path / "c.flac", out=tmp_path / f"c{suffix}")
    for out in (f"b{suffix}", f"c{suffix}"):
        assert -4 < measure_loudness(tmp_path / out).true_peak_db <= -1.5


@settings(max_examples=8)
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=6))
def test_the_limiter_lets_nothing_over_the_ceiling_and_loses_no_sample(levels: list[float]) -> None:
    limiter = Limiter()
    frames = []
    for height in levels:
        frames += list(limiter.limit_samples(np.full((2, 4800), height, np.float32)))
    frames += list(limiter.flush_frames())
    sound = np.concatenate([to_samples(frame) for frame in frames], axis=1)
    assert sound.shape[1] == 4800 * len(levels)
    assert np.abs(sound).max() <= 10 ** (-1.5 / 20) + 0.01


def test_an_unknown_sound_format_is_refused(tone: Path, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"\.wav"):
        convert_sound(tone, out=tmp_path / "a.xyz")
