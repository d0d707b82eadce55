"""A given picture is changed as the prompt says, and shapes follow `aspectRatio`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taskreel.domain.errors import PermanentError
from taskreel_local.studio.drawing.draw_picture import draw
from taskreel_local.studio.drawing.edit_picture import edit_picture
from taskreel_local.studio.pictures_and_clips import choose_size
from unit.media.decode_results import read_picture


@pytest.fixture
def given(tmp_path: Path) -> Path:
    draw("a lighthouse by day", seed=1, width=192, height=128, out=tmp_path / "given.png")
    return tmp_path / "given.png"


def edit(given: Path, prompt: str) -> np.ndarray:
    out = given.with_name("edited.png")
    edit_picture(given, prompt=prompt, seed=1, width=192, height=128, out=out)
    return read_picture(out).astype(float)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    grey = (one.mean(axis=2).ravel(), other.mean(axis=2).ravel())
    return float(np.corrcoef(*grey)[0, 1])


@pytest.mark.parametrize(
    ("prompt", "channel"), [("make it red", 0), ("make it green", 1), ("mach es blau und", 2)]
)
def test_a_colour_tints_the_given_picture_and_its_shapes_stay(
    given: Path, prompt: str, channel: int
) -> None:
    before, after = read_picture(given).astype(float), edit(given, prompt)
    others = [c for c in range(3) if c != channel]
    gain = after.mean(axis=(0, 1)) - before.mean(axis=(0, 1))
    assert gain[channel] > max(gain[c] for c in others) + 10
    assert correlation(before, after) > 0.7


def test_black_and_white_takes_all_colour(given: Path) -> None:
    after = edit(given, "in black and white, noir")
    assert np.ptp(after, axis=2).mean() < 30


def test_a_named_thing_is_drawn_into_the_given_picture(given: Path) -> None:
    before, after = read_picture(given).astype(float), edit(given, "add a red kite")
    changed = np.abs(after - before).max(axis=2) > 60
    assert 0.01 < changed.mean() < 0.4


def test_several_pictures_stand_side_by_side_in_their_order(tmp_path: Path) -> None:
    colours = ("red", "green", "blue")
    paths = [tmp_path / f"{colour}.png" for colour in colours]
    for path, colour in zip(paths, colours, strict=True):
        Image.new("RGB", (60, 80), colour).save(path)
    out = tmp_path / "joined.png"
    edit_picture(*paths, prompt="zzz qqq", seed=1, width=192, height=128, out=out)
    joined = read_picture(out).astype(float)
    columns = [joined[:, left : left + 64].mean(axis=(0, 1)) for left in (0, 64, 128)]
    assert [int(column.argmax()) for column in columns] == [0, 1, 2]


def test_a_prompt_without_a_known_word_does_not_change_the_picture(given: Path) -> None:
    before, after = read_picture(given).astype(float), edit(given, "zzz qqq")
    assert correlation(before, after) > 0.8


@pytest.mark.parametrize(
    ("width", "height", "ratio", "size"),
    [
        (1024, 1024, None, (1024, 1024)),
        (1024, 1024, "16:9", (1366, 768)),
        (1280, 720, "9:16", (720, 1280)),
        (1280, 720, "16:9", (1280, 720)),
        (1920, 1080, "1:1", (1440, 1440)),
        (1024, 1024, "99:1", (2048, 512)),
    ],
)
def test_an_aspect_ratio_changes_the_shape_and_preserves_the_pixels(
    width: int, height: int, ratio: str | None, size: tuple[int, int]
) -> None:
    assert choose_size({"width": width, "height": height, "aspectRatio": ratio}) == size


def test_an_aspect_ratio_of_nothing_is_refused() -> None:
    with pytest.raises(PermanentError) as caught:
        choose_size({"width": 64, "height": 64, "aspectRatio": "0:1"})
    assert caught.value.code == "bad_parameters"
