"""A purge of the result cache: afterwards no earlier job answers; administrators alone order it."""

from __future__ import annotations

import httpx
import pytest

from functions.job_requests import expect_problem
from functions.test_result_cache import ask
from simulation.world import World


@pytest.mark.parametrize("scope", ["", "?jobType=image-generation", "?userId=ada"])
async def test_a_purge_lets_no_earlier_job_answer(
    scope: str, world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    await world.advance(60)
    assert "cachedSeconds" in await ask(ada)
    answer = await admin.delete(f"/api/cache{scope}")
    assert answer.status_code == 200, answer.text
    await world.advance(1)
    second = await ask(ada)
    assert second["jobId"] != first["jobId"]
    assert "cachedSeconds" not in second
    await world.advance(60)
    # What is made since answers, and the earlier job is there as before.
    assert (await ask(ada))["jobId"] == second["jobId"]
    assert (await ada.get(f"/api/jobs/{first['jobId']}")).json()["status"] == "COMPLETED"


@pytest.mark.parametrize("scope", ["?jobType=image-upscale", "?userId=bob"])
async def test_a_purge_of_others_leaves_it(
    scope: str, world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    first = await ask(ada)
    await ask(world.as_user("bob"))
    await world.advance(60)
    assert (await admin.delete(f"/api/cache{scope}")).status_code == 200
    await world.advance(1)
    assert (await ask(ada))["jobId"] == first["jobId"]


async def test_a_purge_for_a_reason_with_control_characters_is_refused(
    admin: httpx.AsyncClient,
) -> None:
    refused = await admin.delete("/api/cache?reason=a%00b")
    assert expect_problem(refused, 422, "invalid_request")["errors"][0]["path"] == "reason"
    assert (await admin.get("/api/audit")).json()["entries"] == []


async def test_a_purge_of_an_unknown_user_is_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.delete("/api/cache?userId=nobody-yet")
    expect_problem(answer, 404, "not_found")
    assert "no user nobody-yet" in answer.json()["detail"]
    assert (await admin.get("/api/audit?text=purged")).json()["entries"] == []


async def test_a_purge_is_an_admins_and_in_the_audit_log(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    expect_problem(await ada.delete("/api/cache"), 403, "forbidden")
    await ask(ada)
    for wrong in ("jobType=nope", "jobType=image-upscale&userId=ada", "typ=x"):
        expect_problem(await admin.delete(f"/api/cache?{wrong}"), 422, "invalid_request")
    for given in ("jobType=IMAGE_UPSCALE&reason=a+wrong+model", "userId=ada", "reason=all"):
        assert (await admin.delete(f"/api/cache?{given}")).status_code == 200
    entries = (await admin.get("/api/audit?text=purged")).json()["entries"]
    assert {(one["action"], one["subject"], one["reason"]) for one in entries} == {
        ("result cache purged", "image-upscale", "a wrong model"),
        ("result cache of a user purged", "ada", ""),
        ("result cache purged", "all jobs", "all"),
    }
    # It is no order for a queue.
    assert (await admin.get("/api/jobs/queues/stats")).json()["queues"][0]["queue"][
        "paused"
    ] is False
