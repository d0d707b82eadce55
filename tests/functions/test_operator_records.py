"""Accounts, the audit log, the models' performance and breakers' changes, as admins read them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem, image_request, submit_job
from simulation.world import World


@pytest.fixture
def bob(world: World) -> httpx.AsyncClient:
    return world.as_user("bob")


ADMIN_ONLY = (
    "/api/accounts",
    "/api/accounts/sums",
    "/api/audit",
    "/api/providers/performance",
    "/api/jobs/recurring?allUsers=true",
    "/api/webhook-endpoints?allUsers=true",
    "/api/projects?allUsers=true",
)


async def get(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_only_admins_read_what_all_users_have(ada: httpx.AsyncClient) -> None:
    for path in ADMIN_ONLY:
        expect_problem(await ada.get(path), 403, "forbidden")


async def test_accounts_are_listed_by_user_in_pages_and_found_by_their_beginning(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    for client in (ada, bob, bob):
        await submit_job(client)
    first = await get(admin, "/api/accounts?limit=1")
    assert [one["userId"] for one in first["accounts"]] == ["ada"]
    second = await get(admin, f"/api/accounts?limit=1&cursor={first['nextCursor']}")
    assert ([one["userId"] for one in second["accounts"]], second["nextCursor"]) == (["bob"], None)
    assert second["accounts"][0]["held"] == 2
    for prefix, users in (("b", ["bob"]), ("bob", ["bob"]), ("bobby", []), ("a", ["ada"])):
        found = await get(admin, f"/api/accounts?prefix={prefix}")
        assert [one["userId"] for one in found["accounts"]] == users
    expect_problem(await admin.get("/api/accounts?prefix=a/b"), 422, "invalid_request")
    expect_problem(await admin.get("/api/accounts?cursor=a/b"), 422, "invalid_request")


async def test_the_sums_of_all_accounts_prove_that_no_credit_is_lost(
    world: World, ada: httpx.AsyncClient, bob: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await submit_job(ada)
    await world.settle()
    await submit_job(bob, image_request("pending", times=1, seconds=30))
    sums = await get(admin, "/api/accounts/sums")
    assert (sums["users"], sums["captured"], sums["held"], sums["complete"]) == (2, 1, 1, True)
    assert sums["granted"] == sums["available"] + sums["held"] + sums["captured"]


async def test_the_audit_log_is_read_by_pages_and_searched(
    world: World, admin: httpx.AsyncClient
) -> None:
    for number, queue in enumerate(("image-generation", "image-upscale", "video-generation")):
        body = {"reason": f"night {number}"}
        await admin.post(f"/api/jobs/queues/{queue}/pause", json=body)
        await world.advance(1)
    first = await get(admin, "/api/audit?limit=2")
    assert [one["reason"] for one in first["entries"]] == ["night 2", "night 1"]
    second = await get(admin, f"/api/audit?limit=2&cursor={first['nextCursor']}")
    assert [one["reason"] for one in second["entries"]] == ["night 0"]
    found = await get(admin, "/api/audit?text=UPSCALE")
    assert [(one["subject"], one["action"], one["userId"]) for one in found["entries"]] == [
        ("image-upscale-queue", "queue paused", "root")
    ]


async def test_a_models_calls_errors_credits_and_refunds_are_counted_by_day(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    for _ in range(3):
        await submit_job(ada)
    await submit_job(ada, image_request("fail-temporary", times=1))
    await submit_job(ada, image_request("fail-permanent"))
    await world.advance(60)
    rows = (await get(admin, "/api/providers/performance?days=2"))["days"]
    assert {row["provider"] for row in rows} == {"studio"}
    total = {name: sum(row[name] for row in rows) for name in ("calls", "credits", "released")}
    assert total == {"calls": 4, "credits": 4, "released": 1}
    errors = [row["errors"] for row in rows if row["errors"]]
    # The one that was tried again, and the one that failed for good.
    assert sum(sum(one.values()) for one in errors) == 2
    assert all(row["run"]["p50"] is not None for row in rows if row["calls"])


async def test_a_breaker_remembers_who_changed_it_and_when(
    world: World, admin: httpx.AsyncClient
) -> None:
    path = "/api/providers/bfl/flux-2-pro/breaker"
    for state in ("open", "open", None):
        answer = await admin.post(path, json={"state": state, "reason": "a rehearsal"})
        await world.advance(10)
    changes = answer.json()["changes"]
    assert [(one["state"], one["byHand"]) for one in changes] == [
        ("open", True),
        ("open", True),
        ("closed", False),
    ]
    assert [one["at"] for one in changes] == sorted(one["at"] for one in changes)


async def test_clearing_a_queue_can_be_tried_without_changing_anything(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    queue = "/api/jobs/queues/image-generation"
    await admin.post(f"{queue}/pause")
    for _ in range(3):
        await submit_job(ada)
    dry = (await admin.delete(f"{queue}/clear?dryRun=true")).json()
    assert (dry["dryRun"], dry["cancelled"], dry["refunded"], dry["more"]) == (True, 3, 3, False)
    assert (await get(ada, "/api/credits"))["held"] == 3
    done = (await admin.delete(f"{queue}/clear")).json()
    assert {**done, "dryRun": True} == dry


async def test_queues_show_their_limits_and_admins_the_newest_order(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await admin.post("/api/jobs/queues/image-generation/pause", json={"reason": "night"})
    for client, reason in ((admin, "night"), (ada, None)):
        rows = (await get(client, "/api/jobs/queues/stats"))["queues"]
        found = next(one for one in rows if one["jobType"] == "image-generation")
        assert found["limits"]["concurrentDispatches"] >= 1
        assert found.get("order", {}).get("reason") == reason


async def test_the_ended_jobs_of_each_ten_minutes_are_listed(
    world: World, ada: httpx.AsyncClient
) -> None:
    for count in (2, 1):
        for _ in range(count):
            await submit_job(ada)
        await world.settle()
        await world.advance(600)
    rows = (await get(ada, "/api/jobs/queues/stats"))["queues"]
    found = next(one for one in rows if one["jobType"] == "image-generation")
    assert found["performance"]["ended"] == [0] * 9 + [2, 1, 0]


async def test_admins_see_the_schedules_and_endpoints_of_all_users(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    schedule = {
        "jobType": "image-generation",
        "data": {"prompt": "a"},
        "cronExpression": "0 9 * * *",
    }
    await ada.post("/api/jobs/recurring", json=schedule)
    await ada.post("/api/webhook-endpoints", json={"url": "https://93.184.216.34/hooks"})
    schedules = await get(admin, "/api/jobs/recurring?allUsers=true")
    assert [one["userId"] for one in schedules["recurringJobs"]] == ["ada"]
    endpoints = await get(admin, "/api/webhook-endpoints?allUsers=true")
    assert [one["userId"] for one in endpoints["endpoints"]] == ["ada"]
    # Without it an admin has their own, as everybody.
    assert (await get(admin, "/api/jobs/recurring"))["recurringJobs"] == []


async def test_a_jobs_webhooks_are_listed_with_it(
    world: World, ada: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    await ada.post(
        "/api/webhook-endpoints",
        json={"url": "https://93.184.216.34/hooks", "events": ["job.processing", "job.completed"]},
    )
    job = await submit_job(ada)
    await world.settle()
    path = f"/api/jobs/image-generation/{job['jobId']}/webhooks"
    found = (await get(ada, path))["deliveries"]
    assert [one["event"] for one in found] == ["job.processing", "job.completed"]
    assert {one["jobId"] for one in found} == {job["jobId"]}
    expect_problem(await bob.get(path), 404, "not_found")


async def test_uploads_are_listed_until_they_expire(
    world: World, ada: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    order = {"name": "cat.png", "contentType": "image/png", "bytes": 10}
    await ada.post("/api/uploads", json=order)
    await world.advance(1)
    await ada.post("/api/uploads", json={**order, "name": "dog.png"})
    found = (await get(ada, "/api/uploads"))["uploads"]
    assert [(one["name"], one["received"]) for one in found] == [
        ("dog.png", False),
        ("cat.png", False),
    ]
    assert (await get(bob, "/api/uploads"))["uploads"] == []
    await world.advance(25 * 3600)
    assert (await get(ada, "/api/uploads"))["uploads"] == []
