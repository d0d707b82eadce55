from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from PIL import Image, ImageDraw

from taskreel.domain.errors import PermanentError
from taskreel.media.analyse import Expected, analyse_file, describe_aspect
from taskreel.media.compose import compose_film
from taskreel.media.scenes import FilmOptions, Scene
from taskreel.media.shots import Transition
from taskreel.media.text_stats import measure_text


def test_a_pictures_colours_light_and_shape_are_measured(red: Path, detailed: Path) -> None:
    plain, busy = analyse_file(red).image, analyse_file(detailed).image
    assert plain is not None
    assert busy is not None
    assert (plain.colours[0].hex, plain.colours[0].share) == ("#dc1e1e", 1.0)
    assert plain.aspect == "16:9"
    assert busy.sharpness > plain.sharpness
    assert busy.contrast > plain.contrast


def test_cuts_are_found_where_they_are(
    red: Path, blue: Path, detailed: Path, tone: Path, tmp_path: Path
) -> None:
    scenes = [
        Scene(visual=red, seconds=2),
        Scene(visual=blue, seconds=1.5),
        Scene(visual=detailed, seconds=2),
    ]
    film = tmp_path / "a.mp4"
    compose_film(
        scenes,
        out=film,
        music=tone,
        options=FilmOptions(width=160, height=90, fps=24, transition="cut"),
    )
    found = analyse_file(film)
    assert found.video is not None
    assert found.audio is not None
    assert [start for start, _ in found.video.shots] == pytest.approx([0, 2, 3.5], abs=0.13)
    assert sum(length for _, length in found.video.shots) == pytest.approx(5.5, abs=0.1)
    assert found.audio.loudness.integrated_lufs == pytest.approx(-16, abs=1)


@pytest.mark.parametrize("transition", ["fade", "slide", "cut"])
@pytest.mark.parametrize("move", ["zoom in", "pan left"])
def test_shots_are_found_across_transitions_and_a_moving_camera_makes_none(
    transition: Transition, move: str, pictures: list[Path], tmp_path: Path
) -> None:
    scenes = [Scene(visual=picture, seconds=3, move=move) for picture in pictures]
    look = FilmOptions(
        width=160, height=90, fps=24, quality="draft", transition=transition, transition_seconds=0.6
    )
    made = compose_film(scenes, out=tmp_path / "a.mp4", options=look)
    found = analyse_file(tmp_path / "a.mp4").video
    assert found is not None
    overlap = 0 if transition == "cut" else 0.6
    changes = [start + overlap / 2 for start, _ in made.scenes[1:]]
    assert [start for start, _ in found.shots[1:]] == pytest.approx(changes, abs=0.2)


def test_silence_counts_as_silence(voice: Path) -> None:
    found = analyse_file(voice).audio
    assert found is not None
    assert found.silent_share == pytest.approx(0.5, abs=0.05)
    assert analyse_file(voice).video is None


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three pictures with much to see."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        random, sheet = Random(seed), Image.new("RGB", (320, 180))
        draw = ImageDraw.Draw(sheet)
        for _ in range(40):
            left, top = random.randrange(-20, 300), random.randrange(-20, 160)
            box = (left, top, left + random.randrange(20, 90), top + random.randrange(20, 90))
            draw.ellipse(box, fill=tuple(random.randrange(256) for _ in range(3)))
        sheet.save(path)
    return paths


def test_a_text_is_counted_and_graded() -> None:
    easy = measure_text("The cat sat. The dog ran. We had fun.")
    hard = measure_text(
        "Notwithstanding organisational considerations, "
        "interdisciplinary methodologies necessitate evaluation."
    )
    assert (easy.words, easy.sentences, easy.paragraphs) == (9, 3, 1)
    assert easy.level == "very easy"
    assert hard.level == "very difficult"
    assert easy.grade is not None
    assert hard.grade is not None
    assert hard.grade > easy.grade
    assert easy.reading_seconds == pytest.approx(2.3, abs=0.1)


@pytest.mark.parametrize(
    ("text", "words", "seconds"),
    [("灯台守は瓶の中に手紙を見つけた。" * 28, 420, 70.6), ("一" * 255, 255, 60)],
)
def test_chinese_and_japanese_are_counted_by_characters_and_not_graded(
    text: str, words: int, seconds: float
) -> None:
    facts = measure_text(text)
    assert facts.words == words
    assert facts.speaking_seconds == pytest.approx(seconds, abs=0.1)
    assert facts.reading_seconds < facts.speaking_seconds
    assert (facts.reading_ease, facts.grade, facts.level) == (None, None, None)


def test_a_cyrillic_text_is_counted_and_not_graded() -> None:
    facts = measure_text("Чайка летела над морем. Ветер стих.")
    assert (facts.words, facts.level) == (6, None)


def test_a_text_file_is_measured_and_an_empty_story_refused(tmp_path: Path) -> None:
    story = tmp_path / "story.txt"
    story.write_text("The keeper found a bottle.\n\nThe bottle held a message.")
    facts = analyse_file(story).text
    assert facts is not None
    assert dict(facts.frequent_words)["bottle"] == 2
    assert facts.paragraphs == 2
    story.write_text(" … ")
    with pytest.raises(PermanentError):
        analyse_file(story)


def test_a_file_that_is_not_what_it_is_said_to_be_is_refused(
    red: Path, sounding_clip: Path, tone: Path
) -> None:
    right: list[tuple[Path, Expected]] = [(red, "image"), (sounding_clip, "video"), (tone, "audio")]
    wrong: list[tuple[Path, Expected]] = [
        (red, "video"),
        (tone, "video"),
        (sounding_clip, "image"),
        (red, "text"),
    ]
    for path, expected in right:
        analyse_file(path, expected=expected)
    for path, expected in wrong:
        with pytest.raises(PermanentError, match=f"contentType says {expected}"):
            analyse_file(path, expected=expected)


@pytest.mark.parametrize(
    ("size", "named"), [((1920, 1080), "16:9"), ((720, 1280), "9:16"), ((500, 123), "4.07:1")]
)
def test_shapes_have_the_names_people_use(size: tuple[int, int], named: str) -> None:
    assert describe_aspect(*size) == named
