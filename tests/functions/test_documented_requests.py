"""Request bodies of the older services' guides are accepted; README names every route."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from functions.job_requests import PAID_TYPES, expect_problem, read_job
from simulation.world import ROOT, World
from taskreel.jobtypes import JOB_TYPES

PNG, MP4, MP3 = (
    "https://example.com/a.png",
    "https://example.com/a.mp4",
    "https://example.com/a.mp3",
)

DOCUMENTED: list[tuple[str, dict[str, Any]]] = [
    # Images, videos, batches: the names of models and providers as their guides have them.
    (
        "/api/jobs/image-generation",
        {
            "prompt": "A lighthouse in a storm",
            "model": "flux-1.1-pro",
            "provider": "bfl",
            "options": {"width": 1024, "height": 768},
        },
    ),
    ("/api/jobs/image-generation", {"prompt": "A kite", "projectId": "p1", "priority": "high"}),
    (
        "/api/jobs/image-generation",
        {"prompt": "A kite", "options": {"steps": 30, "cfg_scale": 7.5, "sampler": "euler"}},
    ),
    (
        "/api/jobs/video-generation",
        {
            "prompt": "Slow push in",
            "model": "runway-gen4",
            "provider": "runway",
            "imageUrls": [PNG],
            "options": {"duration": 5},
        },
    ),
    ("/api/jobs/video-generation", {"image_urls": [PNG]}),
    (
        "/api/jobs/image-upscale",
        {"imageUrl": PNG, "model": "real-esrgan", "provider": "upscale", "scale": 4, "options": {}},
    ),
    (
        "/api/jobs/batch-generation",
        {"prompts": ["one", "two"], "batchSize": 2, "options": {"width": 512}},
    ),
    # Texts.
    (
        "/api/jobs/script-generation",
        {"prompt": "Two bakers", "style": "witty", "format": "screenplay"},
    ),
    (
        "/api/jobs/script-generation",
        {"prompt": "Two bakers", "genre": "comedy", "duration": 60, "language": "en"},
    ),
    ("/api/jobs/story-generation", {"prompt": "A fox", "genre": "children", "num_sequences": 3}),
    ("/api/jobs/story-generation", {"prompt": "A fox", "numSequences": 3, "seed": 42}),
    (
        "/api/jobs/world-building",
        {"prompt": "A floating city", "genre": "fantasy", "conceptPictures": 2},
    ),
    (
        "/v1/generate/script",
        {"prompt": "Two bakers", "genre": "comedy", "length": "short", "tone": "warm"},
    ),
    # Sound.
    (
        "/api/jobs/audio-synthesis",
        {"text": "Hello.", "voice": "narrator", "settings": {"speed": 1.1}},
    ),
    ("/api/jobs/audio-synthesis", {"text": "Hello.", "voice_id": "Rachel", "output_format": "wav"}),
    # Films.
    (
        "/api/jobs/scene-creation",
        {"imageUrls": [PNG], "audioUrl": MP3, "options": {"transition": "fade"}},
    ),
    (
        "/api/jobs/scene-creation",
        {"description": "A pier at dusk", "narration": "It was late.", "duration": 4},
    ),
    (
        "/api/jobs/video-composition",
        {
            "scenes": [
                {"sceneId": "1", "videoUrl": MP4, "duration": 4},
                {"imageUrl": PNG, "caption": "Then."},
            ],
            "assets": [{"id": "logo", "type": "image", "url": PNG}],
            "audio": {"url": MP3},
            "outputFormat": "mp4",
            "quality": "high",
            "resolution": "1080p",
        },
    ),
    (
        "/api/jobs/video-composition",
        {"scenes": [MP4, MP4], "audio": MP3, "options": {"resolution": "1280x720"}},
    ),
    (
        "/api/jobs/video-assembly",
        {"sceneVideos": [MP4, MP4], "masterAudio": MP3, "outputFormats": ["mp4", "webm", "mov"]},
    ),
    ("/api/jobs/video-assembly", {"scene_videos": [{"url": MP4, "order": 1}], "master_audio": MP3}),
    *(
        (
            "/api/jobs/media-processing",
            {"type": operation, "inputFiles": files, "parameters": parameters},
        )
        for operation, files, parameters in (
            ("video-stitch", [MP4, MP4], {"format": "webm"}),
            ("audio-stitch", [MP3, MP3], {"crossfade_seconds": 1}),
            ("music-mix", [MP3, MP3], {"duck_db": -12, "target_lufs": -16}),
            ("frame-extract", [MP4], {"timestamp": 1.5}),
            ("frame-extract", [{"url": MP4}], {"position": "last"}),
        )
    ),
    # Analysis, personalization, any provider.
    ("/api/jobs/content-analysis", {"content": "EXT. PIER - DUSK", "contentType": "script"}),
    ("/api/jobs/content-analysis", {"imageUrl": PNG, "type": "image"}),
    (
        "/api/jobs/content-analysis",
        {"videoUrl": MP4, "analysisType": ["pace"], "provider": "google"},
    ),
    (
        "/api/jobs/personalization",
        {"content": "Dear {name}", "aspects": {"name": "Ada"}, "intensity": 0.7},
    ),
    (
        "/api/jobs/personalization",
        {"contentUrl": PNG, "userAspects": {"palette": "warm", "greeting": "Hello Ada"}},
    ),
    (
        "/api/jobs/ai-processing",
        {"task": "text-generation", "input": "A poem", "parameters": {"temperature": 0.7}},
    ),
    (
        "/api/jobs/ai-processing",
        {
            "task": "text-to-image",
            "provider": "stability",
            "input": {"prompt": "A kite"},
            "parameters": {"cfg": 7},
        },
    ),
    *(
        (
            "/api/jobs/ai-generation",
            {"type": type_, "prompt": "A pier at dusk", "parameters": parameters},
        )
        for type_, parameters in (
            ("script", {"genre": "drama", "num_sequences": 2, "tone": "calm"}),
            ("scene-description", {}),
            ("image", {"width": 512, "height": 512}),
            ("video", {"duration": 4}),
        )
    ),
    # Movies and pipelines.
    (
        "/api/movies",
        {
            "prompt": "A lighthouse keeper finds a message",
            "genre": "adventure",
            "num_sequences": 3,
            "seed": 42,
            "sampler": "euler",
            "steps": 30,
            "cfg_scale": 7.5,
        },
    ),
    ("/api/jobs/movie-creation", {"prompt": "A fox", "numSequences": 2, "cfgScale": 7}),
    *(
        (f"/api/jobs/{name}", dict(job_type.example))
        for name, job_type in JOB_TYPES.items()
        if name not in PAID_TYPES  # test_paid_types.py
    ),
]


@pytest.mark.parametrize(
    ("path", "body"),
    DOCUMENTED,
    ids=[f"{number}:{path}" for number, (path, _) in enumerate(DOCUMENTED)],
)
async def test_a_documented_request_is_accepted(
    path: str, body: dict[str, Any], ada: httpx.AsyncClient
) -> None:
    answer = await ada.post(path, json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] == "QUEUED"


async def test_a_movie_says_which_step_it_is_at(world: World, ada: httpx.AsyncClient) -> None:
    film = {"width": 96, "height": 64, "fps": 8, "quality": "draft", "captions": False}
    body = {
        "prompt": "a kite",
        "num_sequences": 2,
        "narration": "none",
        "music": False,
        "options": film,
    }
    movie = (await ada.post("/api/movies", json=body)).json()
    url = f"/api/movies/{movie['movieId']}/status"
    assert movie["statusUrl"].endswith(url)
    before = (await ada.get(url)).json()
    assert [step["name"] for step in before["steps"]] == ["story", "pictures", "film"]
    assert (before["currentStep"], before["percent"], before["result"]) == ("story", 0, None)
    await world.advance(3)
    seen = (await ada.get(url)).json()
    assert {step["name"]: step["status"] for step in seen["steps"]}["story"] == "done"
    await world.advance(20)
    after = (await ada.get(url)).json()
    assert (after["status"], after["currentStep"], after["percent"]) == ("COMPLETED", None, 100)
    assert [step["width"] for step in after["steps"]] == [1, 2, 1]
    assert after["result"]["artifacts"][0]["url"]


async def test_a_movie_is_its_owners_alone(world: World, ada: httpx.AsyncClient) -> None:
    movie = (await ada.post("/api/movies", json={"prompt": "a kite"})).json()
    expect_problem(
        await world.as_user("bob").get(f"/api/movies/{movie['movieId']}/status"), 404, "not_found"
    )


async def test_a_job_is_found_under_the_older_route(world: World, ada: httpx.AsyncClient) -> None:
    job = (await ada.post("/v1/generate/script", json={"prompt": "a kite"})).json()
    await world.advance(2)
    found = (await ada.get(f"/v1/jobs/{job['jobId']}/status")).json()
    assert found["status"] == "COMPLETED"
    assert found["result"]["text"]


@pytest.mark.parametrize(
    ("type_", "job_type"),
    [
        ("script", "script-generation"),
        ("scene-description", "ai-processing"),
        ("image", "image-generation"),
        ("video", "video-generation"),
    ],
)
async def test_a_generation_becomes_a_job_of_the_type_that_does_it(
    type_: str, job_type: str, world: World, ada: httpx.AsyncClient
) -> None:
    parameters = {"studio": {"mode": "noop"}}
    answer = await ada.post(
        "/api/jobs/ai-generation", json={"type": type_, "prompt": "dusk", "parameters": parameters}
    )
    assert answer.json()["jobType"] == job_type, answer.text
    await world.advance(2)
    assert (await read_job(ada, answer.json()))["status"] == "COMPLETED"


async def test_a_generation_of_another_type_is_refused(ada: httpx.AsyncClient) -> None:
    refused = expect_problem(
        await ada.post("/api/jobs/ai-generation", json={"type": "song", "prompt": "x"}),
        422,
        "invalid_request",
    )
    assert refused["errors"][0]["path"] == "type"


def named_in_the_guide() -> set[str]:
    """The paths of the guide's table of calls without parameter names; `…/x` continues the last."""
    text = (ROOT / "infra/guides/api.md").read_text("utf-8")
    table = text.split("| call | does |")[1].split("\n\n")[0]
    found: list[str] = []
    for row in table.splitlines():
        for path in re.findall(r"`(?:[A-Z]+ )?((?:/|…)[^`?]*)", row.rpartition(" | ")[0]):
            found.append(
                path.replace("…", found[-1].partition("/{")[0] + "/{}") if path[0] == "…" else path
            )
    return {re.sub(r"{[^}]*}", "{}", path) for path in found}


@pytest.mark.parametrize("kind", ["script", "image", "video"])
async def test_options_that_are_no_object_are_refused_with_their_path(
    kind: str, ada: httpx.AsyncClient
) -> None:
    body = {"type": kind, "prompt": "x", "options": 5, "parameters": {"colour": "red"}}
    refused = expect_problem(
        await ada.post("/api/jobs/ai-generation", json=body), 422, "invalid_request"
    )
    assert refused["errors"] == [{"path": "options", "message": "must be an object"}]


async def test_the_guide_names_every_route_and_no_other(world: World) -> None:
    document = (await world.api.get("/api/openapi.json")).json()
    types = {f"/api/jobs/{name}" for name in JOB_TYPES}
    routes = {re.sub(r"{[^}]*}", "{}", path) for path in document["paths"] if path not in types}
    below_type = {f"/api/jobs/{{}}/{{}}{suffix}" for suffix in ("/progress", "/result", "/events")}
    assert (
        named_in_the_guide() - {"/", "/api/docs", "/api/openapi.json"}
        == (routes | {"/api/jobs/{}"}) - below_type
    )
