from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskreel.media.animate import MotionOptions, animate_pictures
from taskreel.media.assemble import assemble_films, remux_film
from taskreel.media.camera import IN_TURN, PULL_OUT, PUSH_IN, choose_moves, ease_motion
from taskreel.media.compose import compose_film
from taskreel.media.frames import extract_frame
from taskreel.media.phrases import split_phrases
from taskreel.media.prefetch import prefetch_items
from taskreel.media.probe import probe_file
from taskreel.media.scenes import Cards, FilmOptions, Scene
from taskreel.media.shots import Transition
from taskreel.media.stitch import StitchOptions, stitch_videos
from unit.media.decode_results import (
    has_colour,
    measure_level,
    read_picture,
    read_sound,
    read_video_frames,
)

RED, BLUE = (220, 30, 30), (30, 30, 220)


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"),
    [(1, 30, 30), (0.5, 24, 12), (1.02, 25, 26), (0.01, 10, 1), (2.5, 12, 30)],
)
def test_a_film_has_exactly_the_asked_frames_and_size(
    red: Path, tmp_path: Path, seconds: float, fps: int, frames: int
) -> None:
    info = animate_pictures(
        [red],
        options=MotionOptions(seconds=seconds, width=128, height=72, fps=fps),
        out=tmp_path / "a.mp4",
    )
    assert (info.width, info.height, info.fps) == (128, 72, fps)
    assert info.duration_seconds == pytest.approx(frames / fps, abs=1 / fps)
    assert len(read_video_frames(tmp_path / "a.mp4")) == frames


def test_colours_arrive_as_they_were(red: Path, blue: Path, tmp_path: Path) -> None:
    animate_pictures(
        [red, blue],
        options=MotionOptions(seconds=2, width=128, height=72, fps=10),
        out=tmp_path / "a.mp4",
    )
    frames = read_video_frames(tmp_path / "a.mp4")
    assert has_colour(frames[0], RED)
    assert has_colour(frames[-1], BLUE)


def test_pictures_cross_fade_without_a_jump(red: Path, blue: Path, tmp_path: Path) -> None:
    animate_pictures(
        [red, blue],
        options=MotionOptions(seconds=2, width=64, height=64, fps=20),
        out=tmp_path / "a.mp4",
    )
    redness = [float(frame[32, 32, 0]) for frame in read_video_frames(tmp_path / "a.mp4")]
    steps = np.diff(redness)
    assert np.abs(steps).max() < 45
    assert redness[0] - redness[-1] > 150


def test_a_move_is_smooth_and_never_goes_back(detailed: Path, tmp_path: Path) -> None:
    animate_pictures(
        [detailed],
        options=MotionOptions(prompt="zoom in", seconds=1, width=160, height=120, fps=20),
        out=tmp_path / "a.mp4",
    )
    frames = [frame.astype(float) for frame in read_video_frames(tmp_path / "a.mp4")]
    changes = [np.abs(b - a).mean() for a, b in itertools.pairwise(frames)]
    assert max(changes[4:-4]) < 2.5 * min(changes[4:-4])


def test_words_choose_the_move_and_otherwise_the_seed() -> None:
    assert choose_moves("slowly zoom out", 0, 2) == [PULL_OUT, PULL_OUT]
    assert choose_moves("", 0, 3) == list(IN_TURN[:3])
    assert choose_moves("", 1, 2) == list(IN_TURN[1:3])


