"""Document 5, word for word: movies and stories in their wrapper, failures and statistics."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from functions import documents_text as documents
from functions.job_requests import read_job
from functions.test_document_1 import PRICES, declared_queues
from simulation.world import World
from taskreel.jobtypes import JOB_TYPES

FENCES = documents.fences()
QUEUES_OF_5 = [key for key in FENCES if key.startswith("5 ") and key.endswith(" Queue")]


@pytest.mark.parametrize("key", QUEUES_OF_5)
def test_the_queues_of_document_5_are_declared(key: str) -> None:
    """`concurrency` is for one machine: in the cloud each of document 1's queues has 100."""
    stated = documents.read_literal(FENCES[key])
    retry = JOB_TYPES[stated["name"]].retry
    assert retry.max_attempts == stated["settings"]["retryAttempts"]
    assert retry.min_backoff_seconds * 1000 == stated["settings"]["backoff"]["delay"]
    assert f"{stated['name']}-queue" in declared_queues()


STORY = {
    "title": "The Fox",
    "scenes": [
        {"description": "A fox in the snow", "narration": "It was cold."},
        {"description": "A fox at a fire", "narration": "It was warm."},
    ],
}
_MOVIE = {
    "userId": "ada",
    "prompt": "A fox",
    "genre": "drama",
    "num_sequences": 2,
    "seed": 7,
    "sampler": "euler",
    "steps": 20,
    "cfg_scale": 7,
    "story": STORY,
}


def wrapped(key: str, **samples: Any) -> dict[str, Any]:
    """The body of a block of document 5, `movieData` and all."""
    shape = documents.shape_of(FENCES[key], "movieData")
    (movie,) = documents.bodies_of(shape, {**_MOVIE, **samples})
    return {"movieData": movie}


async def test_a_movie_in_its_wrapper_is_accepted(ada: httpx.AsyncClient) -> None:
    body = wrapped("5 1. Movie Creation")
    for sent in (body, body["movieData"]):
        answer = await ada.post("/api/movies", json=sent)
        assert answer.status_code == 202, answer.text
        movie = answer.json()
        assert movie["ignoredFields"] == ["id"]
        assert movie["payload"]["numSequences"] == 2
        status = await ada.get(f"/api/movies/{movie['movieId']}/status")
        assert status.json()["currentStep"] == "story"


async def test_a_story_in_its_wrapper_completes(world: World, ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/jobs/story-generation", json=wrapped("5 2. Story Generation"))
    assert answer.status_code == 202, answer.text
    assert answer.json()["ignoredFields"] == ["id"]
    # The rest of a movie's data may be there too.
    more = wrapped("5 1. Movie Creation")
    answer = await ada.post("/api/jobs/story-generation", json=more)
    assert answer.json()["ignoredFields"] == [
        "id",
        *(f"movieData.{name}" for name in ("sampler", "steps", "cfg_scale")),
    ], answer.text
    await world.advance(10)
    assert len((await read_job(ada, answer.json()))["result"]["scenes"]) == 2


async def test_the_pictures_of_a_given_story_are_made(world: World, ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/api/jobs/image-generation", json=wrapped("5 3. Image Generation"))
    assert answer.status_code == 202, answer.text
    assert answer.json()["credits"]["held"] == len(STORY["scenes"])
    await world.advance(20)
    job = await read_job(ada, answer.json())
    assert job["status"] == "COMPLETED", job["error"]
    assert len(job["result"]["artifacts"]) == len(STORY["scenes"])


async def test_a_clip_is_made_of_each_picture_of_a_given_story(
    world: World, ada: httpx.AsyncClient
) -> None:
    pictures = (
        await ada.post("/api/jobs/image-generation", json=wrapped("5 3. Image Generation"))
    ).json()
    await world.advance(20)
    made = (await read_job(ada, pictures))["result"]
    # In this world the files' own addresses cannot be reached: by reference to their job.
    files = [{"url": f"job:{pictures['jobId']}/{one['name']}"} for one in made["artifacts"]]
    body = wrapped("5 4. Video Generation", images={"artifacts": files})
    body["options"] = {"duration": 1, "width": 64, "height": 64, "fps": 8}
    answer = await ada.post("/api/jobs/video-generation", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["credits"]["held"] == PRICES["video-generation"] * len(STORY["scenes"])
    await world.advance(60)
    job = await read_job(ada, answer.json())
    assert job["status"] == "COMPLETED", job["error"]
    assert len(job["result"]["artifacts"]) == len(STORY["scenes"])


async def test_a_failure_has_the_documented_error(world: World, ada: httpx.AsyncClient) -> None:
    text = FENCES["5 Job Failures"]
    shape = re.findall(r"^    (\w+): \w+,?$", text, re.MULTILINE)
    assert shape == [
        "message",
        "code",
        "details",
        "timestamp",
        "attempts",
        "maxAttempts",
        "nextAttempt",
    ]
    body = {"prompt": "x", "options": {"studio": {"mode": "fail-permanent"}}}
    job = (await ada.post("/api/jobs/image-generation", json=body)).json()
    await world.advance(1)
    failed = (await ada.get(f"/api/jobs/{job['jobId']}")).json()
    assert {"message", "code", "details", "timestamp"} <= failed["error"].keys()
    assert failed["retry"].keys() == {"attempts", "maxAttempts", "nextAttempt"}


async def test_the_statistics_of_a_queue_have_the_documented_fields(ada: httpx.AsyncClient) -> None:
    groups = re.findall(r"(\w+): {(.*?)}", FENCES["5 Queue Metrics"], re.DOTALL)
    shape = {name: set(re.findall(r"(\w+): \w+", fields)) for name, fields in groups}
    assert {name: len(fields) for name, fields in shape.items()} == {"queue": 6, "performance": 3}
    for row in (await ada.get("/api/jobs/queues/stats")).json()["queues"]:
        for name, fields in shape.items():
            assert fields <= row[name].keys()
