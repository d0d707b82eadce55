"""Every job type end to end on both stacks: over real HTTP, its files fetched and opened."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import av
import httpx
import pytest
from PIL import Image

from e2e.processes import Stack, stack, wait_for_job
from functions.job_requests import PAID_TYPES
from installed_programs import require_firestore_emulator
from taskreel.jobtypes import JOB_TYPES
from taskreel_local.studio.speech import is_installed

SMALL = {"width": 64, "height": 64}
FILM = {"width": 96, "height": 64, "fps": 8, "quality": "draft"}
SPOKEN = {"audio-synthesis", "movie-creation"}


class StackClient:
    """A client of one running stack, and inputs for those types that need some, made once."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self._made: dict[str, str] = {}

    def run(self, job_type: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The job, completed."""
        answer = self.client.post(f"/api/jobs/{job_type}", json=dict(body))
        assert answer.status_code == 202, answer.text
        job = wait_for_job(self.client, answer.json()["jobId"])
        assert job["status"] == "COMPLETED", job["error"]
        return job

    def made(self, job_type: str, **body: Any) -> str:
        """A reference to the first file of such a job."""
        key = f"{job_type} {body}"
        if key not in self._made:
            job = self.run(job_type, body)
            self._made[key] = f"job:{job['jobId']}/{job['result']['artifacts'][0]['name']}"
        return self._made[key]

    @property
    def picture(self) -> str:
        return self.made("image-generation", prompt="a red boat", options=SMALL)

    @property
    def clip(self) -> str:
        return self.made(
            "video-composition", scenes=[{"visual": self.picture, "duration": 1}], options=FILM
        )

    @property
    def music(self) -> str:
        return self.made(
            "ai-processing", task="music", input="calm sea", parameters={"duration": 2}
        )


BODIES: Mapping[str, Callable[[StackClient], dict[str, Any]]] = {
    "image-generation": lambda _: {"prompt": "a red boat", "options": SMALL},
    "video-generation": lambda made: {
        "imageUrls": [made.picture],
        "options": {"duration": 1, **SMALL},
    },
    "image-upscale": lambda made: {"imageUrl": made.picture, "scale": 2},
    "batch-generation": lambda _: {"prompts": ["a kite", "a boat"], "options": SMALL},
    "script-generation": lambda _: {"prompt": "two bakers share an oven", "format": "screenplay"},
    "story-generation": lambda _: {"prompt": "a keeper finds a message", "num_sequences": 3},
    "scene-creation": lambda made: {
        "imageUrls": [made.picture],
        "durationSeconds": 1,
        "options": FILM,
    },
    "audio-synthesis": lambda _: {"text": "The lamp is lit.", "format": "wav"},
    "world-building": lambda _: {"prompt": "a city of glass", "conceptPictures": 1},
    "content-analysis": lambda made: {"videoUrl": made.clip},
    "video-composition": lambda made: {
        "title": "The Boat",
        "scenes": [{"visual": made.picture, "caption": "A boat.", "duration": 1}],
        "music": made.music,
        "options": FILM,
    },
    "video-assembly": lambda made: {
        "sceneVideos": [made.clip, made.clip],
        "masterAudio": made.music,
        "outputFormats": ["mp4", "webm", "mov"],
    },
    "media-processing": lambda made: {
        "operation": "video-stitch",
        "inputFiles": [made.clip, made.clip],
    },
    "personalization": lambda made: {
        "imageUrl": made.picture,
        "aspects": {"palette": "warm", "caption": "For Ada"},
    },
    "ai-processing": lambda _: {
        "task": "music",
        "input": "a calm morning",
        "parameters": {"duration": 2},
    },
    "movie-creation": lambda _: {
        "prompt": "a fox builds a boat",
        "num_sequences": 2,
        "options": FILM,
    },
    "pipeline": lambda _: {
        "steps": {
            "pictures": {
                "type": "image-generation",
                "forEach": ["at dusk", "at dawn"],
                "payload": {"prompt": "a boat {{item}}", "options": SMALL},
            },
            "film": {
                "type": "video-composition",
                "payload": {
                    "assets": "{{steps.pictures.artifacts[*].ref}}",
                    "scenes": [{"duration": 1}],
                    "options": FILM,
                },
            },
        }
    },
}


@pytest.fixture(
    scope="module",
    params=[[], pytest.param(["--google-emulators"], marks=pytest.mark.emulator)],
    ids=["embedded", "google"],
)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The embedded stack, and the one on the Google adapters."""
    if request.param:
        require_firestore_emulator()
    with stack(tmp_path_factory.mktemp("data"), *request.param) as found:
        yield found


@pytest.fixture(scope="module")
def stack_client(running: Stack) -> Iterator[StackClient]:
    with running.client() as client, running.client("root", role="admin") as admin:
        admin.post("/api/credits/dev/grants", json={"amount": 1000}).raise_for_status()
        yield StackClient(client)


def test_no_type_is_forgotten() -> None:
    # A message goes to an address of its own: functions/test_webhook_jobs.py. Paid types have no
    # imitation: functions/test_paid_types.py.
    assert BODIES.keys() == JOB_TYPES.keys() - {"webhook"} - PAID_TYPES


@pytest.mark.parametrize("job_type", BODIES)
def test_a_type_runs_end_to_end_and_its_files_open(
    stack_client: StackClient, job_type: str
) -> None:
    if job_type in SPOKEN and not is_installed():
        pytest.skip("the speech extra is not installed")
    job = stack_client.run(job_type, BODIES[job_type](stack_client))
    assert job["credits"]["captured"] > 0
    artifacts = job["result"]["artifacts"]
    assert artifacts or job["result"].keys() > {"artifacts"}
    for artifact in artifacts:
        opens(artifact, fetched(artifact))


def fetched(artifact: Mapping[str, Any]) -> bytes:
    """The content that the signed URL gives to a client without a token."""
    answer = httpx.get(artifact["url"], timeout=30).raise_for_status()
    assert answer.headers["content-type"] == artifact["contentType"]
    assert len(answer.content) == artifact["bytes"]
    assert hashlib.sha256(answer.content).hexdigest() == artifact["sha256"]
    return answer.content


def opens(artifact: Mapping[str, Any], content: bytes) -> None:
    """The file is what it says: every pixel and every sample can be decoded."""
    kind = artifact["contentType"].partition("/")[0]
    match kind:
        case "image":
            with Image.open(io.BytesIO(content)) as picture:
                picture.load()
                assert picture.size == (artifact["width"], artifact["height"])
        case "video" | "audio":
            with av.open(io.BytesIO(content), mode="r") as media:
                assert media.duration is not None
                assert abs(media.duration / av.time_base - artifact["durationSeconds"]) < 0.2
                assert len(list(media.decode(**{kind: 0}))) > 1
        case _:
            assert content.decode()
