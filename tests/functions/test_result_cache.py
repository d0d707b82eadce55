"""`cacheSeconds`: an equal job of the caller's answers, at no cost."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from functions.job_requests import IMAGE, expect_problem, refused_paths
from simulation.world import World

PICTURE: dict[str, Any] = {
    "prompt": "a kite",
    "options": {"width": 64, "height": 64, "seed": 7},
    "cacheSeconds": 3600,
}


async def ask(user: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await user.post(IMAGE, json={**PICTURE, **changes})
    assert answer.is_success, answer.text
    job: dict[str, Any] = answer.json()
    return {**job, "httpStatus": answer.status_code}


async def available(user: httpx.AsyncClient) -> int:
    found: int = (await user.get("/api/credits")).json()["available"]
    return found


async def test_a_completed_equal_job_answers_at_once_and_free(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    assert "cachedSeconds" not in first
    await world.advance(60)
    before = await available(ada)
    second = await ask(ada)
    assert second["httpStatus"] == 200
    assert (second["jobId"], second["status"]) == (first["jobId"], "COMPLETED")
    assert 50 <= second["cachedSeconds"] <= 60
    assert second["result"]["artifacts"][0]["url"]
    assert await available(ada) == before
    assert len((await ada.get("/api/jobs")).json()["jobs"]) == 1


async def test_equal_requests_at_the_same_time_make_one_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    before = await available(ada)
    made = await asyncio.gather(*(ask(ada) for _ in range(10)))
    assert len({one["jobId"] for one in made}) == 1
    assert sum("cachedSeconds" not in one for one in made) == 1
    await world.advance(60)
    assert await available(ada) == before - 1


async def test_an_idempotency_key_that_made_a_job_answers_before_the_cache(
    world: World, ada: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "order-17"}
    made = (await ada.post(IMAGE, json={**PICTURE, "prompt": "a boat"}, headers=key)).json()
    await ask(ada)
    await world.advance(60)
    other = await ada.post(IMAGE, json=PICTURE, headers=key)
    expect_problem(other, 422, "idempotency_key_reused")
    repeated = await ada.post(IMAGE, json={**PICTURE, "prompt": "a boat"}, headers=key)
    assert repeated.json()["jobId"] == made["jobId"]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a kite!"},
        {"options": {"width": 64, "height": 64, "seed": 8}},
        {"model": "flux-1.1-pro", "provider": "bfl"},
        {"projectId": "films"},
        {"skipCache": True},
    ],
    ids=str,
)
async def test_another_request_is_made_anew(
    world: World, ada: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    first = await ask(ada)
    await world.advance(60)
    assert (await ask(ada, **change))["jobId"] != first["jobId"]


async def test_times_and_tries_are_not_compared(world: World, ada: httpx.AsyncClient) -> None:
    first = await ask(ada)
    await world.advance(60)
    again = await ask(
        ada, priority="high", timeoutSeconds=60, retry={"maxAttempts": 1}, cacheSeconds=600
    )
    assert again["jobId"] == first["jobId"]


async def test_an_older_result_and_a_request_that_does_not_ask_are_made_anew(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    await world.advance(120)
    assert (await ask(ada, cacheSeconds=60))["jobId"] != first["jobId"]
    plain = {name: value for name, value in PICTURE.items() if name != "cacheSeconds"}
    made = (await ada.post(IMAGE, json=plain)).json()
    assert made["jobId"] != first["jobId"]


async def test_a_newer_result_replaces_the_older(world: World, ada: httpx.AsyncClient) -> None:
    await ask(ada)
    await world.advance(60)
    newer = await ask(ada, skipCache=True)
    await world.advance(60)
    assert (await ask(ada))["jobId"] == newer["jobId"]


async def test_a_failed_job_answers_nobody(world: World, ada: httpx.AsyncClient) -> None:
    broken = {"options": {"studio": {"mode": "fail-permanent"}}}
    first = await ask(ada, **broken)
    await world.advance(60)
    assert (await ada.get(f"/api/jobs/{first['jobId']}")).json()["status"] == "FAILED"
    assert (await ask(ada, **broken))["jobId"] != first["jobId"]


async def test_a_result_is_of_its_owner_alone(world: World, ada: httpx.AsyncClient) -> None:
    first = await ask(ada)
    await world.advance(60)
    assert (await ask(world.as_user("bob")))["jobId"] != first["jobId"]


async def test_a_removed_job_answers_nobody_and_its_like_is_charged_again(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    await world.advance(60)
    removed = await ada.delete(f"{IMAGE}/{first['jobId']}")
    assert removed.status_code == 204, removed.text
    before = await available(ada)
    again = await ask(ada)
    assert "cachedSeconds" not in again
    await world.advance(60)
    # It has the removed job's id, and a task of another name: no sweep was needed.
    assert again["jobId"] == first["jobId"]
    assert (await ada.get(f"/api/jobs/{again['jobId']}")).json()["status"] == "COMPLETED"
    assert await available(ada) == before - 1


async def test_a_quote_says_that_it_is_free(world: World, ada: httpx.AsyncClient) -> None:
    params = {"validateOnly": "true"}
    assert (await ada.post(IMAGE, json=PICTURE, params=params)).json()["cost"] == 1
    await ask(ada)
    await world.advance(60)
    assert (await ada.post(IMAGE, json=PICTURE, params=params)).json()["cost"] == 0


async def test_a_replay_does_its_work_again(world: World, ada: httpx.AsyncClient) -> None:
    first = await ask(ada)
    await world.advance(60)
    replay = await ada.post(f"{IMAGE}/{first['jobId']}/replay", json={})
    assert replay.json()["jobId"] != first["jobId"]


@pytest.mark.parametrize(
    "extra",
    [
        {"scheduleAt": "2030-01-01T00:00:00Z"},
        {"webhookUrl": "https://93.184.216.34/hooks"},
        {"dependsOn": [{"jobId": "job_1"}]},
    ],
    ids=str,
)
async def test_what_an_earlier_job_cannot_do_is_refused(
    ada: httpx.AsyncClient, extra: dict[str, Any]
) -> None:
    answer = await ada.post(IMAGE, json={**PICTURE, **extra})
    expect_problem(answer, 422, "invalid_request")
    assert refused_paths(answer) == set(extra)


async def test_a_recurring_job_skips_the_cache_where_it_says_so(
    world: World, ada: httpx.AsyncClient
) -> None:
    for skip in (False, True):
        order = {
            "jobType": "image-generation",
            "data": {**PICTURE, "prompt": f"a kite {skip}"},
            "cronExpression": "* * * * *",
            "options": {"skipCache": skip},
        }
        assert (await ada.post("/api/jobs/recurring", json=order)).is_success
    for _ in range(4):
        await world.advance(60)
        await world.sweep()
    made = {}
    for skip in (False, True):
        found = await ada.get("/api/jobs", params={"text": f"kite {skip}"})
        made[skip] = len(found.json()["jobs"])
    assert made[False] == 1
    assert made[True] >= 3  # one a minute
