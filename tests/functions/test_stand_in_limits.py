"""The stand-in takes what the named model would take: a deployment refuses the rest.

How many pictures a model takes is in `test_image_references.py`.
"""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem
from providers.fake_provider import build_png

PICTURE = "data:image/png;base64," + base64.b64encode(build_png()).decode()


def clip_of(**fields: Any) -> dict[str, Any]:
    return {"prompt": "waves at dusk", **fields}


#: The job type, the request, and what the model cannot do; None where it can.
REQUESTS = {
    "gen4_turbo needs a picture": (
        "video-generation",
        clip_of(provider="runway", model="gen4_turbo"),
        "text without an input picture",
    ),
    "it has one": (
        "video-generation",
        clip_of(provider="runway", model="gen4_turbo", imageUrl=PICTURE),
        None,
    ),
    "kontext needs a picture, whoever sells it": (
        "image-generation",
        {"prompt": "a kite", "model": "flux-kontext-pro", "provider": "fal"},
        "text without an input picture",
    ),
    "too many seconds": (
        "video-generation",
        clip_of(provider="google", model="veo-3.1", options={"duration": 12}),
        "12 s",
    ),
    "seconds of another model of it": (
        "video-generation",
        clip_of(provider="google", options={"duration": 10}),
        None,
    ),
    "too many seconds for all of its models": (
        "video-generation",
        clip_of(provider="luma", options={"duration": 12}),
        "12 s",
    ),
    "a model without its provider's name": (
        "video-generation",
        clip_of(model="gen4_turbo"),
        "text without an input picture",
    ),
    "a list of which one can": (
        "video-generation",
        clip_of(provider=["runway", "xai"], options={"duration": 12}),
        None,
    ),
    "the stand-in by its own name": (
        "video-generation",
        clip_of(provider="studio", options={"duration": 12}),
        None,
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_stand_in_refuses_what_the_named_model_cannot_do(
    name: str, ada: httpx.AsyncClient
) -> None:
    job_type, body, lacks = REQUESTS[name]
    answer = await ada.post(f"/api/jobs/{job_type}?validateOnly=true", json=body)
    if lacks is None:
        assert answer.status_code == 200, answer.text
    else:
        problem = expect_problem(answer, 422, "no_provider")
        assert f"cannot do {lacks}" in problem["detail"]


async def test_a_step_whose_picture_is_still_to_be_made_is_not_refused(
    ada: httpx.AsyncClient,
) -> None:
    clip = clip_of(
        provider="runway", model="gen4_turbo", imageUrl="{{steps.still.artifacts[0].url}}"
    )
    steps = {
        "still": {"type": "image-generation", "payload": {"prompt": "waves"}},
        "clip": {"type": "video-generation", "payload": clip},
    }
    answer = await ada.post("/api/jobs/pipeline?validateOnly=true", json={"steps": steps})
    assert answer.status_code == 200, answer.text
