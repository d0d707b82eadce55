from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taskreel_local.studio.drawing.draw_picture import draw
from taskreel_local.studio.drawing.noise import Dice
from taskreel_local.studio.drawing.picture_plan import COLOUR_WORDS, read
from unit.media.decode_results import read_picture

PROMPTS = [
    "a lighthouse in a storm",
    "sunset over the ocean with a sailing boat",
    "a neon city in the rain",
    "snowy mountains at dawn with hot air balloons",
    "a cabin in the forest",
    "pyramids in the desert",
    "a castle at night with fireflies",
    "a galaxy with a ringed planet and a rocket",
    "underwater coral reef with a whale and fish",
    "portrait of a woman",
    "a field of poppies, a windmill and a rainbow",
    "a cat, a wolf and a robot by an oak tree",
    "erupting volcano",
    "a bridge over a lake with birds and the northern lights",
    "a lighthouse keeper finds a message in a bottle",
    "quarterly figures",
    "ändere das Wetter 雨",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_kind_of_prompt_gives_a_picture_with_light_and_dark(
    prompt: str, tmp_path: Path
) -> None:
    info = draw(prompt, seed=3, width=160, height=96, out=tmp_path / "a.png")
    assert (info.width, info.height, info.content_type) == (160, 96, "image/png")
    pixels = read_picture(tmp_path / "a.png").astype(float)
    assert pixels.std() > 12
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500


def test_the_same_prompt_and_seed_give_the_same_pixels_and_another_seed_others(
    tmp_path: Path,
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw("a boat at sunset", seed=seed, width=96, height=96, out=tmp_path / f"{name}.png")
    a, b, c = (read_picture(tmp_path / f"{name}.png") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize("size", [(64, 64), (512, 64), (64, 300), (333, 257)])
def test_any_size_and_shape_can_be_drawn(size: tuple[int, int], tmp_path: Path) -> None:
    for prompt in ("a lighthouse in a storm", "portrait", "planet", "quarterly figures"):
        info = draw(prompt, seed=1, width=size[0], height=size[1], out=tmp_path / "a.png")
        assert (info.width, info.height) == size


def test_a_large_picture_shows_the_same_scene_as_a_small_one(tmp_path: Path) -> None:
    draw("sunset over the ocean", seed=5, width=128, height=96, out=tmp_path / "small.png")
    draw("sunset over the ocean", seed=5, width=1024, height=768, out=tmp_path / "large.png")
    with Image.open(tmp_path / "large.png") as large:
        reduced = np.asarray(large.convert("RGB").resize((128, 96), Image.Resampling.BOX)).astype(
            float
        )
    assert np.abs(reduced - read_picture(tmp_path / "small.png")).mean() < 16


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_drawn_picture_says_that_the_local_studio_made_it(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"a{suffix}"
    draw("hills", seed=1, width=80, height=64, out=out)
    with Image.open(out) as image:
        said = image.info.get("Software") or image.getexif().get(305)
    assert said == "Taskreel studio (local, no AI model)"


def test_a_storm_by_the_lighthouse_is_read_as_sea_storm_lightning_and_rain() -> None:
    plan = read("A lighthouse in a storm", Dice("x").of("plan"))
    assert (plan.mood, plan.place) == ("storm", "sea")
    assert plan.things >= {"lighthouse", "lightning", "rain"}


@pytest.mark.parametrize(
    ("prompt", "colours"),
    [
        ("a red fox in the snow", {"fox": "red"}),
        ("a small blue sailing boat and a white cat", {"boat": "blue", "cat": "white"}),
        ("a cat under a red sky", {}),
        ("a fox", {}),
    ],
)
def test_colours_belong_to_the_thing_that_they_stand_before(
    prompt: str, colours: dict[str, str]
) -> None:
    plan = read(prompt, Dice("x").of("plan"))
    assert plan.colours == {thing: COLOUR_WORDS[word] for thing, word in colours.items()}


def test_a_boat_has_the_colour_that_the_prompt_names(tmp_path: Path) -> None:
    def blueness(colour: str) -> float:
        draw(f"a {colour} boat on the sea", seed=5, width=160, height=90, out=tmp_path / "a.png")
        hull = read_picture(tmp_path / "a.png").astype(float)
        return float((hull[..., 2] - hull[..., 0]).max())

    assert blueness("blue") > blueness("red") + 60


def test_a_fox_is_drawn_as_a_fox_in_rust_red(tmp_path: Path) -> None:
    draw("a red fox in the snow", seed=5, width=320, height=180, out=tmp_path / "a.png")
    pixels = read_picture(tmp_path / "a.png").astype(int)
    rust = (pixels[..., 0] > pixels[..., 1] + 60) & (pixels[..., 1] > pixels[..., 2] + 15)
    assert 0.005 < rust.mean() < 0.1
    assert read("a red fox", Dice("x").of("plan")).things == {"fox"}


@pytest.mark.parametrize(
    ("prompt", "place"),
    [
        ("a fisherman in his boat", "sea"),
        ("a quiet pond", "lake"),
        ("Tokyo", "city"),
        ("an astronaut on Mars", "desert"),
        ("a dog", "hills"),
        ("a jellyfish", "underwater"),
        ("justice", None),
    ],
)
def test_words_choose_the_place(prompt: str, place: str | None) -> None:
    assert read(prompt, Dice("x").of("plan")).place == place


def test_a_meeting_face_to_face_is_no_portrait() -> None:
    rng = np.random.default_rng(1)
    meeting = read("A whale standing face to face with the unknown on a wide beach", rng)
    assert (meeting.place, meeting.has("whale")) == ("sea", True)
    assert read("The face of an old sailor", rng).place == "portrait"


@pytest.mark.parametrize("who", ["A grandmother", "An old clockmaker", "A restless painter"])
def test_a_person_of_any_trade_is_in_the_picture(who: str) -> None:
    plan = read(f"{who} on a ridge between mountain peaks at dawn", np.random.default_rng(1))
    assert plan.has("figure")
