"""Precision and recall of the shots found: our transitions, ffmpeg's, and cameras that move."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from random import Random

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from taskreel.media.camera import Move, StillPicture, View, choose_moves, to_picture
from taskreel.media.encode import Picture
from taskreel.media.find_shots import SAMPLE_FPS, ShotFinder
from taskreel.media.shots import JOINS, Transition

SIZE = (96, 54)
SHOT_SAMPLES = 28
#: Found changes are true within so many seconds.
TOLERANCE = 0.4


@cache
def draw_picture(seed: int) -> Image.Image:
    """A picture with much to see."""
    random, sheet = Random(seed), Image.new("RGB", (192, 108), (40 * seed % 256, 90, 140))
    pen = ImageDraw.Draw(sheet)
    for _ in range(40):
        left, top = random.randrange(-20, 180), random.randrange(-20, 100)
        box = (left, top, left + random.randrange(12, 60), top + random.randrange(12, 60))
        pen.ellipse(box, fill=tuple(random.randrange(256) for _ in range(3)))
    return sheet


def film_picture(seed: int, move: Move, count: int = SHOT_SAMPLES) -> list[Picture]:
    """The samples of one shot: a camera move over a picture."""
    still = StillPicture(draw_picture(seed), SIZE)
    return [still.render(move.view_at(number / (count - 1))) for number in range(count)]


def join_own(transition: Transition, overlap: int, first: int) -> tuple[list[Picture], float]:
    """Two shots joined as our films are, and the time of the change."""
    moves = choose_moves("", first, 2)
    one, other = (film_picture(first + place, move) for place, move in enumerate(moves))
    blended = [
        JOINS[transition](old, new, (number + 1) / (overlap + 1))
        for number, (old, new) in enumerate(zip(one[-overlap:], other[:overlap], strict=True))
    ]
    samples = [*one[:-overlap], *blended, *other[overlap:]]
    return samples, (SHOT_SAMPLES - overlap / 2) / SAMPLE_FPS


def join_by_ffmpeg(transition: str, overlap: int, first: int) -> tuple[list[Picture], float]:
    """Two shots joined by ffmpeg's `xfade`, and the time of the change."""
    moves = choose_moves("", first, 2)
    graph = av.filter.Graph()
    picture = f"video_size={SIZE[0]}x{SIZE[1]}:pix_fmt=yuv420p"
    rate = f"time_base=1/{SAMPLE_FPS}:frame_rate={SAMPLE_FPS}/1"
    sources = [graph.add("buffer", f"{picture}:{rate}") for _ in moves]
    length, start = overlap / SAMPLE_FPS, (SHOT_SAMPLES - overlap) / SAMPLE_FPS
    join = graph.add("xfade", f"transition={transition}:duration={length}:offset={start}")
    sink = graph.add("buffersink")
    for place, source in enumerate(sources):
        source.link_to(join, 0, place)
    join.link_to(sink)
    graph.configure()
    for place, (source, move) in enumerate(zip(sources, moves, strict=True)):
        for number, sample in enumerate(film_picture(first + place, move)):
            frame = av.VideoFrame.from_ndarray(sample, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, SAMPLE_FPS)
            source.push(frame)
        source.push(None)
    samples = []
    for _ in range(2 * SHOT_SAMPLES - overlap):
        pulled = sink.pull()
        assert isinstance(pulled, av.VideoFrame)
        samples.append(pulled.to_ndarray(format="yuv420p").astype(np.uint8))
    return samples, start + length / 2


def find_changes(samples: Sequence[Picture]) -> list[float]:
    finder = ShotFinder()
    for sample in samples:
        finder.add_sample(sample)
    return [start for start, _ in finder.list_shots(len(samples) / SAMPLE_FPS)[1:]]


def count_found(cases: Sequence[tuple[list[Picture], float]]) -> tuple[int, int]:
    """The changes that were found, and those that were found and are none."""
    true = false = 0
    for samples, change in cases:
        found = find_changes(samples)
        hit = any(abs(one - change) <= TOLERANCE for one in found)
        true += hit
        false += len(found) - hit
    return true, false


@pytest.mark.parametrize("transition", ["fade", "dip", "wipe"])
@pytest.mark.parametrize("overlap", [4, 8, 12])
def test_our_own_transitions_are_found(transition: Transition, overlap: int) -> None:
    cases = [join_own(transition, overlap, seed) for seed in range(3)]
    assert count_found(cases) == (3, 0)


def test_quick_slides_are_found() -> None:
    assert count_found([join_own("slide", 4, seed) for seed in range(3)]) == (3, 0)


@pytest.mark.parametrize(
    "transition",
    ["wipeleft", "wiperight", "wipeup", "wipedown", "fadeblack", "fadewhite", "radial", "fade"],
)
def test_ffmpegs_transitions_are_found(transition: str) -> None:
    cases = [join_by_ffmpeg(transition, overlap, overlap) for overlap in (4, 8)]
    assert count_found(cases) == (2, 0)


@pytest.mark.parametrize("seed", range(4))
def test_a_moving_camera_is_no_change(seed: int) -> None:
    quick = film_picture(seed, choose_moves("", seed, 1)[0], 14)
    far = film_picture(seed, Move(View(x=0, zoom=1.6), View(x=1, zoom=1.6)), 24)
    assert [find_changes(quick), find_changes(far)] == [[], []]


@pytest.mark.parametrize("brightest", [0, 255])
def test_a_light_that_goes_out_and_on_again_is_no_change(brightest: int) -> None:
    picture = np.asarray(draw_picture(1).resize(SIZE)).astype(np.float64)
    samples = []
    for number in range(40):
        share = max(0.0, 1 - abs(number - 20) / 6)
        shown = picture * (1 - share) + brightest * share
        samples.append(to_picture(Image.fromarray(shown.astype(np.uint8))))
    assert find_changes(samples) == []


def test_an_object_that_comes_into_the_picture_is_no_change() -> None:
    samples = []
    for number in range(24):
        sheet = draw_picture(2).resize(SIZE)
        left = -50 + 4 * number
        ImageDraw.Draw(sheet).rectangle((left, 12, left + 50, 54), fill=(200, 60, 30))
        samples.append(to_picture(sheet))
    assert find_changes(samples) == []
