from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taskreel_local.studio.music import compose_music, mood_of
from unit.media.decode_results import measure_level, read_sound


@pytest.mark.parametrize("seconds", [0.7, 4.0, 95.3])
def test_music_has_exactly_its_length_fades_and_is_neither_silent_nor_clipped(
    seconds: float, tmp_path: Path
) -> None:
    info = compose_music(
        "a calm evening by the sea", seed=4, seconds=seconds, out=tmp_path / "a.flac"
    )
    assert info.duration_seconds == pytest.approx(seconds, abs=0.001)
    sound = read_sound(tmp_path / "a.flac")
    assert measure_level(sound) > 0.02
    assert np.abs(sound).max() < 0.9
    assert measure_level(sound[:, -100:]) < 0.002
    if seconds > 2:
        assert np.abs(np.diff(sound)).max() < 0.35, "no clicks"


def test_the_same_seed_plays_the_same_and_another_mood_another(tmp_path: Path) -> None:
    for name, prompt, seed in (
        ("a", "storm", 1),
        ("b", "storm", 1),
        ("c", "storm", 2),
        ("d", "wedding", 1),
    ):
        compose_music(prompt, seed=seed, seconds=2, out=tmp_path / f"{name}.wav")
    a, b, c, d = (read_sound(tmp_path / f"{name}.wav") for name in "abcd")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert not np.array_equal(a, d)
    assert mood_of("a tragic farewell").lead == "piano"
