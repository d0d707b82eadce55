"""Document 3, word for word: its kinds of jobs, their attempts and times, its messages."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from functions import documents_text as documents
from functions.job_requests import expect_problem, read_job
from simulation.world import World
from streamed_answers import StreamedAnswers
from taskreel import service_building
from taskreel.adapters.webhook_sender import WebhookSender
from taskreel.domain.job_status import Status
from taskreel.jobtypes import find_job_type

FENCES = documents.fences()


async def make_files(world: World, user: httpx.AsyncClient) -> dict[str, str]:
    """A picture, a sound and a video of the user, as references to their jobs."""
    bodies = {
        "image": ("image-generation", {"prompt": "a kite", "options": {"width": 64, "height": 64}}),
        "sound": ("audio-synthesis", {"text": "Hello there."}),
        "video": (
            "video-generation",
            {"prompt": "a kite", "options": {"duration": 1, "width": 64, "height": 64, "fps": 8}},
        ),
    }
    jobs = {
        kind: (await user.post(f"/api/jobs/{type_}", json=body)).json()
        for kind, (type_, body) in bodies.items()
    }
    await world.advance(30)
    found = {}
    for kind, job in jobs.items():
        ended = await read_job(user, job)
        assert ended["status"] == "COMPLETED", ended
        found[kind] = f"job:{job['jobId']}/{ended['result']['artifacts'][0]['name']}"
    return found


ROUTE_OF_JOB = {
    "AIGenerationJob": "/api/jobs/ai-generation",
    "MediaProcessingJob": "/api/jobs/media-processing",
    "VideoAssemblyJob": "/api/jobs/video-assembly",
    "WebhookJob": "/api/jobs/webhook",
}
SHAPES = documents.interfaces(FENCES["3 Job Types"])
PARAMETERS = set(re.findall(r"parameters\.(\w+)", " ".join(FENCES.values())))


def test_every_job_of_document_3_has_a_route() -> None:
    assert SHAPES.keys() - {"BaseJob"} == ROUTE_OF_JOB.keys()
    assert {"style", "imageUrl", "musicTrack"} == PARAMETERS


def build_bodies(files: dict[str, str], shape: str) -> list[dict[str, Any]]:
    """The bodies of a shape, their files ours, and the parameters that the processors read."""
    samples = {
        "userId": "ada",
        "prompt": "A pier at dusk",
        "modelId": "flux-1.1-pro",
        "inputFiles": [files["video"]],
        "outputPath": "films/the-result.mp4",
        "sceneVideos": [files["video"], files["video"]],
        "masterAudio": files["sound"],
        "webhookUrl": "https://93.184.216.34/hooks",
    }
    bodies = documents.bodies_of(SHAPES[shape], samples)
    for body in bodies:
        match body.get("type"):
            case "image":
                body["parameters"] = {"style": "watercolour"}
            case "video":
                body["parameters"] = {"imageUrl": files["image"]}
                body["modelId"] = "runway-gen4"
            case "script":
                body["parameters"] = {"genre": "comedy"}
                del body["modelId"]  # the document's processor passes it to pictures and videos
            case "scene-description":
                del body["modelId"]
            case "audio-stitch":
                body["inputFiles"] = [files["sound"]]
            case "music-mix":
                body["inputFiles"] = [files["sound"]]
                body["parameters"] = {"musicTrack": files["sound"]}
            case _:
                pass
    return bodies


@pytest.fixture
def answer_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address that is sent a message answers 204."""
    transport = StreamedAnswers(lambda _request: httpx.Response(204))
    monkeypatch.setattr(
        service_building, "WebhookSender", partial(WebhookSender, transport=transport)
    )


@pytest.mark.usefixtures("answer_webhooks")  # before `world` is built
@pytest.mark.parametrize("shape", ROUTE_OF_JOB)
async def test_a_job_of_document_3_completes(
    shape: str, world: World, ada: httpx.AsyncClient
) -> None:
    files = await make_files(world, ada)
    for body in build_bodies(files, shape):
        answer = await ada.post(ROUTE_OF_JOB[shape], json=body)
        assert answer.status_code == 202, (body, answer.text)
        ignored = {"id", "createdAt"} | (body.keys() & {"retryCount"})
        assert set(answer.json()["ignoredFields"]) == ignored
        await world.advance(120)
        job = await read_job(ada, answer.json())
        assert job["status"] == "COMPLETED", (body, job["error"])
        if "outputPath" in body:
            assert [file["name"].partition(".")[0] for file in job["result"]["artifacts"]] == [
                "the-result"
            ]


