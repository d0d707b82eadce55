"""The media part of OpenAI's API, judged by its released client with another base URL."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import read_balance
from other_apis.conftest import OtherApis
from providers.fake_provider import build_png
from simulation.world import LIMITS, World, running, token
from taskreel.domain.credits import Account
from taskreel.domain.job_status import Status
from taskreel.rules_setting import parse_limits
from taskreel.store_collections import ACCOUNTS

IMAGES = "/v1/images/generations"
EDITS = "/v1/images/edits"
SPEECH = "/v1/audio/speech"
PNG = [0x89, 0x50, 0x4E, 0x47]


async def store_account(world: World, account: Account) -> None:
    async def write(tx: Any) -> None:
        tx.set(ACCOUNTS, account.user_id, account)

    await world.services.store.transaction(write)


async def test_the_python_client_makes_images_and_speech(apis: OtherApis) -> None:
    await store_account(apis.world, Account(user_id="poor"))
    found = await apis.run_python(
        "openai_client.py",
        OPENAI_BASE_URL=f"{apis.url}/v1",
        OPENAI_API_KEY=token("ada"),
        POOR_TOKEN=token("poor"),
    )

    assert found["image"]["begins"] == PNG
    job = await apis.world.job(found["image"]["id"])
    assert job.status is Status.COMPLETED
    assert job.payload["maxUsd"] == 1
    assert job.payload["model"] == "gpt-image-2"
    assert job.credits.captured == 1
    assert found["edited"]["begins"] == PNG
    edit = await apis.world.job(found["edited"]["id"])
    assert edit.status is Status.COMPLETED
    assert edit.payload["maxUsd"] == 1
    assert [url[:11] for url in edit.payload["imageUrls"]] == ["upload:upl_"] * 2
    assert found["linked"] == ["https", "https"]
    assert found["asynchronous"] > 500
    assert found["speech"] == {"begins": "RIFF", "type": "audio/wav"}
    assert "tts-1" in found["models"]
    assert "taskreel/image-generation" in found["models"]
    errors = found["errors"]
    assert errors["size"]["class"] == "BadRequestError"
    assert errors["size"]["param"] == "size"
    assert errors["word"]["param"] == "size"
    assert errors["unknown"]["class"] == "NotFoundError"
    assert "gpt-image-2" in errors["unknown"]["message"]
    assert errors["speech"]["param"] == "model"
    assert errors["failed"]["class"] == "BadRequestError"
    assert errors["failed"]["code"] == "studio_failed"
    assert errors["format"] == {"param": "response_format"}
    assert errors["unauthenticated"] == 401
    assert errors["poor"] == "insufficient_quota"


async def test_a_job_that_takes_too_long_goes_on_and_is_not_bought_again(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.web.other_apis.openai_api._LONGEST_WAIT", 0.05)
    body = {
        "model": "taskreel/image-generation",
        "prompt": "a kite",
        "options": {"studio": {"mode": "sleep", "seconds": 30}},
    }
    answer = await ada.post(IMAGES, json=body)
    assert answer.status_code == 504
    assert answer.headers["x-should-retry"] == "false"
    await world.advance(60)
    job = await world.job(answer.headers["x-request-id"])
    assert job.status is Status.COMPLETED


PICTURE = ("kite.png", build_png(), "image/png")


@pytest.mark.parametrize(
    ("files", "data", "parameter"),
    [
        ([], {"prompt": "at night"}, "image"),
        ([("image", ("a.txt", b"text", "text/plain"))], {"prompt": "at night"}, "image"),
        ([("image", PICTURE), ("mask", PICTURE)], {"prompt": "at night"}, "mask"),
        ([("image", PICTURE)], {"prompt": "at night", "size": "5x1024"}, "size"),
        ([("image", PICTURE)], {"prompt": "at night", "stream": "true"}, "stream"),
        ([("image", PICTURE)], {"prompt": "at night", "options[seed]": "x"}, "options.seed"),
        ([("image", PICTURE)], {}, "prompt"),
    ],
)
async def test_an_edit_that_cannot_be_made_names_its_parameter(
    ada: httpx.AsyncClient, files: list[Any], data: dict[str, str], parameter: str
) -> None:
    form = files or [("none", ("", b""))]
    refused = await ada.post(EDITS, files=form, data=data)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, parameter)
    assert (await read_balance(ada))["held"] == 0


async def test_a_file_that_is_no_picture_is_named_by_its_parameter(
    world: World, ada: httpx.AsyncClient
) -> None:
    junk = ("kite.png", b"no picture at all", "image/png")
    form: dict[str, Any] = {"files": [("image", junk)], "data": {"prompt": "at night"}}
    asking = asyncio.create_task(ada.post(EDITS, **form))
    while not (await ada.get("/api/jobs")).json()["jobs"]:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await world.advance(60)
    answer = await asking
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", "image")
    assert error["message"].startswith("image")
    for ours in ("imageUrls", "image_urls", "upload:", "upl_"):
        assert ours not in error["message"]


async def test_an_edit_sent_again_with_its_key_is_one_job(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.web.other_apis.openai_api._LONGEST_WAIT", 0.05)
    form: dict[str, Any] = {
        "files": [("image[]", PICTURE)],
        "data": {"prompt": "7", "model": "taskreel/image-generation", "options[width]": "64"},
        "headers": {"idempotency-key": "edit-1"},
    }
    ids = {(await ada.post(EDITS, **form)).headers["x-request-id"] for _ in range(2)}
    assert len(ids) == 1
    job = await world.job(ids.pop())
    assert (job.payload["prompt"], job.payload["options"]["width"]) == ("7", 64)
    await world.advance(60)


async def test_a_cancelled_job_is_answered_as_such(world: World, ada: httpx.AsyncClient) -> None:
    asking = asyncio.create_task(ada.post(IMAGES, json={"prompt": "a kite"}))
    async with asyncio.timeout(60):
        while not (jobs := (await ada.get("/api/jobs")).json()["jobs"]):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    [job] = jobs
    await ada.delete(f"/api/jobs/image-generation/{job['jobId']}")
    answer = await asking
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "cancelled"
    assert answer.headers["x-should-retry"] == "false"
    assert (await read_balance(ada))["held"] == 0
    await world.settle()


@pytest.mark.parametrize(
    ("path", "body", "parameter"),
    [
        (IMAGES, {"prompt": "a kite", "stream": True}, "stream"),
        (IMAGES, {"prompt": "a kite", "response_format": "text"}, "response_format"),
        (IMAGES, {"prompt": "a kite", "response_format": []}, "response_format"),
        (IMAGES, {"prompt": "a kite", "quality": []}, "quality"),
        (IMAGES, {"prompt": "a kite", "options": 7}, "options"),
        (IMAGES, {"prompt": "a kite", "n": 99}, "n"),
        (IMAGES, {"prompt": "a kite", "model": 7}, "model"),
        (IMAGES, {}, "prompt"),
        (SPEECH, {"model": "tts-1"}, "input"),
        (SPEECH, {"model": "tts-1", "input": "a", "speed": 9}, "speed"),
        (SPEECH, {"input": "a"}, "model"),
    ],
)
async def test_a_wrong_parameter_is_named(
    ada: httpx.AsyncClient, path: str, body: dict[str, Any], parameter: str
) -> None:
    answer = await ada.post(path, json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == parameter
    assert error["message"].startswith(f"{parameter}: ")


async def test_a_route_of_openais_that_is_not_served_names_those_that_are(
    ada: httpx.AsyncClient,
) -> None:
    """The client shows the message of the error alone, and there was none."""
    for path in ("/v1/chat/completions", "/v1/audio/transcriptions", "/v1/responses"):
        answer = await ada.post(path, json={"model": "gpt-5"})
        assert answer.status_code == 404
        message = answer.json()["error"]["message"]
        assert message.startswith(f"There is no POST {path} here; there are: POST /v1/images/gen")


async def test_the_older_routes_below_v1_are_still_served(ada: httpx.AsyncClient) -> None:
    answer = await ada.post("/v1/generate/script", json={"parameters": {"genre": "comedy"}})
    assert answer.status_code == 202
    status = await ada.get(f"/v1/jobs/{answer.json()['jobId']}/status")
    assert status.status_code == 200


async def test_a_flood_of_requests_is_told_when_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = parse_limits(LIMITS)
    assert limits is not None
    async with running(tmp_path, monkeypatch, limits=limits.model_dump_json(by_alias=True)) as made:
        ada = made.as_user("ada")
        for path in (IMAGES, "/fal/fal-ai/flux/schnell"):
            answers = [await ada.post(path, json={}) for _ in range(400)]
            refused = [one for one in answers if one.status_code == 429]
            assert refused
            assert int(refused[0].headers["retry-after"]) >= 1
            assert "rate_limit_exceeded" in refused[0].text
