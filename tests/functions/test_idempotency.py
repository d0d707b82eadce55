from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    BATCH,
    IMAGE,
    NOOP,
    batch_request,
    expect_problem,
    read_balance,
    refused_paths,
    submit_job,
)
from simulation.world import World
from taskreel.ports import Done, Generation, Pending

KEY = {"Idempotency-Key": "order-7"}


async def test_the_same_request_again_gets_the_same_job(ada: httpx.AsyncClient) -> None:
    first = await ada.post(IMAGE, json=NOOP, headers=KEY)
    again = await ada.post(IMAGE, json=NOOP, headers=KEY)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert (await read_balance(ada))["held"] == 1


async def test_the_order_of_fields_is_not_another_request(ada: httpx.AsyncClient) -> None:
    first = await ada.post(IMAGE, content='{"prompt": "x", "priority": "low"}', headers=KEY)
    again = await ada.post(IMAGE, content='{"priority":"low","prompt":"x"}', headers=KEY)
    assert first.json()["jobId"] == again.json()["jobId"]


@pytest.mark.parametrize("other", [{"prompt": "another"}, {**NOOP, "priority": "high"}])
async def test_the_same_key_for_another_body_is_refused(
    ada: httpx.AsyncClient, other: dict[str, object]
) -> None:
    first = await ada.post(IMAGE, json=NOOP, headers=KEY)
    refused = expect_problem(
        await ada.post(IMAGE, json=other, headers=KEY), 422, "idempotency_key_reused"
    )
    assert refused["jobId"] == first.json()["jobId"]


async def test_the_same_key_for_another_type_is_refused(ada: httpx.AsyncClient) -> None:
    await ada.post(IMAGE, json=NOOP, headers=KEY)
    expect_problem(
        await ada.post(BATCH, json=batch_request(), headers=KEY), 422, "idempotency_key_reused"
    )


async def test_a_repetition_is_answered_when_the_balance_no_longer_covers_it(
    ada: httpx.AsyncClient,
) -> None:
    first = await ada.post(BATCH, json=batch_request(60), headers=KEY)
    again = await ada.post(BATCH, json=batch_request(60), headers=KEY)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json()["jobId"] == first.json()["jobId"]


async def test_a_refusal_for_credits_is_not_remembered(ada: httpx.AsyncClient) -> None:
    blocking = await submit_job(ada, batch_request(100), BATCH)
    expect_problem(await ada.post(IMAGE, json=NOOP, headers=KEY), 402, "insufficient_credits")
    await ada.delete(blocking["urls"]["cancel"])
    assert (await ada.post(IMAGE, json=NOOP, headers=KEY)).status_code == 202


async def test_quoted_or_bare_it_is_the_same_key(ada: httpx.AsyncClient) -> None:
    bare = await ada.post(IMAGE, json=NOOP, headers=KEY)
    quoted = await ada.post(IMAGE, json=NOOP, headers={"Idempotency-Key": '"order-7"'})
    assert quoted.json()["jobId"] == bare.json()["jobId"]


@pytest.mark.parametrize("key", ["", '""', '"open', "x" * 256, '"\\ud800"'])
async def test_a_key_that_is_none_is_refused(ada: httpx.AsyncClient, key: str) -> None:
    assert refused_paths(await ada.post(IMAGE, json=NOOP, headers={"Idempotency-Key": key})) == {
        "Idempotency-Key"
    }


async def test_two_users_may_have_the_same_key(world: World, ada: httpx.AsyncClient) -> None:
    mine = await ada.post(IMAGE, json=NOOP, headers=KEY)
    theirs = await world.as_user("bob").post(IMAGE, json=NOOP, headers=KEY)
    assert "idempotency-replayed" not in theirs.headers
    assert mine.json()["jobId"] != theirs.json()["jobId"]


async def test_the_same_request_many_times_at_once_is_one_job(ada: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(ada.post(BATCH, json=batch_request(), headers=KEY) for _ in range(10))
    )
    assert len({answer.json()["jobId"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert (await read_balance(ada))["held"] == 3


async def test_a_finished_job_is_replayed_as_it_is_now(
    world: World, ada: httpx.AsyncClient
) -> None:
    await ada.post(IMAGE, json=NOOP, headers=KEY)
    await world.settle()
    again = await ada.post(IMAGE, json=NOOP, headers=KEY)
    assert again.json()["status"] == "COMPLETED"
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (IMAGE, NOOP),
        (
            "/api/jobs/pipeline",
            {"steps": {"kite": {"type": "image-generation", "payload": NOOP}}},
        ),
    ],
    ids=["job", "pipeline"],
)
async def test_a_job_made_again_after_its_removal_is_a_new_purchase(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: dict[str, Any],
) -> None:
    """A provider that honours keys would answer the old key with the work of the removed job."""
    provider, keys = world.services.providers.get("studio"), []
    start = provider.start

    async def recording(request: Generation, /, *, idempotency_key: str) -> Done | Pending:
        keys.append(idempotency_key)
        return await start(request, idempotency_key=idempotency_key)

    monkeypatch.setattr(provider, "start", recording)
    ids = []
    for _ in range(2):
        job = (await ada.post(path, json=body, headers=KEY)).json()
        ids.append(job["jobId"])
        await world.advance(60)
        assert (await ada.delete(f"{path}/{job['jobId']}")).status_code == 204
        await world.advance(60)
    assert len(set(ids)) == 1
    assert len(set(keys)) == 2
    # A webhook's address begins with it, and names the job by the part before the first dot.
    bought = {key.partition(".")[0] for key in keys}
    assert (bought == set(ids)) is (path == IMAGE)
    assert len(bought) == 1
