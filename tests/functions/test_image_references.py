"""`imageUrls` and `numImages` of image-generation, from the request to the result and its price."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.fake_providers import ProviderSetup, running_with_fakes
from functions.job_requests import IMAGE, expect_problem, read_balance, read_job, submit_job
from providers.fake_provider import build_png
from simulation.world import World

INLINE = "data:image/png;base64," + base64.b64encode(build_png()).decode()
SMALL = {"width": 64, "height": 64}


@pytest.fixture
async def paid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ProviderSetup]:
    async with running_with_fakes(tmp_path, monkeypatch, "openai", "stability") as setup:
        yield setup


def image_of(provider: str, **more: Any) -> dict[str, Any]:
    return {"prompt": "a kite over the sea", "provider": provider, "options": SMALL, **more}


async def test_each_image_is_bought_once_and_paid_by_itself(paid: ProviderSetup) -> None:
    quote = await paid.user().post(
        f"{IMAGE}?validateOnly=true", json=image_of("openai", numImages=3)
    )
    assert quote.json()["cost"] == 3
    job = await paid.run_job(image_of("openai", numImages=3))
    assert job["status"] == "COMPLETED", job["error"]
    names = [artifact["name"] for artifact in job["result"]["artifacts"]]
    assert names == ["image-001.png", "image-002.png", "image-003.png"]
    assert job["credits"] == {"held": 0, "captured": 3, "released": 0}
    assert paid.fakes["openai"].creates == 3
    assert "ignoredOptions" not in job["result"]


async def test_pictures_to_start_from_reach_the_providers_path_for_them(
    paid: ProviderSetup,
) -> None:
    job = await paid.run_job(image_of("openai", imageUrls=[INLINE]))
    assert job["status"] == "COMPLETED", job["error"]
    (call,) = paid.fakes["openai"].calls
    assert call.path == "/v1/images/edits"


async def test_a_model_that_takes_no_pictures_is_refused_before_anything_is_held(
    paid: ProviderSetup,
) -> None:
    ada = paid.user()
    before = await read_balance(ada)
    answer = await ada.post(
        IMAGE, json=image_of("stability", model="stable-image-core", imageUrls=[INLINE])
    )
    problem = expect_problem(answer, 422, "no_provider")
    assert "1 input pictures" in problem["detail"]
    assert await read_balance(ada) == before
    assert not paid.fakes["stability"].calls


async def test_the_imitation_makes_as_many_from_the_pictures(
    world: World, ada: httpx.AsyncClient
) -> None:
    body = {"prompt": "make it red", "imageUrls": [INLINE], "numImages": 2, "options": SMALL}
    job = await submit_job(ada, {**body, "options": {**SMALL, "seed": 7}})
    assert job["credits"]["held"] == 2
    await world.advance(20)
    job = await read_job(ada, job)
    assert job["status"] == "COMPLETED", job["error"]
    first, second = job["result"]["artifacts"]
    assert [first["name"], second["name"]] == ["image-001.png", "image-002.png"]
    assert job["credits"] == {"held": 0, "captured": 2, "released": 0}
    assert first["url"] != second["url"]


@pytest.mark.parametrize(
    ("field", "value"), [("numImages", 0), ("numImages", 11), ("imageUrls", [INLINE] * 17)]
)
async def test_more_than_the_type_takes_is_named(
    field: str, value: Any, ada: httpx.AsyncClient
) -> None:
    answer = await ada.post(IMAGE, json={"prompt": "x", field: value})
    problem = expect_problem(answer, 422, "invalid_request")
    assert [error["path"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("wish", "refused"),
    [
        ({"provider": "bfl", "model": "flux-1.1-pro"}, 2),
        ({"provider": "replicate", "model": "flux-kontext-pro"}, 2),
        ({"provider": "replicate", "model": "flux-schnell"}, 1),
        ({"provider": "google"}, None),
        ({"provider": "studio"}, None),
        ({}, None),
    ],
)
async def test_the_imitation_takes_as_many_pictures_as_the_model_in_whose_place_it_stands(
    world: World, ada: httpx.AsyncClient, wish: dict[str, Any], refused: int | None
) -> None:
    """A deployment would refuse the others, after a laptop had taken them."""
    for count in (1, 2, 3):
        body = {"prompt": "a kite", "imageUrls": [INLINE] * count, "options": SMALL, **wish}
        answer = await ada.post(f"{IMAGE}?validateOnly=true", json=body)
        if refused is not None and count >= refused:
            problem = expect_problem(answer, 422, "no_provider")
            assert f"takes at most {refused - 1} pictures to start from" in problem["detail"]
        else:
            assert answer.status_code == 200, answer.text
    assert world.services.providers.paid_names == []


async def test_a_list_price_is_marked_as_an_estimate_in_the_job_and_in_lists(
    paid: ProviderSetup,
) -> None:
    """Stability's answers name no cost; OpenAI's count the tokens that it bills."""
    estimated = await paid.run_job(image_of("stability", model="stable-image-core"))
    counted = await paid.run_job(image_of("openai"))
    listed = (await paid.user().get("/api/jobs")).json()["jobs"]
    for job, expected in ((estimated, (0.03, True)), (counted, (counted["costUsd"], False))):
        (row,) = (one for one in listed if one["jobId"] == job["jobId"])
        assert (job["costUsd"], job["costEstimated"]) == expected
        assert (row["costUsd"], row["costEstimated"]) == expected
