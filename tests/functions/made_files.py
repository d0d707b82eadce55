"""Small pictures, clips and sounds that jobs of a test have made, and their contents."""

from __future__ import annotations

from typing import Any

import httpx

from functions.job_requests import complete_job
from simulation.world import World

SMALL = {"width": 64, "height": 64}
FILM = {"width": 96, "height": 64, "fps": 8, "quality": "draft"}


async def make_picture(world: World, client: httpx.AsyncClient, prompt: str = "a red boat") -> str:
    job = await complete_job(
        world, client, "image-generation", {"prompt": prompt, "options": SMALL}
    )
    return f"job:{job['jobId']}/image.png"


async def make_clip(world: World, client: httpx.AsyncClient, **fields: Any) -> str:
    body = {
        "scenes": [{"visual": await make_picture(world, client), "duration": 1, **fields}],
        "options": FILM,
    }
    job = await complete_job(world, client, "video-composition", body)
    return f"job:{job['jobId']}/film.mp4"


async def make_music(world: World, client: httpx.AsyncClient, seconds: int = 2) -> str:
    body = {
        "task": "music",
        "input": "calm sea",
        "parameters": {"duration": seconds, "outputFormat": "wav"},
    }
    job = await complete_job(world, client, "ai-processing", body)
    return f"job:{job['jobId']}/{job['result']['artifacts'][0]['name']}"


async def read_file(world: World, job: dict[str, Any], name: str) -> bytes:
    """The content of one of the job's files."""
    (path,) = [one.path for one in (await world.job(job["jobId"])).artifacts if one.name == name]
    return b"".join([piece async for piece in world.services.blobs.read(path)])
