"""Batches: many jobs in one request, each created or refused by itself."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import NOOP, read_balance, refused_paths
from simulation.world import World

BATCH = "/api/jobs:batch"


def item(**data: Any) -> dict[str, Any]:
    return {"jobType": "image-generation", "data": {**NOOP, **data}}


async def create(client: httpx.AsyncClient, jobs: list[Any], **headers: str) -> dict[str, Any]:
    answer = await client.post(BATCH, json={"jobs": jobs}, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_every_job_of_a_batch_is_created_and_runs(
    world: World, ada: httpx.AsyncClient
) -> None:
    found = await create(ada, [item(prompt=f"kite {number}") for number in range(25)])
    assert (found["created"], found["refused"]) == (25, 0)
    assert [one["index"] for one in found["results"]] == list(range(25))
    assert [one["job"]["payload"]["prompt"] for one in found["results"]] == [
        f"kite {number}" for number in range(25)
    ]
    await world.advance(60)
    done = (await ada.get("/api/jobs?status=COMPLETED&limit=100")).json()["jobs"]
    assert {one["job"]["jobId"] for one in found["results"]} == {job["jobId"] for job in done}


async def test_a_refused_job_stops_no_other_and_names_its_field(ada: httpx.AsyncClient) -> None:
    found = await create(
        ada, [item(), item(prompt=""), {"jobType": "nothing", "data": {}}, item(), item(userId="x")]
    )
    assert [one["status"] for one in found["results"]] == [202, 422, 404, 202, 403]
    assert (found["created"], found["refused"]) == (2, 3)
    error = found["results"][1]["error"]
    assert [one["path"] for one in error["errors"]] == ["jobs[1].data.prompt"]
    assert found["results"][2]["error"]["code"] == "not_found"
    assert (await read_balance(ada))["held"] == 2


async def test_jobs_beyond_the_balance_are_refused_one_by_one(ada: httpx.AsyncClient) -> None:
    available = (await read_balance(ada))["available"]
    for _ in range(available // 50 - 1):
        await create(ada, [item()] * 50)
    left = (await read_balance(ada))["available"]
    found = await create(ada, [item()] * (left + 3))
    assert (found["created"], found["refused"]) == (left, 3)
    codes = {one["error"]["code"] for one in found["results"] if "error" in one}
    assert codes == {"insufficient_credits"}
    assert (await read_balance(ada))["available"] == 0


async def test_a_repeated_batch_creates_nothing_again(ada: httpx.AsyncClient) -> None:
    jobs = [item(), item(prompt="another"), {**item(), "idempotencyKey": "mine"}]
    first = await create(ada, jobs, **{"Idempotency-Key": "night"})
    second = await create(ada, jobs, **{"Idempotency-Key": "night"})
    ids = [[one["job"]["jobId"] for one in found["results"]] for found in (first, second)]
    assert ids[0] == ids[1]
    assert [one["repeated"] for one in second["results"]] == [True] * 3
    other = await create(ada, [item(prompt="changed")], **{"Idempotency-Key": "night"})
    assert other["results"][0]["error"]["code"] == "idempotency_key_reused"
    # The key of one job is that of a request of its own.
    alone = await ada.post(
        "/api/jobs/image-generation", json=NOOP, headers={"Idempotency-Key": "mine"}
    )
    assert alone.json()["jobId"] == ids[0][2]


async def test_a_malformed_job_of_a_batch_refuses_no_other(ada: httpx.AsyncClient) -> None:
    wrong: list[Any] = [
        {"jobType": "image-generation"},
        {**item(), "foo": 1},
        "no object",
        {**item(), "idempotencyKey": 7},
        {"jobType": "nope", "data": {}},
    ]
    answer = await ada.post(BATCH, json={"jobs": [item(), *wrong, item()]})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["created"], body["refused"]) == (2, 5)
    statuses = [one["status"] for one in body["results"]]
    assert statuses == [202, 422, 422, 422, 422, 404, 202]
    paths = [one["error"]["errors"][0]["path"] for one in body["results"][1:5]]
    assert paths == ["jobs[1].data", "jobs[2].foo", "jobs[3]", "jobs[4].idempotencyKey"]
    assert "jobs[1].data: is required" in body["results"][1]["error"]["detail"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"jobs": []}, "jobs"),
        ({"jobs": [item()] * 101}, "jobs"),
        ({"items": []}, "items"),
    ],
)
async def test_a_malformed_batch_is_refused_whole_by_field(
    ada: httpx.AsyncClient, body: dict[str, Any], path: str
) -> None:
    assert path in refused_paths(await ada.post(BATCH, json=body))
    assert (await read_balance(ada))["held"] == 0
