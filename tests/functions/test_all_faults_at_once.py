"""Bodies with a request inside: one answer names every fault, of the body and of the request."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem, image_request

WRONG: dict[str, Any] = {"promt": "a kite", "options": {"width": 1}}


async def list_paths(client: httpx.AsyncClient, path: str, body: Any) -> list[str]:
    problem = expect_problem(await client.post(path, json=body), 422, "invalid_request")
    for error in problem["errors"]:
        assert error["path"] in problem["detail"]
    return sorted(error["path"] for error in problem["errors"])


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (
            {"jobType": "image-generation", "data": WRONG, "delay": -5},
            ["data.options.width", "data.promt", "delay"],
        ),
        (
            {"jobType": "IMAGE_GENERATION", "data": WRONG, "runAt": "soon", "x": 1},
            ["data.options.width", "data.promt", "runAt", "x"],
        ),
        ({"jobType": "nothing", "data": WRONG, "delay": -5}, ["delay", "jobType"]),
        ({"jobType": 5, "data": [], "delay": -5}, ["data", "delay", "jobType"]),
        ({"data": WRONG, "delay": True}, ["delay", "jobType"]),
    ],
)
async def test_a_delayed_job(body: Any, paths: list[str], ada: httpx.AsyncClient) -> None:
    assert await list_paths(ada, "/api/jobs/delayed", body) == paths


async def test_a_recurring_job(ada: httpx.AsyncClient) -> None:
    body = {
        "jobType": "image-generation",
        "data": WRONG,
        "cronExpression": "99 * * * *",
        "timeZone": "Mars/X",
        "options": {"overlap": "never"},
    }
    assert await list_paths(ada, "/api/jobs/recurring", body) == [
        "cronExpression",
        "data.options.width",
        "data.promt",
        "options.overlap",
        "timeZone",
    ]


async def test_an_endpoint(ada: httpx.AsyncClient) -> None:
    body = {"url": "http://example.com/hook", "events": ["job.exploded"], "signature": "v9"}
    paths = await list_paths(ada, "/api/webhook-endpoints", body)
    assert (paths[-2:], len(paths)) == (["signature", "url"], 3)
    made = await ada.post("/api/webhook-endpoints", json={"url": "https://93.184.216.34/hook"})
    path = f"/api/webhook-endpoints/{made.json()['endpointId']}"
    problem = expect_problem(
        await ada.patch(path, json={"url": "ftp://x", "enabled": "maybe"}), 422, "invalid_request"
    )
    assert sorted(error["path"] for error in problem["errors"]) == ["enabled", "url"]


async def test_a_job_of_a_batch(ada: httpx.AsyncClient) -> None:
    item = {"jobType": "image-generation", "data": WRONG, "idempotencyKey": 5}
    good = {"jobType": "image-generation", "data": image_request("noop")}
    answer = await ada.post("/api/jobs:batch", json={"jobs": [item, good]})
    first, second = answer.json()["results"]
    assert sorted(error["path"] for error in first["error"]["errors"]) == [
        "jobs[0].data.options.width",
        "jobs[0].data.promt",
        "jobs[0].idempotencyKey",
    ]
    assert second["status"] == 202


@pytest.mark.parametrize("path", ["/api/jobs/delayed", "/api/jobs/recurring"])
@pytest.mark.parametrize("raw", ["[]", "5", "null", '"x"'])
async def test_a_body_that_is_no_object(path: str, raw: str, ada: httpx.AsyncClient) -> None:
    answer = await ada.post(path, content=raw, headers={"Content-Type": "application/json"})
    expect_problem(answer, 422, "invalid_request")
