"""The pictures that a job starts from: a URL, a data: URL, or a file of one's own job."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from functions.asking import UPSCALE, read, submitted
from simulation.world import World, running
from taskreel.adapters.fetch import Fetcher


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), "navy").save(file, "PNG")
    return file.getvalue()


def served(request: httpx.Request) -> httpx.Response:
    """A web server with one picture."""
    if request.url.path == "/a.png":
        return httpx.Response(200, content=png(), headers={"content-type": "image/png"})
    return httpx.Response(404)


@pytest.fixture
async def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    fetch = Fetcher(transport=httpx.MockTransport(served))
    async with running(tmp_path, monkeypatch, change=lambda services: replace(services, fetch=fetch)) as world:
        yield world


async def upscaled(world: World, url: str) -> dict[str, Any]:
    """What becomes of an upscale of the URL."""
    job = await submitted(world.as_user("ada"), {"imageUrl": url, "scale": 2}, UPSCALE)
    await world.settle()
    return await read(world.as_user("ada"), job)


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
async def test_an_input_that_cannot_be_had_fails_the_job_at_once_and_says_why(web: World, url: str, code: str) -> None:
    failed = await upscaled(web, url)
    assert (failed["status"], failed["attempt"], failed["error"]["code"]) == ("FAILED", 1, code)
    assert failed["credits"]["released"] == 2


async def test_what_is_no_picture_fails_the_job(web: World) -> None:
    failed = await upscaled(web, "data:image/png,just%20text")
    assert (failed["status"], failed["error"]["category"]) == ("FAILED", "permanent")


async def test_an_unknown_file_of_a_job_lists_those_it_has(web: World) -> None:
    first = await upscaled(web, "http://93.184.216.34/a.png")
    failed = await upscaled(web, f"job:{first['jobId']}/other.png")
    assert "upscaled.png" in failed["error"]["message"]


async def test_a_file_that_has_been_deleted_fails_the_job(web: World) -> None:
    first = await upscaled(web, "http://93.184.216.34/a.png")
    await web.services.blobs.delete(f"artifacts/{first['jobId']}")
    failed = await upscaled(web, f"job:{first['jobId']}/upscaled.png")
    assert failed["error"]["code"] == "input_not_found"
