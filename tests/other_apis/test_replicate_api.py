"""Replicate's API, judged by its released clients, with nothing changed but the base URL."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem, read_balance
from other_apis.conftest import OtherApis
from simulation.world import World, token
from taskreel.store_collections import JOBS

PREDICTIONS = "/replicate/v1/predictions"
PNG = [0x89, 0x50, 0x4E, 0x47]
SLEEP = {
    "version": "taskreel/image-generation",
    "input": {"prompt": "a kite", "options": {"studio": {"mode": "sleep", "seconds": 3600}}},
}


async def test_the_python_client_runs_models_follows_and_cancels(apis: OtherApis) -> None:
    found = await apis.run_python(
        "replicate_client.py",
        REPLICATE_BASE_URL=f"{apis.url}/replicate",
        REPLICATE_API_TOKEN=token("ada"),
    )

    assert found["run"]["begins"][:4] == PNG
    assert found["run"]["url"].startswith(f"{apis.url}/replicate/v1/outputs/")
    assert found["several"] == [[0xFF, 0xD8], [0xFF, 0xD8]]  # JPEG
    assert found["asynchronous"] == PNG
    assert found["created"] == "starting"
    assert found["waited"] == {
        "status": "succeeded",
        "percentage": 1.0,
        "model": "black-forest-labs/flux-schnell",
        "input": {"prompt": "a kite", "width": 64, "height": 64},
        "metrics": ["predict_time", "total_time"],
    }
    assert found["cancelled"] == "canceled"
    assert found["listed"] == ["canceled", *["succeeded"] * 4]
    assert {"prompt", "options"} <= set(found["schema"])
    assert found["by_version"] == "https"
    assert "taskreel/movie-creation" in found["models"]
    assert found["account"] == "ada"
    assert found["upscaled"] == PNG
    assert found["file"] == ["notes.txt", 10, hashlib.sha256(b"some words").hexdigest()[:4]]
    [*_, output, done] = found["streamed"]
    assert output[0] == "output"
    assert len(output[1].splitlines()) > 5  # a script, with its line breaks
    assert done[:2] == ["done", "{}"]
    files = [data for event, data, _ in found["streamed_files"] if event == "output"]
    assert len(set(files)) == 2
    assert all(url.startswith(f"{apis.url}/replicate/v1/outputs/") for url in files)
    assert "fails permanently" in json.loads(found["errors"]["streamed"])["detail"]
    assert found["errors"]["failed"]["status"] == "failed"
    assert "fails permanently" in found["errors"]["failed"]["message"]
    assert found["errors"]["unknown"]["status"] == 404
    assert "did you mean black-forest-labs/flux-schnell" in found["errors"]["unknown"]["detail"]
    assert found["errors"]["invalid"]["status"] == 422
    assert "width" in found["errors"]["invalid"]["detail"]
    assert found["errors"]["unauthenticated"] == 401


async def test_a_wait_that_runs_out_answers_starting(world: World, ada: httpx.AsyncClient) -> None:
    """The clients take every other status for the end, and return nothing."""
    answer = await ada.post(PREDICTIONS, json=SLEEP)
    prediction = answer.json()
    await world.advance(1)
    assert (await ada.get(f"{PREDICTIONS}/{prediction['id']}")).json()["status"] == "processing"
    waited = await ada.post(
        PREDICTIONS,
        json=SLEEP,
        headers={"Prefer": "wait=0.2"},
    )
    assert waited.status_code == 201
    assert waited.json()["status"] == "starting"


async def test_the_same_idempotency_key_makes_one_prediction(ada: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = [await ada.post(PREDICTIONS, json=SLEEP, headers=headers) for _ in range(2)]
    assert first.json()["id"] == second.json()["id"]
    assert (await read_balance(ada))["held"] == 1


async def test_an_input_that_has_no_effect_is_named(ada: httpx.AsyncClient) -> None:
    answer = await ada.post(
        "/replicate/v1/models/black-forest-labs/flux-dev/predictions",
        json={"input": {"prompt": "a kite", "go_fast": True, "guidance": 2}},
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["taskreel-ignored-inputs"] == "input.go_fast"


async def test_a_file_is_read_by_its_own_link_alone(world: World, ada: httpx.AsyncClient) -> None:
    model = "/replicate/v1/models/taskreel/image-generation/predictions"
    small = {"prompt": "a kite", "options": {"width": 64, "height": 64}}
    prediction = (await ada.post(model, json={"input": small})).json()
    await world.advance(20)
    url = (await ada.get(f"{PREDICTIONS}/{prediction['id']}")).json()["output"]
    answer = await world.api.get(url)
    assert answer.status_code == 200
    assert list(answer.content[:4]) == PNG
    for changed in (
        url.replace("image.png", "other.png"),
        url.replace("expires=", "expires=9"),
        url.partition("?")[0],
    ):
        expect_problem(await world.api.get(changed), 403, "forbidden")
    await world.advance(2 * 3600)
    expect_problem(await world.api.get(url), 403, "forbidden")


async def test_another_user_sees_nothing_of_a_prediction(
    world: World, ada: httpx.AsyncClient
) -> None:
    prediction = (await ada.post(PREDICTIONS, json=SLEEP)).json()
    bob = world.as_user("bob")
    url = f"{PREDICTIONS}/{prediction['id']}"
    expect_problem(await bob.get(url), 404, "not_found")
    expect_problem(await bob.post(f"{url}/cancel"), 404, "not_found")
    assert (await bob.get(PREDICTIONS)).json()["results"] == []
    job = await world.services.store.get(JOBS, prediction["id"])
    assert job is not None
    assert not job.status.final


@pytest.mark.parametrize(
    "body",
    [
        {"input": {"prompt": "a kite"}},
        {"version": 7, "input": {}},
        {"version": "black-forest-labs/flux-dev", "input": []},
        {"version": "black-forest-labs/flux-dev", "prompt": "a kite"},
        {"version": "black-forest-labs/flux-dev", "input": {"prompt": "a", "num_outputs": 99}},
        {"version": "black-forest-labs/flux-dev", "input": {"prompt": "a", "image_size": [1]}},
    ],
)
async def test_a_body_that_is_wrong_is_refused(ada: httpx.AsyncClient, body: Any) -> None:
    expect_problem(await ada.post(PREDICTIONS, json=body), 422, "invalid_request")


@pytest.mark.parametrize(
    ("name", "type_", "content", "code"),
    [
        ("content", "application/octet-stream", b"x", "invalid_request"),
        ("content", "image/png", b"", "invalid_request"),
        ("other", "image/png", b"x", "invalid_request"),
    ],
)
async def test_a_file_that_is_no_medium_is_refused(
    ada: httpx.AsyncClient, name: str, type_: str, content: bytes, code: str
) -> None:
    answer = await ada.post("/replicate/v1/files", files={name: ("file", content, type_)})
    expect_problem(answer, 422, code)


async def test_a_file_arrives_unchanged_and_is_its_owners(
    world: World, ada: httpx.AsyncClient
) -> None:
    content = b"\r\n--\r\n\r\n" + bytes(range(256)) * 40 + b"\r\n"
    sent = {"content": ("Käse.png", content, "image/png")}
    file = (await ada.post("/replicate/v1/files", files=sent)).json()
    assert file["name"] == "Käse.png"
    assert file["size"] == len(content)
    assert file["checksums"]["sha256"] == hashlib.sha256(content).hexdigest()
    url = f"/replicate/v1/files/{file['id']}"
    expect_problem(await world.as_user("bob").get(url), 404, "not_found")
    assert (await ada.delete(url)).status_code == 204
    expect_problem(await ada.get(url), 404, "not_found")


async def test_a_file_that_is_too_large_or_no_form_is_refused(ada: httpx.AsyncClient) -> None:
    large = {"content": ("a.png", bytes(21 << 20), "image/png")}
    answer = await ada.post("/replicate/v1/files", files=large)
    assert "20 MiB" in expect_problem(answer, 413, "too_large")["detail"]
    answer = await ada.post("/replicate/v1/files", content=b"x")
    expect_problem(answer, 400, "malformed_json")
