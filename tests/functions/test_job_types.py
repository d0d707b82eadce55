"""Each job type once through the public API, with the real files of the local provider."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import PAID_TYPES, complete_job, expect_problem
from functions.made_files import FILM, SMALL, make_clip, make_music, make_picture
from simulation.world import World
from taskreel.jobtypes import JOB_TYPES
from taskreel_local.studio.speech import is_installed

needs_speech = pytest.mark.skipif(not is_installed(), reason="the speech extra is not installed")


async def test_a_story_is_scenes_that_can_be_drawn_and_spoken(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {
        "prompt": "a lighthouse keeper finds a message",
        "genre": "drama",
        "num_sequences": 4,
        "seed": 3,
    }
    job = await complete_job(world, ada, "story-generation", body)
    story = job["result"]
    assert job["servedBy"] == "studio"
    assert "studio" in story["generator"]
    assert len(story["scenes"]) == 4
    assert all("lighthouse keeper" in scene["description"].lower() for scene in story["scenes"])
    assert any("message" in scene["narration"] for scene in story["scenes"])
    assert all(scene["durationSeconds"] >= 4 for scene in story["scenes"])


@pytest.mark.parametrize("form", ["screenplay", "fountain", "prose", "outline"])
async def test_a_script_is_laid_out_in_its_format(
    form: str, world: World, ada: httpx.AsyncClient
) -> None:
    job = await complete_job(
        world, ada, "script-generation", {"prompt": "two bakers share an oven", "format": form}
    )
    script = job["result"]
    assert script["format"] == form
    assert script["title"].lower() in script["text"].lower()
    assert all(scene["narration"] in script["text"] for scene in script["scenes"])


@needs_speech
@pytest.mark.parametrize("form", ["mp3", "wav", "opus"])
async def test_text_is_spoken_in_the_format_asked_for(
    form: str, world: World, ada: httpx.AsyncClient
) -> None:
    job = await complete_job(
        world,
        ada,
        "audio-synthesis",
        {"text": "The lamp is lit.", "voice": "Rachel", "format": form},
    )
    (sound,) = job["result"]["artifacts"]
    assert sound["contentType"].startswith("audio/")
    assert sound["durationSeconds"] > 0.5
    assert "Rachel" in job["result"]["note"]  # another provider's voice, and which one stood in


@needs_speech
async def test_a_scene_is_a_picture_and_narration_as_a_clip(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {"prompt": "a keeper at dusk", "narration": "It was late.", "options": FILM}
    job = await complete_job(world, ada, "scene-creation", body)
    (film,) = job["result"]["artifacts"]
    assert (film["width"], film["height"]) == (96, 64)
    assert job["result"]["narration"] == "speech"
    assert job["credits"]["captured"] == 4


async def test_several_pictures_of_a_scene_share_its_length(
    world: World, ada: httpx.AsyncClient
) -> None:
    images = [await make_picture(world, ada), await make_picture(world, ada, "a blue kite")]
    body = {"imageUrls": images, "durationSeconds": 2, "options": FILM}
    job = await complete_job(world, ada, "scene-creation", body)
    assert job["result"]["artifacts"][0]["durationSeconds"] == pytest.approx(2, abs=0.2)
    assert job["credits"]["captured"] == 2


async def test_a_world_has_places_people_colours_and_rules(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {
        "prompt": "a floating city of glass",
        "places": 3,
        "characters": 2,
        "conceptPictures": 1,
    }
    job = await complete_job(world, ada, "world-building", body)
    found = job["result"]["world"]
    assert (len(found["places"]), len(found["characters"])) == (3, 2)
    assert all(colour["hex"].startswith("#") for colour in found["palette"])
    assert len(found["rules"]) == 4
    assert job["result"]["artifacts"][0]["contentType"] == "image/png"


async def test_a_world_without_pictures_is_its_text_alone(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await complete_job(world, ada, "world-building", {"prompt": "an ocean under the ice"})
    assert job["result"]["artifacts"] == []
    assert job["result"]["name"]
    assert job["credits"]["captured"] == 1


async def test_media_are_measured(world: World, ada: httpx.AsyncClient) -> None:
    image = await complete_job(
        world, ada, "content-analysis", {"imageUrl": await make_picture(world, ada)}
    )
    assert image["result"]["measured"]["info"]["width"] == 64
    assert image["result"]["measured"]["image"]["colours"]
    film = await complete_job(
        world,
        ada,
        "content-analysis",
        {"videoUrl": await make_clip(world, ada), "contentType": "video"},
    )
    assert film["result"]["measured"]["video"]["shots"]
    sound = await complete_job(
        world, ada, "content-analysis", {"audioUrl": await make_music(world, ada)}
    )
    assert sound["result"]["measured"]["audio"]["loudness"]["integratedLufs"] < -10


async def test_scripts_are_counted_by_scene_and_speaker(
    world: World, ada: httpx.AsyncClient
) -> None:
    script = {
        "scenes": [{"dialogue": [{"speaker": "Ada", "line": "Hello."}], "durationSeconds": 4}]
    }
    job = await complete_job(world, ada, "content-analysis", {"script": script})
    assert job["result"]["script"] == {
        "scenes": 1,
        "linesBySpeaker": {"Ada": 1},
        "durationSeconds": 4,
    }
    text = await complete_job(
        world, ada, "content-analysis", {"text": "EXT. BEACH - DAWN\n\nA boat. It was early."}
    )
    assert text["result"]["script"]["scenes"] == 1
    assert text["result"]["measured"]["text"]["words"] >= 6


async def test_insights_that_no_model_gives_are_not_charged(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await complete_job(
        world, ada, "content-analysis", {"content": "A boat.", "provider": "openai"}
    )
    measured, insights = job["result"]["items"]
    assert measured["status"] == "done"
    assert insights["error"]["code"] == "not_offered"
    assert job["credits"] == {"held": 0, "captured": 1, "released": 1}


async def test_media_are_processed(world: World, ada: httpx.AsyncClient) -> None:
    scene, sound = await make_clip(world, ada), await make_music(world, ada)
    for operation, files, kind in (
        ("video-stitch", [scene, scene], "video/mp4"),
        ("audio-stitch", [sound, sound], "audio/mpeg"),
        ("music-mix", [sound, sound], "audio/mpeg"),
        ("frame-extract", [scene], "image/png"),
    ):
        job = await complete_job(
            world, ada, "media-processing", {"operation": operation, "inputFiles": files}
        )
        assert job["result"]["artifacts"][0]["contentType"] == kind, operation


async def test_names_in_a_text_change_as_far_as_the_intensity_says(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {
        "content": "Mara and MARA and Mara and Mara.",
        "aspects": {"names": {"Mara": "Ada"}},
        "intensity": 0.5,
    }
    job = await complete_job(world, ada, "personalization", body)
    assert job["result"]["text"] == "Ada and ADA and Mara and Mara."
    assert job["result"]["applied"] == ["names: Mara → Ada (2×)"]


async def test_what_takes_none_of_the_aspects_fails_with_the_reasons_and_costs_nothing(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {"content": "Dear Ada", "aspects": {"names": {"Mara": "Eve"}, "palette": "warm"}}
    job = (await ada.post("/api/jobs/personalization", json=body)).json()
    await world.advance(60)
    failed = (await ada.get(job["urls"]["self"])).json()
    assert (failed["status"], failed["error"]["code"], failed["credits"]["captured"]) == (
        "FAILED",
        "nothing_applied",
        0,
    )
    assert (
        "names: Mara: the text does not contain it; palette: a text has none"
        in failed["error"]["message"]
    )


async def test_a_caption_speaks_to_whom_it_is_for_and_says_what_it_is_not(
    world: World, ada: httpx.AsyncClient
) -> None:
    aspects = {
        "caption": "For {name}",
        "names": {"{name}": "Ada", "Mara": "Eve"},
        "language": "fr",
        "voice": "low",
    }
    body = {"imageUrl": await make_picture(world, ada), "aspects": aspects}
    job = await complete_job(world, ada, "personalization", body)
    assert job["result"]["applied"] == ["names: {name} → Ada (1×)", "caption"]
    assert set(job["result"]["skipped"]) == {"names: Mara", "language", "voice"}


async def test_pictures_and_films_become_personal(world: World, ada: httpx.AsyncClient) -> None:
    aspects = {"palette": "sepia", "caption": "For Ada"}
    before = await make_picture(world, ada)
    job = await complete_job(
        world, ada, "personalization", {"imageUrl": before, "aspects": aspects}
    )
    assert job["result"]["applied"] == ["palette", "caption"]
    tinted = await complete_job(
        world, ada, "content-analysis", {"url": f"job:{job['jobId']}/personalized.png"}
    )
    colour = tinted["result"]["measured"]["image"]["colours"][0]["hex"]
    red, blue = int(colour[1:3], 16), int(colour[5:7], 16)
    assert red > blue
    film = await complete_job(
        world, ada, "personalization", {"videoUrl": await make_clip(world, ada), "aspects": aspects}
    )
    assert film["result"]["applied"] == ["palette", "caption"]
    assert film["result"]["artifacts"][0]["contentType"] == "video/mp4"


@pytest.mark.parametrize(
    ("task", "input_", "kind"),
    [("text", "a quiet boat", None), ("text-to-image", {"prompt": "a kite"}, "image/png")],
)
async def test_a_task_finds_its_capability(
    task: str, input_: Any, kind: str | None, world: World, ada: httpx.AsyncClient
) -> None:
    parameters = SMALL if kind else {}
    job = await complete_job(
        world, ada, "ai-processing", {"task": task, "input": input_, "parameters": parameters}
    )
    assert [artifact["contentType"] for artifact in job["result"]["artifacts"]] == (
        [kind] if kind else []
    )


async def test_a_parameter_that_does_not_fit_is_named_with_its_path(ada: httpx.AsyncClient) -> None:
    body = {"task": "image", "input": "a kite", "parameters": {"width": 1}}
    refused = expect_problem(
        await ada.post("/api/jobs/ai-processing", json=body), 422, "invalid_request"
    )
    assert refused["errors"][0]["path"] == "parameters.width"


@pytest.mark.parametrize("name", JOB_TYPES)
async def test_each_type_describes_itself(name: str, ada: httpx.AsyncClient) -> None:
    rows = {row["jobType"]: row for row in (await ada.get("/api/jobs/types")).json()["jobTypes"]}
    assert rows[name]["schema"]["additionalProperties"] is False
    answer = await ada.post(f"/api/jobs/{name}?validateOnly=true", json=rows[name]["example"])
    if name in PAID_TYPES:  # quoted in test_paid_types.py
        expect_problem(answer, 422, "provider_not_configured")
        return
    assert answer.json()["cost"] >= (name != "webhook"), answer.text  # a message is free


@pytest.mark.parametrize("name", [name for name in JOB_TYPES if name != "pipeline"])
async def test_a_field_that_no_type_has_is_refused(name: str, ada: httpx.AsyncClient) -> None:
    body = {**JOB_TYPES[name].example, "surprise": 1}
    refused = expect_problem(await ada.post(f"/api/jobs/{name}", json=body), 422, "invalid_request")
    assert {"path": "surprise"}.items() <= refused["errors"][0].items()
