"""The pictures that a job starts from: a URL, a data: URL, or a file of one's own job."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from msgspec.structs import replace
from PIL import Image

from functions.job_requests import UPSCALE, read_job, submit_job
from simulation.world import World, running
from streamed_answers import StreamedAnswers
from taskreel.adapters.fetch import Fetcher


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), "navy").save(file, "PNG")
    return file.getvalue()


def mp4() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    return file.getvalue()


def served(request: httpx.Request) -> httpx.Response:
    """A web server with one picture."""
    if request.url.path == "/a.png":
        return httpx.Response(200, content=png(), headers={"content-type": "image/png"})
    if request.url.path.endswith("/a.txt"):
        return httpx.Response(200, content=b"A text.", headers={"content-type": "image/png"})
    return httpx.Response(404)


@pytest.fixture
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    fetch = Fetcher(transport=StreamedAnswers(served))
    async with running(
        tmp_path, monkeypatch, change=lambda services: replace(services, fetch=fetch)
    ) as world:
        yield world


async def upscaled(world: World, url: str) -> dict[str, Any]:
    """The job of an upscale of the URL, after its end."""
    job = await submit_job(world.as_user("ada"), {"imageUrl": url, "scale": 2}, UPSCALE)
    await world.settle()
    return await read_job(world.as_user("ada"), job)


@pytest.mark.parametrize(
    "url",
    ["http://93.184.216.34/a.png", "data:image/png;base64," + base64.b64encode(png()).decode()],
)
async def test_a_picture_is_enlarged_wherever_it_comes_from(web: World, url: str) -> None:
    done = await upscaled(web, url)
    (artifact,) = done["result"]["artifacts"]
    assert (artifact["name"], artifact["width"], artifact["height"]) == ("upscaled.png", 64, 48)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://93.184.216.34/b.png", "input_unreachable"),
        ("http://127.0.0.1/a.png", "input_forbidden"),
        ("data:image/png;base64,!!!", "input_invalid"),
        ("data:no-comma", "input_invalid"),
        ("job:job_none/image.png", "input_not_found"),
    ],
)
async def test_an_input_that_cannot_be_had_fails_the_job_at_once_and_says_why(
    web: World, url: str, code: str
) -> None:
    failed = await upscaled(web, url)
    assert (failed["status"], failed["attempt"], failed["error"]["code"]) == ("FAILED", 1, code)
    assert failed["credits"]["released"] == 2


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("data:image/png,just%20text", "imageUrl"),
        (
            "http://93.184.216.34/a.txt?signature=secret#top",
            "imageUrl (http://93.184.216.34/a.txt)",
        ),
        ("http://me:secret@93.184.216.34/a.txt", "imageUrl (http://93.184.216.34/a.txt)"),
        (
            f"http://93.184.216.34/{'folder/' * 30}a.txt",
            "imageUrl (http://93.184.216.34/folder/fo…/folder/folder/",
        ),
    ],
)
async def test_what_is_no_picture_fails_the_job_which_calls_it_what_its_owner_does(
    web: World, url: str, label: str
) -> None:
    failed = await upscaled(web, url)
    assert (failed["status"], failed["error"]["category"]) == ("FAILED", "permanent")
    assert failed["error"]["message"].startswith(label)
    assert "secret" not in failed["error"]["message"]
    assert "input-0" not in failed["error"]["message"]


async def test_of_several_inputs_the_one_that_is_wrong_is_named(web: World) -> None:
    clip = "data:video/mp4;base64," + base64.b64encode(mp4()).decode()
    body = {"operation": "video-stitch", "inputFiles": [clip, "data:text/plain,a%20text"]}
    job = await submit_job(web.as_user("ada"), body, "/api/jobs/media-processing")
    await web.settle()
    failed = await read_job(web.as_user("ada"), job)
    assert failed["error"]["message"].startswith("inputFiles[1] is text/plain")


async def test_an_unknown_file_of_a_job_lists_those_it_has(web: World) -> None:
    first = await upscaled(web, "http://93.184.216.34/a.png")
    failed = await upscaled(web, f"job:{first['jobId']}/other.png")
    assert "upscaled.png" in failed["error"]["message"]


async def test_a_file_that_has_been_deleted_fails_the_job(web: World) -> None:
    first = await upscaled(web, "http://93.184.216.34/a.png")
    await web.services.blobs.delete(f"artifacts/{first['jobId']}")
    failed = await upscaled(web, f"job:{first['jobId']}/upscaled.png")
    assert failed["error"]["code"] == "input_not_found"
