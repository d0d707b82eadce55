"""Subtitles, chapters and titles: read back by libav, as a player reads them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel.media.assemble import remux_film
from taskreel.media.compose import Composition, compose_film
from taskreel.media.scenes import Captions, Cards, FilmOptions, Scene
from taskreel.media.subtitles import Cue, format_srt, make_cues
from unit.media.decode_results import read_video_frames

WORD_JOINER = "\u2060"


def compose_told_film(picture: Path, out: Path, captions: Captions) -> Composition:
    scenes = [
        Scene(visual=picture, seconds=2, narrated="First {half} of {C:\\new.", name="One"),
        Scene(visual=picture, seconds=2, narrated="Then the end.", title="Two"),
    ]
    look = FilmOptions(width=96, height=64, fps=10, transition="cut", captions=captions)
    return compose_film(scenes, out=out, options=look, cards=Cards(heading="Füchse & Co"))


def read_subtitles(film: Path) -> list[tuple[float, str]]:
    """The start and text of each subtitle of the film's track; empty without a track."""
    shown = []
    with av.open(str(film)) as opened:
        for stream in opened.streams.subtitles[:1]:
            for packet in opened.demux(stream):
                # A track of MP4 says by an empty text where nothing is shown.
                text = bytes(packet)[2:] if film.suffix == ".mp4" else bytes(packet)
                if text and packet.pts is not None:
                    words = text.decode().replace(WORD_JOINER, "")
                    shown.append((round(float(packet.pts * packet.time_base), 3), words))
    return shown


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_soft_captions_are_a_track_and_leave_the_pictures_alone(
    red: Path, tmp_path: Path, suffix: str
) -> None:
    film = tmp_path / f"a{suffix}"
    compose_told_film(red, film, "soft")
    # After a title card of 3.5 s and half a second.
    first, second = read_subtitles(film)
    assert first == (4.0, "First {half} of {C:\\new.")
    assert second == (6.0, "Then the end.")
    band = read_video_frames(film)[45][50:62, 20:80, 1]
    assert float(band.std()) < 8


def test_burned_captions_are_no_track(red: Path, tmp_path: Path) -> None:
    film = tmp_path / "a.mp4"
    made = compose_told_film(red, film, "burned")
    assert read_subtitles(film) == []
    assert [cue.text for cue in made.cues] == ["First {half} of {C:\\new.", "Then the end."]


def test_chapters_are_the_named_scenes_and_the_first_begins_with_the_film(
    red: Path, tmp_path: Path
) -> None:
    film = tmp_path / "a.mp4"
    compose_told_film(red, film, "none")
    with av.open(str(film)) as opened:
        assert opened.metadata["title"] == "Füchse & Co"
        # The title card begins a film's first chapter.
        chapters = [
            (chapter["metadata"]["title"], chapter["start"], chapter["end"])
            for chapter in opened.chapters()
        ]
    assert chapters == [("Füchse & Co", 0, 3500), ("One", 3500, 5500), ("Two", 5500, 7500)]


def test_a_copy_into_another_container_takes_the_text_along(red: Path, tmp_path: Path) -> None:
    film = tmp_path / "a.mp4"
    made = compose_told_film(red, film, "soft")
    copy = tmp_path / "b.mov"
    remux_film(film, copy, made.text)
    with av.open(str(copy)) as opened:
        assert opened.metadata["title"] == "Füchse & Co"
        assert len(opened.chapters()) == 3
        assert len(opened.streams.subtitles) == 1


def test_a_subtitle_file_is_valid_subrip() -> None:
    cues = [Cue(0.5, 61.25, "One\ntwo"), Cue(3599.9996, 3601, "Three")]
    assert format_srt(cues) == (
        "1\n00:00:00,500 --> 00:01:01,250\nOne\ntwo\n\n2\n01:00:00,000 --> 01:00:01,000\nThree\n"
    )


def test_wide_letters_fill_a_line_sooner() -> None:
    cues = make_cues("灯台守は瓶の中に手紙を見つけた" * 4, 0, 10)
    lines = [line for cue in cues for line in cue.text.split("\n")]
    assert max(map(len, lines)) <= 21


@given(text=st.text(min_size=1, max_size=600), start=st.floats(0, 3600), length=st.floats(0.2, 600))
def test_cues_hold_every_word_follow_one_another_and_are_two_lines(
    text: str, start: float, length: float
) -> None:
    cues = make_cues(text, start, start + length)
    assert "".join("".join(cue.text.split()) for cue in cues) == "".join(text.split())
    assert all(cue.text.count("\n") <= 1 for cue in cues)
    assert all(one.end == other.start for one, other in pairwise(cues))
    if cues:
        assert cues[0].start == start
        assert cues[-1].end == pytest.approx(start + length)
