"""Work on long files needs no more memory than on short ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from taskreel.media.encode import FilmWriter
from taskreel.media.sound_track import SOUND_RATE, make_sound_frame

SHORT_SECONDS, LONG_SECONDS = 5, 125
GROWTH_MB = 25  # two more minutes of sound, held, are 46 MB; of the pictures 53 MB
CODE = """
import re, sys
from pathlib import Path
from taskreel.media import analyse, audio, stitch
work, film, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
{
    "video-stitch": lambda: stitch.stitch_videos(
        [film], out=out / "o.mp4", options=stitch.StitchOptions(fps=8)
    ),
    "audio-stitch": lambda: audio.stitch_audio(
        [film, film], out=out / "o.mp3", crossfade_seconds=1
    ),
    "music-mix": lambda: audio.mix_music(film, film, out=out / "o.mp3"),
    "content-analysis": lambda: analyse.analyse_file(film),
}[work]()
# Not ru_maxrss: that begins with the most that the process had which started this one.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("long")
    return _film(folder / "short.mp4", SHORT_SECONDS), _film(folder / "long.mp4", LONG_SECONDS)


def _film(path: Path, seconds: int) -> Path:
    picture = np.full((216, 256), 100, np.uint8)
    tone = (
        np.sin(np.arange(SOUND_RATE) * 2 * np.pi * 440 / SOUND_RATE)
        .astype(np.float32)[None]
        .repeat(2, 0)
        * 0.3
    )
    with FilmWriter(path, size=(256, 144), fps=8, quality="draft") as film:
        for _ in range(seconds):
            for _ in range(8):
                film.add_picture(picture)
            film.add_sound([make_sound_frame(tone)])
    return path


@pytest.mark.parametrize("work", ["video-stitch", "audio-stitch", "music-mix", "content-analysis"])
def test_memory_does_not_grow_with_the_length(
    work: str, films: tuple[Path, Path], tmp_path: Path
) -> None:
    short, long = (_peak_mb(work, film, tmp_path) for film in films)
    assert long - short < GROWTH_MB
    assert long < 400


def _peak_mb(work: str, film: Path, out: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CODE, work, str(film), str(out)],
        check=True,
        capture_output=True,
        env=_environment(),
    )
    return int(done.stdout)


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parents[3] / "functions")}
