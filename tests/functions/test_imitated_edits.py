"""A picture that is given to the imitation is changed as the prompt says, not replaced."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from functions.job_requests import complete_job
from simulation.world import World

SIDE = 96


def build_half() -> Image.Image:
    """A picture that is dark grey on the left and light grey on the right."""
    sheet = np.full((SIDE, SIDE, 3), 50, np.uint8)
    sheet[:, SIDE // 2 :] = 210
    return Image.fromarray(sheet)


async def read_picture(world: World, job_id: str) -> npt.NDArray[np.float64]:
    job = await world.job(job_id)
    blobs = world.services.blobs
    data = b"".join([piece async for piece in blobs.read(job.artifacts[0].path)])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float64)


@pytest.mark.parametrize("job_type", ["ai-processing", "image-generation"])
async def test_make_it_blue_makes_the_given_picture_blue(
    job_type: str, world: World, ada: httpx.AsyncClient
) -> None:
    file = io.BytesIO()
    build_half().save(file, "PNG")
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    bodies: dict[str, dict[str, Any]] = {
        "ai-processing": {
            "task": "image-to-image",
            "input": {"prompt": "make it blue", "imageUrl": url},
        },
        "image-generation": {"prompt": "make it blue", "imageUrls": [url]},
    }
    made = await complete_job(world, ada, job_type, bodies[job_type])
    picture = await read_picture(world, made["jobId"])
    height, width, _ = picture.shape
    left, right = picture[:, : width // 2 - 4], picture[:, width // 2 + 4 :]
    # Its light and its shape are those of the picture that was given,
    assert height == width
    assert right.mean() > left.mean() + 60
    # and its colour is the one of the prompt.
    assert right[..., 2].mean() > right[..., 0].mean() + 20
