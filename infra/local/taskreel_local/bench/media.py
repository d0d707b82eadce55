"""Media work beside the same work by the ffmpeg command line.

`python -m taskreel_local.bench.media` runs each pair in turn, three rounds, and takes the fastest
of each: other load of the machine affects both alike.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from taskreel.media.animate import MotionOptions, animate_pictures
from taskreel.media.audio import mix_music, stitch_audio
from taskreel.media.compose import compose_film
from taskreel.media.scenes import FilmOptions, Scene
from taskreel.media.stitch import StitchOptions, stitch_videos
from taskreel_local.studio.drawing.draw_picture import draw
from taskreel_local.studio.music import compose_music

TARGET_RATIO = 1.3
PROMPTS = (
    "a lighthouse in a storm",
    "sunset over the ocean",
    "a neon city in the rain",
    "snowy mountains",
    "a galaxy",
)
H264 = [
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-crf",
    "21",
    "-pix_fmt",
    "yuv420p",
    "-movflags",
    "+faststart",
]
AAC = ["-c:a", "aac", "-b:a", "160k", "-ar", "48000", "-ac", "2"]
VP9 = [
    "-c:v",
    "libvpx-vp9",
    "-deadline",
    "realtime",
    "-cpu-used",
    "7",
    "-row-mt",
    "1",
    "-tile-columns",
    "2",
    "-crf",
    "33",
    "-b:v",
    "0",
]
OPUS = ["-c:a", "libopus", "-b:a", "112k"]


@dataclass(frozen=True, slots=True, order=True)
class Cost:
    """Seconds on the clock, and of processors; other load hardly changes the second figure."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison; `theirs` is None without an ffmpeg command line."""

    name: str
    ours: Cost
    theirs: Cost | None


@dataclass(frozen=True, slots=True)
class Task:
    """The same work twice: a function of ours, and arguments of theirs."""

    name: str
    ours: Callable[[], object]
    theirs: list[str]


def compare_all(*, rounds: int = 3) -> list[Row]:
    """Run all comparisons."""
    with tempfile.TemporaryDirectory(prefix="taskreel-bench-") as name:
        folder = Path(name)
        return [_compare_task(task, rounds) for task in _list_tasks(folder, _make_material(folder))]


def _compare_task(task: Task, rounds: int) -> Row:
    ffmpeg = shutil.which("ffmpeg")
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_measure_cost(task.ours))
        if ffmpeg:
            command = [ffmpeg, "-v", "error", "-y", *task.theirs]
            theirs.append(_measure_cost(partial(subprocess.run, command, check=True)))
    return Row(task.name, min(ours), min(theirs) if theirs else None)


def _measure_cost(work: Callable[[], object]) -> Cost:
    start, used = time.perf_counter(), _read_cpu_seconds()
    work()
    return Cost(time.perf_counter() - start, _read_cpu_seconds() - used)


def _read_cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclass(frozen=True, slots=True)
class _Material:
    images: list[Path]
    clips: list[Path]
    music: Path
    voice: Path


def _make_material(folder: Path) -> _Material:
    images = [folder / f"{index}.jpg" for index in range(5)]
    for prompt, image in zip(PROMPTS, images, strict=True):
        draw(prompt, seed=1, width=1920, height=1080, out=image)
    music, voice = folder / "music.wav", folder / "voice.wav"
    compose_music("calm", seed=1, seconds=20, out=music)
    compose_music("happy", seed=2, seconds=9, out=voice)  # any sound will do: the work is the same
    clips = [folder / "a.mp4", folder / "b.mp4", folder / "c.webm"]
    compose_film([Scene(visual=images[0], seconds=5)], out=clips[0], music=music)
    animate_pictures(
        images[1:2], options=MotionOptions(seconds=5, width=854, height=480, fps=25), out=clips[1]
    )
    compose_film(
        [Scene(visual=images[2], seconds=5)],
        out=clips[2],
        music=music,
        options=FilmOptions(width=720, height=1280),
    )
    return _Material(images, clips, music, voice)


