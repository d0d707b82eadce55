"""Films: their formats, captions, chapters and sound, assembled clips, and a movie of one line."""

from __future__ import annotations

import io
from typing import Any

import av
import httpx
import pytest

from functions.job_requests import complete_job, read_balance
from functions.made_files import FILM, make_clip, make_music, make_picture, read_file
from functions.test_job_types import needs_speech
from simulation.world import World


@pytest.mark.parametrize("form", ["mp4", "webm", "mov"])
async def test_a_composition_is_written_in_each_format(
    form: str, world: World, ada: httpx.AsyncClient
) -> None:
    body = {
        "title": "The Boat",
        "scenes": [{"narration": "A boat.", "duration": 1}, {"title": "Then", "duration": 1}],
        "assets": [await make_picture(world, ada)],
        "credits": ["Made by us"],
        "outputFormat": form,
        "options": FILM,
    }
    job = await complete_job(world, ada, "video-composition", body)
    (film,) = job["result"]["artifacts"]
    assert film["name"] == f"film.{form}"
    assert film["durationSeconds"] > 6  # two cards of 3.5 s around the scenes
    assert [scene["narration"] for scene in job["result"]["scenes"]] == ["captions", "none"]


async def test_a_film_comes_with_soft_captions_chapters_a_subtitle_file_and_a_poster(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {
        "title": "The Boat",
        "scenes": [
            {"title": "Harbour", "narration": "A boat.", "duration": 2},
            {"title": "Open sea", "narration": "It is far out.", "duration": 2},
        ],
        "assets": [await make_picture(world, ada)],
        "options": {**FILM, "captions": "soft", "subtitleFile": True, "poster": True},
    }
    job = await complete_job(world, ada, "video-composition", body)
    film, subtitles, poster = job["result"]["artifacts"]
    assert [film["name"], subtitles["name"], poster["name"]] == [
        "film.mp4",
        "film.srt",
        "film-poster.jpg",
    ]
    assert poster["contentType"] == "image/jpeg"
    text = (await read_file(world, job, "film.srt")).decode()
    assert "A boat." in text
    assert "It is far out." in text
    with av.open(io.BytesIO(await read_file(world, job, "film.mp4"))) as opened:
        assert opened.metadata["title"] == "The Boat"
        chapters = [chapter["metadata"]["title"] for chapter in opened.chapters()]
        assert chapters == ["The Boat", "Harbour", "Open sea"]
        assert [stream.codec_context.name for stream in opened.streams.subtitles] == ["mov_text"]


async def test_a_film_without_narration_says_why_it_has_no_subtitle_file(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {"scenes": [await make_picture(world, ada)], "options": {**FILM, "subtitleFile": True}}
    job = await complete_job(world, ada, "video-composition", body)
    assert [one["name"] for one in job["result"]["artifacts"]] == ["film.mp4"]
    assert "no scene has a narration" in job["result"]["note"]


async def test_one_sound_lies_under_the_whole_composition(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {
        "scenes": [await make_picture(world, ada)],
        "audio": await make_music(world, ada),
        "title": "The Boat",
        "options": FILM,
    }
    job = await complete_job(world, ada, "video-composition", body)
    film = f"job:{job['jobId']}/film.mp4"
    with av.open(io.BytesIO(await read_file(world, job, "film.mp4"))) as opened:
        assert opened.metadata["title"] == "The Boat"
    found = await complete_job(world, ada, "content-analysis", {"url": film})
    assert found["result"]["measured"]["info"]["hasAudio"] is True


async def test_clips_are_assembled_under_a_master_sound(
    world: World, ada: httpx.AsyncClient
) -> None:
    scene = await make_clip(world, ada)
    body = {
        "sceneVideos": [scene, scene],
        "masterAudio": await make_music(world, ada),
        "outputFormats": ["mp4", "webm"],
    }
    job = await complete_job(world, ada, "video-assembly", body)
    films = job["result"]["artifacts"]
    assert [film["contentType"] for film in films] == ["video/mp4", "video/webm"]
    assert all(film["durationSeconds"] == pytest.approx(2, abs=0.3) for film in films)


@needs_speech
async def test_one_line_becomes_a_movie(world: World, ada: httpx.AsyncClient) -> None:
    body = {
        "prompt": "a fox and a rabbit build a boat",
        "num_sequences": 2,
        "seed": 4,
        "options": FILM,
    }
    job = await complete_job(world, ada, "movie-creation", body)
    (film,) = job["result"]["artifacts"]
    assert film["durationSeconds"] > 10
    assert job["result"]["story"]["scenes"][0]["title"] == job["result"]["scenes"][0]["title"]
    assert job["result"]["narration"] == "speech"
    assert job["credits"] == {"held": 0, "captured": 8, "released": 0}
    assert (await read_balance(ada))["held"] == 0


async def test_what_cannot_be_spoken_is_told_by_captions_which_the_result_says(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {
        "imageUrls": [await make_picture(world, ada)],
        "narration": "It was late.",
        "language": "sux",
        "options": FILM,
    }
    job = await complete_job(world, ada, "scene-creation", body)
    assert job["result"]["narration"] == "captions"
    assert job["result"]["note"].startswith("The narrations of 1 of 1 scenes are captions: ")
    assert job["credits"] == {"held": 0, "captured": 2, "released": 1}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"captions": "none"}, "The narrations of 1 of 2 scenes are not in the film"),
        ({"captions": "burned"}, None),
    ],
)
async def test_an_unused_narration_is_reported(
    world: World, ada: httpx.AsyncClient, options: dict[str, Any], words: str | None
) -> None:
    image = await make_picture(world, ada)
    scenes = [{"imageUrl": image, "narration": "It was late."}, {"imageUrl": image}]
    body = {"scenes": scenes, "options": {**FILM, **options}}
    job = await complete_job(world, ada, "video-composition", body)
    assert job["result"].get("note", "").startswith(words or "")
    assert ("note" in job["result"]) is (words is not None)