@given(st.floats(0, 1), st.floats(0, 1))
def test_easing_is_monotone_with_fixed_ends(a: float, b: float) -> None:
    assert ease_motion(0) == 0
    assert ease_motion(1) == pytest.approx(1)
    assert ease_motion(min(a, b)) <= ease_motion(max(a, b)) + 1e-12
    assert PUSH_IN.view_at(a).zoom >= 1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_clips_of_any_size_rate_and_sound_become_one_film(
    silent_clip: Path, sounding_clip: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"all{suffix}"
    info = stitch_videos(
        [silent_clip, sounding_clip, silent_clip],
        out=out,
        options=StitchOptions(width=160, height=90, fps=20),
    )
    assert (info.width, info.height, info.has_audio) == (160, 90, True)
    assert info.duration_seconds == pytest.approx(3.2, abs=0.12)
    frames = read_video_frames(out)
    assert has_colour(frames[5], RED)
    assert has_colour(frames[30], BLUE)
    assert frames[30][45, 4].max() < 30, "an upright clip stands between bars"
    sound = read_sound(out)
    assert measure_level(sound[:, 4800:40_000]) < 0.001
    assert measure_level(sound[:, 60_000:90_000]) > 0.02


def test_clips_without_any_sound_make_a_film_without_a_sound_track(
    silent_clip: Path, tmp_path: Path
) -> None:
    assert not stitch_videos([silent_clip, silent_clip], out=tmp_path / "a.mp4").has_audio


def test_the_last_frame_and_the_frame_at_a_time(red: Path, blue: Path, tmp_path: Path) -> None:
    film = tmp_path / "a.mp4"
    animate_pictures(
        [red, blue],
        options=MotionOptions(prompt="static", seconds=2, width=64, height=64, fps=10),
        out=film,
    )
    extract_frame(film, out=tmp_path / "first.png", at_seconds=0)
    extract_frame(film, out=tmp_path / "last.jpg")
    frames = read_video_frames(film)
    for name, wanted in (("first.png", frames[0]), ("last.jpg", frames[-1])):
        with_name = read_picture(tmp_path / name).astype(float)
        assert np.abs(with_name - wanted).mean() < 6


def test_a_composition_has_cards_narration_music_and_tells_where_scenes_are(
    red: Path, silent_clip: Path, voice: Path, tone: Path, tmp_path: Path
) -> None:
    seen: list[float] = []
    made = compose_film(
        [
            Scene(visual=red, narration=voice, narrated="Hello there, sailor. The sea is calm."),
            Scene(visual=silent_clip),
        ],
        out=tmp_path / "a.mp4",
        options=FilmOptions(width=192, height=108, fps=15, transition_seconds=0.4),
        music=tone,
        cards=Cards(heading="The Message", closing=["The end"]),
        on_progress=seen.append,
    )
    starts = [start for start, _ in made.scenes]
    assert [round(length, 1) for _, length in made.scenes] == [3.5, 3.2, 1.0, 3.5]
    assert starts == sorted(starts)
    total = starts[-1] + made.scenes[-1][1]
    assert made.info.duration_seconds == pytest.approx(total, abs=0.1)
    assert len(read_video_frames(tmp_path / "a.mp4")) == round(total * 15)
    assert made.info.has_audio
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)


def test_captions_are_seen_only_while_they_are_spoken(red: Path, tmp_path: Path) -> None:
    scene = Scene(visual=red, seconds=3, narrated="WWWW WWWW", move="static")
    compose_film(
        [scene], out=tmp_path / "a.mp4", options=FilmOptions(width=192, height=108, fps=10)
    )
    band = [
        float(frame[92:104, 60:130, 1].std()) for frame in read_video_frames(tmp_path / "a.mp4")
    ]
    assert band[0] < 5
    assert band[15] > 25
    assert band[-1] < 5


@pytest.mark.parametrize("transition", ["cut", "fade", "dip", "slide", "wipe"])
def test_every_transition_leads_from_one_scene_to_the_next(
    red: Path, blue: Path, tmp_path: Path, transition: Transition
) -> None:
    look = FilmOptions(width=64, height=64, fps=10, transition=transition, transition_seconds=0.5)
    made = compose_film(
        [Scene(visual=red, seconds=2), Scene(visual=blue, seconds=2)],
        out=tmp_path / "a.mp4",
        options=look,
    )
    frames = read_video_frames(tmp_path / "a.mp4")
    assert len(frames) == (40 if transition == "cut" else 35)
    assert made.info.duration_seconds == pytest.approx(len(frames) / 10, abs=0.05)
    assert has_colour(frames[3], RED)
    assert has_colour(frames[-3], BLUE)