def _list_tasks(folder: Path, material: _Material) -> list[Task]:
    slides, joined, webm = folder / "slides.mp4", folder / "joined.mp4", folder / "out.webm"
    theirs = {
        name: str(folder / f"theirs-{name}")
        for name in ("s.mp4", "j.mp4", "w.webm", "st.mp3", "m.m4a")
    }
    scenes = [Scene(visual=image, seconds=2.48) for image in material.images]
    style = FilmOptions(transition_seconds=0.6)
    film = material.clips[0]
    return [
        Task(
            "slideshow 10 s 720p, fades, sound",
            lambda: compose_film(scenes, out=slides, music=material.voice, options=style),
            [*_slideshow_arguments(material.images, material.voice), *H264, *AAC, theirs["s.mp4"]],
        ),
        Task(
            "stitch of three mixed clips",
            lambda: stitch_videos(
                material.clips, out=joined, options=StitchOptions(width=1280, height=720)
            ),
            [*_join_arguments(material.clips), *H264, *AAC, theirs["j.mp4"]],
        ),
        Task(
            "5 s 720p to webm",
            lambda: stitch_videos([film], out=webm),
            ["-i", str(film), *VP9, *OPUS, theirs["w.webm"]],
        ),
        Task(
            "three sounds to one mp3",
            lambda: stitch_audio([material.music, material.voice, film], out=folder / "st.mp3"),
            [
                *_input_arguments([material.music, material.voice, film]),
                "-filter_complex",
                "[0:a][1:a][2:a]concat=n=3:v=0:a=1",
                "-b:a",
                "192k",
                theirs["st.mp3"],
            ],
        ),
        Task(
            "voice over ducked music, -16 LUFS",
            lambda: mix_music(material.voice, material.music, out=folder / "m.m4a"),
            [
                *_input_arguments([material.voice, material.music]),
                "-filter_complex",
                DUCK,
                *AAC,
                theirs["m.m4a"],
            ],
        ),
    ]


DUCK = (
    "[0:a]adelay=1000:all=1,apad=whole_dur=12,asplit=2[v][k];[1:a]atrim=0:12,volume=0.35[m];"
    "[m][k]sidechaincompress=threshold=0.03:ratio=8:attack=20:release=400[d];"
    "[d][v]amix=inputs=2:duration=shortest:normalize=0,loudnorm=I=-16:TP=-1.5"
)


def _input_arguments(paths: list[Path]) -> list[str]:
    return [part for path in paths for part in ("-i", str(path))]


def _slideshow_arguments(images: list[Path], sound: Path) -> list[str]:
    """Zoompan over pictures scaled up, so that it jitters less, then a chain of cross-fades."""
    frames, step = 75, 1.9
    chains = [
        f"[{i}:v]scale=2560:1440:out_range=tv,setsar=1,format=yuv420p,"
        f"zoompan=z='1+0.15*on/{frames}':x='(iw-iw/zoom)*on/{frames}':y='(ih-ih/zoom)/2'"
        f":d={frames}:s=1280x720:fps=30[z{i}]"
        for i in range(len(images))
    ]
    last = "z0"
    for i in range(1, len(images)):
        chains.append(
            f"[{last}][z{i}]xfade=transition=fade:duration=0.6:offset={i * step:.2f}[x{i}]"
        )
        last = f"x{i}"
    sound_chain = f"[{len(images)}:a]apad=whole_dur=10,loudnorm=I=-16:TP=-1.5[a]"
    graph = ";".join([*chains, sound_chain])
    return [
        *_input_arguments([*images, sound]),
        "-filter_complex",
        graph,
        "-map",
        f"[{last}]",
        "-map",
        "[a]",
        "-t",
        "10",
    ]


def _join_arguments(clips: list[Path]) -> list[str]:
    shape = (
        "scale=1280:720:force_original_aspect_ratio=decrease:out_range=tv:flags=bicubic,"
        "pad=1280:720:(ow-iw)/2:(oh-ih)/2,setsar=1,fps=30,format=yuv420p"
    )
    chains = [f"[{i}:v]{shape}[v{i}]" for i in range(3)]
    chains += [
        "[0:a]aresample=48000[a0]",
        "anullsrc=r=48000:cl=stereo,atrim=0:5[a1]",
        "[2:a]aresample=48000[a2]",
    ]
    chains.append("[v0][a0][v1][a1][v2][a2]concat=n=3:v=1:a=1[v][a]")
    return [
        *_input_arguments(clips),
        "-filter_complex",
        ";".join(chains),
        "-map",
        "[v]",
        "-map",
        "[a]",
    ]


def _format_row(row: Row) -> str:
    ours, theirs = row.ours, row.theirs
    if theirs is None:
        return f"{row.name:<36}{ours.wall:7.2f}s   absent"
    wall, cpu = ours.wall / theirs.wall, ours.cpu / theirs.cpu
    return f"{row.name:<36}{ours.wall:7.2f}s{theirs.wall:8.2f}s{wall:7.2f}x{cpu:10.2f}x"


def main() -> None:
    """Print the comparisons and the memory that was needed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    columns = f"{'work':<36}{'ours':>8}{'ffmpeg':>9}{'ratio':>8}{'cpu ratio':>11}"
    print(f"{columns}   target <= {TARGET_RATIO}")
    for row in compare_all(rounds=arguments.rounds):
        print(_format_row(row))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
