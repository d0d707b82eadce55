"""Every thing in every place and mood can be drawn; prompts in six languages are understood."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from taskreel_local.studio.drawing.foreign_words import translate_prompt
from taskreel_local.studio.drawing.noise import Dice
from taskreel_local.studio.drawing.painting import IN_FRONT, ON_THE_HORIZON, STANDING, paint
from taskreel_local.studio.drawing.picture_plan import MOOD_WORDS, PLACE_WORDS, THING_WORDS, read

WEATHER_AND_LIGHT = {
    *("portrait", "planet", "sun", "moon", "aurora", "rainbow", "lightning", "rain", "snowfall"),
    *("fireflies", "embers"),
}


def first_word(words: str) -> str:
    return words.split("|", maxsplit=1)[0].rstrip("$")


@pytest.mark.parametrize("place", PLACE_WORDS)
def test_every_thing_can_be_drawn_in_every_place_and_mood(place: str) -> None:
    moods = itertools.cycle(MOOD_WORDS.values())
    for thing, words in THING_WORDS.items():
        prompt = f"{first_word(words)}, {first_word(PLACE_WORDS[place])}, {first_word(next(moods))}"
        canvas = paint(prompt, seed=1, width=48, height=32)
        assert np.isfinite(canvas.rgb).all(), (thing, prompt)
        assert canvas.rgb.std() > 0.01, (thing, prompt)


@pytest.mark.parametrize("mood", MOOD_WORDS)
def test_every_mood_can_be_drawn_with_an_astronaut_a_house_and_a_tree(mood: str) -> None:
    for place in ("space", "under the sea", "kitchen"):
        prompt = f"an astronaut, a house and a tree, {place}, {first_word(MOOD_WORDS[mood])}"
        assert paint(prompt, seed=2, width=64, height=48).rgb.std() > 0.01


def test_every_thing_that_a_plan_may_have_has_a_painter() -> None:
    painted = {*ON_THE_HORIZON, *STANDING, *IN_FRONT}
    assert set(THING_WORDS) - painted == WEATHER_AND_LIGHT


@pytest.mark.parametrize(
    ("thing", "place"),
    [
        ("car", "city"),
        ("train", "mountains"),
        ("horse", "meadow"),
        ("bird", "sea"),
        ("dragon", "mountains"),
        ("kite", "beach"),
        ("ball", "garden"),
        ("baker", "kitchen"),
        ("oven", "kitchen"),
        ("astronaut", "space"),
    ],
)
def test_a_named_thing_shows_and_in_the_named_colour(thing: str, place: str) -> None:
    def draw(prompt: str) -> np.ndarray:
        return paint(prompt, seed=3, width=160, height=100).rgb

    # The prompt seeds chance: compare pictures that differ by the colour alone.
    changed = 0
    red, blue = (
        draw(f"a red {thing} in the {place} at noon"),
        draw(f"a blue {thing} in the {place} at noon"),
    )
    redder = (red[0] - red[2]) - (blue[0] - blue[2])
    changed = int((redder > 0.3).sum())
    assert changed > 30, thing


def test_an_abstract_picture_has_the_colours_that_the_prompt_names() -> None:
    for word, channel in (("red", 0), ("green", 1), ("blue", 2)):
        means = paint(f"a {word} toaster", seed=1, width=96, height=64).rgb.mean(axis=(1, 2))
        assert int(means.argmax()) == channel, word


@pytest.mark.parametrize(
    ("prompt", "things", "place"),
    [
        ("Ein roter Drache über einer Burg", {"dragon", "castle"}, "mountains"),
        ("ein Hund sucht seinen Ball im Wald", {"wolf", "ball"}, "forest"),
        ("Leuchtturmwärter im Sturm", {"lighthouse"}, "sea"),
        ("un gato negro en una ciudad de noche", {"cat"}, "city"),
        ("un chien rouge sur la plage", {"wolf"}, "sea"),
        ("czerwony samochód w mieście nocą", {"car"}, "city"),
        ("um cavalo branco na praia", {"horse"}, "sea"),
        ("un treno rosso nella neve", {"train"}, "hills"),
        ("Katze", {"cat"}, "hills"),
    ],
)
def test_a_prompt_in_another_language_is_drawn(prompt: str, things: set[str], place: str) -> None:
    plan = read(prompt, Dice("plan").of("plan"))
    assert things <= plan.things
    assert plan.place == place


def test_a_bus_is_drawn_as_the_vehicle_that_there_is() -> None:
    plan = read("the last bus through the desert", Dice("plan").of("plan"))
    assert "car" in plan.things
    assert plan.place == "desert"


def test_a_colour_after_its_noun_belongs_to_it() -> None:
    assert "black cat" in translate_prompt("un gato negro en una ciudad")
    assert "red dragon" in translate_prompt("ein roter Drache")


@pytest.mark.parametrize(
    "prompt", ["a red kite", "apple pies", "a cat in space", "red rose", "The most kind wolf", ""]
)
def test_english_prompts_are_read_as_they_are(prompt: str) -> None:
    assert translate_prompt(prompt) == prompt