def test_alike_scenes_are_assembled_under_a_master_sound_in_every_format(
    silent_clip: Path, tone: Path, tmp_path: Path
) -> None:
    outs = [tmp_path / f"film{suffix}" for suffix in (".mp4", ".mov", ".webm")]
    infos = assemble_films([silent_clip] * 3, tone, outs=outs).films
    assert [info.content_type for info in infos] == ["video/mp4", "video/quicktime", "video/webm"]
    for out, info in zip(outs, infos, strict=True):
        assert info.duration_seconds == pytest.approx(3.0, abs=0.12)
        assert measure_level(read_sound(out)[:, 9600:30_000]) > 0.1
    assert len(read_video_frames(outs[0])) == 45
    assert read_video_frames(outs[0])[20].tolist() == read_video_frames(silent_clip)[5].tolist(), (
        "copied, not encoded again"
    )


def test_scenes_that_differ_are_brought_to_the_first_ones_shape(
    silent_clip: Path, sounding_clip: Path, voice: Path, tmp_path: Path
) -> None:
    (info,) = assemble_films(
        [silent_clip, sounding_clip], voice, outs=[tmp_path / "film.mp4"]
    ).films
    assert (info.width, info.height) == (160, 90)
    assert info.duration_seconds == pytest.approx(2.2, abs=0.12)


def test_a_voice_longer_than_the_pictures_plays_to_its_end_under_the_last(
    silent_clip: Path, tone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "film.mp4"
    made = assemble_films([silent_clip], tone, outs=[out])
    assert (
        made.note
        == "The sound is 2.0 s longer than the pictures: the last one is held until it ends."
    )
    frames = read_video_frames(out)
    assert len(frames) == 45
    assert has_colour(frames[-1], RED)
    assert measure_level(read_sound(out)[:, -24_000:-4_800]) > 0.1


def test_music_much_longer_than_the_pictures_fades_out_with_them(
    silent_clip: Path, tone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.media.assemble.LONGEST_HOLD_SECONDS", 0.5)
    out = tmp_path / "film.mp4"
    made = assemble_films([silent_clip], tone, outs=[out])
    assert (
        made.note == "The sound is 2.0 s longer than the pictures: it fades out with the last one."
    )
    assert len(read_video_frames(out)) == 15
    assert measure_level(read_sound(out)[:, -2_400:]) < 0.02


def test_a_sound_that_ends_early_is_followed_by_silence_which_is_said(
    silent_clip: Path, tone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "film.mp4"
    made = assemble_films([silent_clip] * 5, tone, outs=[out])
    assert made.note == "The sound ends 2.0 s before the pictures: silence follows."
    assert measure_level(read_sound(out)[:, 160_000:]) < 0.001


def test_changing_the_container_changes_nothing_else(silent_clip: Path, tmp_path: Path) -> None:
    assert remux_film(silent_clip, tmp_path / "a.mov").content_type == "video/quicktime"
    assert np.array_equal(
        read_video_frames(tmp_path / "a.mov")[-1], read_video_frames(silent_clip)[-1]
    )
    assert probe_file(tmp_path / "a.mov").fps == 15


@given(
    st.text(
        alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "),
        max_size=400,
    )
)
def test_captions_lose_no_word(text: str) -> None:
    assert " ".join(split_phrases(text)).split() == text.split()


def test_what_is_made_ahead_arrives_in_order_and_errors_come_through() -> None:
    assert list(prefetch_items(iter(range(50)))) == list(range(50))
    broken = prefetch_items(itertools.chain(range(3), (1 // 0 for _ in range(1))))
    assert [next(broken) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(broken)
