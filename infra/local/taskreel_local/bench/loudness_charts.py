"""Loudness of the sound of three films over time, as charts: voice, music under it, and the mix.

`python -m taskreel_local.bench.loudness_charts --out loudness.svg` writes the stories, speaks them
(`scripts/bootstrap --speech`), composes the music and mixes all as films do. Voice and music are
told apart in the mix from outside: the part of it that follows the spoken files is the voice.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from taskreel.media.audio_io import Samples, read_audio_frames, to_samples
from taskreel.media.loudness import LoudnessMeter, build_graph, pull_frames
from taskreel.media.mix import MusicBed, SoundClip, mix_sounds
from taskreel.media.sound_track import SOUND_RATE, make_sound_frame
from taskreel_local.studio.music import compose_music
from taskreel_local.studio.speech import speak
from taskreel_local.studio.stories.story_writer import tell_story

PROMPTS = (
    "a lighthouse keeper finds a message in a bottle",
    "two rival bakers in a mountain village",
    "a robot learns to paint on a distant planet",
)
PAUSE_SECONDS = 2.5
#: A voice speaks where it is louder than this over 0.1 s.
SPEAKING_DB = -40.0
STEP_SECONDS = 0.1
#: The charts: one under the other, from -60 to 0 LUFS.
WIDTH, HEIGHT, LEFT, TOP, BOTTOM_LUFS = 760, 190, 52, 34, -60.0
COLOURS = {"mix": "#8d99a6", "music": "#c46b2c", "voice": "#2c5fc4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmSound:
    """The sound of one film: momentary loudness (LUFS) by name, ten a second, and its figures.

    `music_under` is the loudness of the music while the voice speaks.
    """

    title: str
    lines: dict[str, list[float]]
    voice: float
    music_under: float
    mix: float

    @property
    def distance(self) -> float:
        """The LU by which the voice stands above the music while it speaks."""
        return self.voice - self.music_under


def measure_film(prompt: str, folder: Path, *, scenes: int = 4) -> FilmSound:
    """Make the sound of a film about `prompt`, and measure it."""
    story = tell_story({"subject": prompt, "prompt": prompt, "seed": 7, "sceneCount": scenes})
    clips: list[SoundClip] = []
    at = 3.0
    for number, scene in enumerate(story["scenes"][:scenes]):
        spoken = folder / f"{number}.wav"
        length = speak(str(scene["narration"]), out=spoken).duration_seconds or 0.0
        clips.append(SoundClip(path=spoken, start_seconds=at))
        at += length + PAUSE_SECONDS
    seconds = at + 2.0
    compose_music(prompt, seed=7, seconds=seconds, out=folder / "music.wav")
    mix_sounds(clips, MusicBed(path=folder / "music.wav"), seconds=seconds, out=folder / "mix.flac")
    return measure_mix(str(story["title"]), folder / "mix.flac", clips)


def measure_mix(title: str, mixed: Path, clips: Sequence[SoundClip]) -> FilmSound:
    """Measure a mix, and in it the voice of `clips` and the music that is the rest."""
    mix = _read_sound(mixed)
    voice = np.zeros_like(mix)
    for clip in clips:
        spoken = _read_sound(clip.path)
        start = round(clip.start_seconds * SOUND_RATE)
        part = mix[:, start : start + spoken.shape[1]]
        spoken = spoken[:, : part.shape[1]]
        # The gain that leaves nothing of the voice in the rest: music does not follow it.
        gain = float((part * spoken).sum() / (spoken * spoken).sum())
        voice[:, start : start + spoken.shape[1]] += gain * spoken
    music = mix - voice
    speaking = _find_speech(voice)
    return FilmSound(
        title=title,
        lines={
            name: _measure_momentary(sound)
            for name, sound in (("mix", mix), ("music", music), ("voice", voice))
        },
        voice=_measure_integrated(voice[:, speaking]),
        music_under=_measure_integrated(music[:, speaking]),
        mix=_measure_integrated(mix),
    )


def draw_charts(films: Sequence[FilmSound]) -> str:
    """Draw one chart for each film, one under the other, as SVG."""
    parts = [_draw_chart(film, place * HEIGHT) for place, film in enumerate(films)]
    height = HEIGHT * len(films)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


def _draw_chart(film: FilmSound, top: int) -> str:
    figures = (
        f"voice {film.voice:.1f} LUFS, music under it {film.music_under:.1f}, mix {film.mix:.1f}"
    )
    title = f'<tspan font-weight="bold">{escape(film.title)}</tspan>'
    parts = [f'<text x="{LEFT}" y="{top + 14}">{title}  {figures}</text>']
    for lufs in range(0, int(BOTTOM_LUFS) - 1, -16):
        y = _place(lufs, top)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 10}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{lufs}</text>')
    for place, (name, line) in enumerate(film.lines.items()):
        step = (WIDTH - 10 - LEFT) / max(len(line) - 1, 1)
        points = " ".join(
            f"{LEFT + step * number:.1f},{_place(lufs, top):.1f}"
            for number, lufs in enumerate(line)
            if number % 2 == 0
        )
        colour = COLOURS[name]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        parts.append(
            f'<text x="{LEFT + 60 * place}" y="{top + HEIGHT - 8}" fill="{colour}">{name}</text>'
        )
    return "".join(parts)


def _place(lufs: float, top: int) -> float:
    share = min(max(lufs, BOTTOM_LUFS), 0.0) / BOTTOM_LUFS
    return top + TOP + share * (HEIGHT - TOP - 26)


def _read_sound(path: Path) -> Samples:
    return np.concatenate([to_samples(frame) for frame in read_audio_frames(path)], axis=1)


def _find_speech(voice: Samples) -> npt.NDArray[np.bool_]:
    """True for each sample of the tenths of a second in which the voice speaks."""
    step = round(STEP_SECONDS * SOUND_RATE)
    blocks = voice[:, : voice.shape[1] // step * step].reshape(2, -1, step)
    loud = np.sqrt(np.mean(blocks**2, axis=(0, 2))) > 10 ** (SPEAKING_DB / 20)
    speaking = np.zeros(voice.shape[1], bool)
    speaking[: len(loud) * step] = np.repeat(loud, step)
    return speaking


def _measure_integrated(sound: Samples) -> float:
    meter = LoudnessMeter()
    for start in range(0, sound.shape[1], SOUND_RATE):
        meter.add_samples(np.ascontiguousarray(sound[:, start : start + SOUND_RATE]))
    return meter.compute_loudness().integrated_lufs


def _measure_momentary(sound: Samples) -> list[float]:
    """The loudness over 0.4 s, ten times a second."""
    graph = build_graph("ebur128", "metadata=1:framelog=quiet")
    found: list[float] = []
    step = round(STEP_SECONDS * SOUND_RATE)
    for start in range(0, sound.shape[1] - step + 1, step):
        frame = make_sound_frame(np.ascontiguousarray(sound[:, start : start + step]))
        frame.pts, frame.time_base = start, Fraction(1, SOUND_RATE)
        graph.push(frame)
        read = (float(dict(one.metadata).get("lavfi.r128.M", "nan")) for one in pull_frames(graph))
        # Silence has no loudness.
        found += [max(lufs, BOTTOM_LUFS) if math.isfinite(lufs) else BOTTOM_LUFS for lufs in read]
    return found


def main() -> None:
    """Measure the three films, print their figures, and write the charts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    films = []
    for prompt in PROMPTS:
        with tempfile.TemporaryDirectory(prefix="taskreel-loudness-") as folder:
            film = measure_film(prompt, Path(folder))
        print(
            f"{film.title}: voice {film.voice:.1f} LUFS, music under it {film.music_under:.1f} "
            f"({film.distance:.1f} LU below), mix {film.mix:.1f}"
        )
        films.append(film)
    arguments.out.write_text(draw_charts(films), "utf-8")


if __name__ == "__main__":
    main()