def minutes_of(text: str) -> timedelta:
    product = 1
    for factor in re.findall(r"\d+", text):
        product *= int(factor)
    return timedelta(milliseconds=product)


SERVED_BY = {
    "addAIGenerationJob": (
        "script-generation",
        "image-generation",
        "video-generation",
        "ai-processing",
    ),
    "addMediaProcessingJob": ("media-processing",),
    "addVideoAssemblyJob": ("video-assembly",),
    "addWebhookJob": ("webhook",),
}


def list_queue_methods() -> list[tuple[str, str, str, str]]:
    """Of each method that adds a job: its name, time-out, retries, and the rest of the call."""
    return re.findall(
        r"static async (add\w+Job)\(.*?\.timeout\(([^)]+)\).*?\.retries\((\d+)\)(.*?)\.save",
        FENCES["3 Queue Service"],
        re.DOTALL,
    )


def test_attempts_and_backoff_are_those_of_document_3() -> None:
    methods = list_queue_methods()
    assert {name for name, *_ in methods} == SERVED_BY.keys()
    own_backoff = {key.split(" ", 1)[1] for key in FENCES if key.startswith("5 ")}
    for name, _, retries, backoff in methods:
        for type_ in SERVED_BY[name]:
            job_type = find_job_type(type_)
            # Documents 1 and 2 have three attempts a generation: the lower number counts.
            most = 3 if type_ != "webhook" else int(retries) + 1
            assert job_type.retry.max_attempts == min(int(retries) + 1, most), type_
            delay = re.search(r"'exponential', (\d+)", backoff)
            title = type_.replace("-", " ").title()
            if delay and f"{title} Queue" not in own_backoff:  # document 5 has its own
                assert job_type.retry.min_backoff_seconds * 1000 == int(delay[1]), type_


@pytest.mark.parametrize("method", [name for name, types in SERVED_BY.items() if types])
def test_times_are_those_of_document_3(method: str) -> None:
    (timeout,) = (time for name, time, *_ in list_queue_methods() if name == method)
    declared = {type_: find_job_type(type_).timeout for type_ in SERVED_BY[method]}
    assert declared == dict.fromkeys(declared, minutes_of(timeout))


async def test_every_status_of_document_3_is_understood(ada: httpx.AsyncClient) -> None:
    text = FENCES["3 Queue Jobs Collection"]
    names = re.search(r"name: 'status'.*?\]", text, re.DOTALL)
    assert names
    statuses = re.findall(r"value: '(\w+)'", names[0])
    assert len(statuses) == 5
    for status in statuses:
        assert Status(status) is Status[status.upper()]
        for spelling in (status, status.upper()):
            found = await ada.get("/api/jobs", params={"status": spelling})
            assert found.status_code == 200, found.text


async def test_a_script_starts_with_the_documented_message(
    world: World, ada: httpx.AsyncClient
) -> None:
    text = FENCES["3 Usage Examples"]
    fields = re.search(r"const { (.+) } = await request", text)
    message = re.search(r"message: '([^']+)'", text)
    assert fields
    assert message
    samples = {"projectId": "p1", "userId": "ada", "parameters": {"genre": "comedy"}}
    body = {name: samples[name] for name in fields[1].split(", ")}
    answer = await ada.post("/v1/generate/script", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["message"] == message[1]
    await world.advance(10)
    found = (await ada.get(f"/v1/jobs/{answer.json()['jobId']}/status")).json()
    assert found["status"] == "COMPLETED"


async def test_a_job_that_does_not_exist_has_the_documented_error(ada: httpx.AsyncClient) -> None:
    shown = re.search(
        r"json\({ error: '([^']+)' }, { status: (\d+) }", FENCES["3 Usage Examples #2"]
    )
    assert shown
    problem = expect_problem(await ada.get("/v1/jobs/job_none/status"), int(shown[2]), "not_found")
    assert problem["error"] == shown[1]
