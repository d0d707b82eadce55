"""Fields that a request may carry have an effect."""

from __future__ import annotations

from typing import Any

import pytest

from taskreel.jobtypes.media_processing import MEDIA_PROCESSING
from taskreel.jobtypes.video_assembly import VIDEO_ASSEMBLY
from taskreel.jobtypes.video_composition import VIDEO_COMPOSITION

A, B, C = (f"https://example.com/{name}.mp4" for name in "abc")


def plan(job_type: Any, body: dict[str, Any]) -> Any:
    (unit,) = job_type.units(job_type.submission.model_validate(body))
    return unit


def test_scene_videos_are_joined_in_the_order_that_they_state() -> None:
    scenes = [{"url": A, "order": 3}, {"url": B, "order": 1}, {"url": C, "order": 2}]
    assert plan(VIDEO_ASSEMBLY, {"sceneVideos": scenes}).input_urls == (B, C, A)


def test_input_files_are_joined_in_the_order_that_they_state() -> None:
    files = [{"url": A, "order": 1}, {"url": B, "order": 0}]
    body = {"operation": "video-stitch", "inputFiles": files}
    assert plan(MEDIA_PROCESSING, body).input_urls == (B, A)


def test_without_an_order_files_stay_where_they_are() -> None:
    for files in ([A, B, C], [{"url": A}, B, {"url": C}]):
        assert plan(VIDEO_ASSEMBLY, {"sceneVideos": files}).input_urls == (A, B, C)


def test_the_music_of_a_mix_may_be_named_first() -> None:
    files = [{"url": A, "role": "music"}, {"url": B, "role": "voice"}]
    body = {"operation": "music-mix", "inputFiles": files}
    assert plan(MEDIA_PROCESSING, body).input_urls == (B, A)


def test_a_scene_with_a_sound_has_the_length_that_it_asks_for() -> None:
    scene = {"videoUrl": A, "audioUrl": "https://example.com/a.mp3", "durationSeconds": 4}
    (made,) = plan(VIDEO_COMPOSITION, {"scenes": [scene]}).params["scenes"]
    assert made["seconds"] == 4


@pytest.mark.parametrize("fit", ["cover", "contain", "blur"])
def test_every_film_takes_a_fit(fit: str) -> None:
    options = {"options": {"fit": fit}}
    assert plan(VIDEO_ASSEMBLY, {"sceneVideos": [A], **options}).params["fit"] == fit
    assert plan(VIDEO_COMPOSITION, {"scenes": [A], **options}).params["fit"] == fit
    body = {"operation": "video-stitch", "inputFiles": [A], "parameters": {"fit": fit}}
    assert plan(MEDIA_PROCESSING, body).params["fit"] == fit
