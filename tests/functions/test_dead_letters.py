"""Dead letters: kinds of failures, and another round for the jobs that failed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from functions.job_requests import (
    NOOP,
    expect_problem,
    image_request,
    read_balance,
    read_job,
    refused_paths,
    submit_job,
)
from functions.stored_documents import read_documents, store_documents
from simulation.world import World
from taskreel.app.caller import Caller
from taskreel.app.jobs.retry import retry_job
from taskreel.app.records import dead_letters
from taskreel.app.services import Services
from taskreel.domain.job import Job

DEAD = "/api/jobs/dead-letters"
REDRIVE = f"{DEAD}/redrive"
FAILING = image_request("fail-permanent")
#: Fails in its only attempt, with another error.
ONCE = {**image_request("fail-temporary", times=9), "retry": {"maxAttempts": 1}}


async def read_groups(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(DEAD, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["groups"]
    return found


async def redrive(client: httpx.AsyncClient, **order: Any) -> dict[str, Any]:
    answer = await client.post(REDRIVE, json={"limit": 10, **order})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_failures_are_grouped_by_kind_with_first_and_last_seen(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    bob = world.as_user("bob")
    first = await submit_job(ada, FAILING)
    await world.advance(60)
    await submit_job(bob, {**FAILING, "prompt": "another"})
    await submit_job(ada, ONCE)
    await submit_job(ada)
    await world.advance(60)
    groups = await read_groups(admin)
    assert sorted((one["seen"], one["open"]) for one in groups) == [(1, 1), (2, 2)]
    (group,) = [one for one in groups if one["seen"] == 2]
    assert first["jobId"] in group["jobIds"]
    assert group["firstSeenAt"] < group["lastSeenAt"]
    assert group["message"]
    assert await read_groups(admin, jobType="movie-creation") == []


async def test_users_read_the_kinds_of_their_own_failures_alone(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    bob = world.as_user("bob")
    first = await submit_job(ada, FAILING)
    await world.advance(60)
    second = await submit_job(ada, {**FAILING, "prompt": "another"})
    await submit_job(bob, FAILING)
    await submit_job(ada, ONCE)
    await submit_job(ada)
    await world.advance(60)
    answer = (await ada.get(DEAD)).json()
    assert answer["countedUpTo"] == dead_letters.MOST_READ
    groups = {one["seen"]: one for one in answer["groups"]}
    assert sorted(groups) == [1, 2]
    group = groups[2]
    assert group["jobIds"] == [first["jobId"], second["jobId"]]
    assert (group["open"], group["code"]) == (2, "studio_failed")
    assert group["firstSeenAt"] < group["lastSeenAt"]
    assert await read_groups(ada, jobType="movie-creation") == []
    assert len(await read_groups(ada, limit=1)) == 1
    assert await read_groups(admin, userId="ada") == answer["groups"]
    assert [one["seen"] for one in await read_groups(bob)] == [1]
    expect_problem(await bob.get(f"{DEAD}?userId=ada"), 403, "forbidden")
    # Its fingerprint redrives them, and what runs again is no failure any more.
    made = await redrive(ada, fingerprint=group["fingerprint"])
    assert sorted(made["jobIds"]) == sorted(group["jobIds"])
    assert [one["seen"] for one in await read_groups(ada)] == [1]


@pytest.mark.parametrize("unknown", ["3f9a2c71d05b8e64", "of/nothing"])
async def test_a_fingerprint_that_no_failure_has_had_is_not_found(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, unknown: str
) -> None:
    await submit_job(ada, ONCE)
    await world.advance(60)
    order = {"fingerprint": unknown, "limit": 10, "dryRun": True}
    problem = expect_problem(await admin.post(REDRIVE, json=order), 404, "not_found")
    assert unknown in problem["detail"]
    # One whose jobs were all retried is known, and has none to retry.
    (group,) = await read_groups(admin)
    assert (await redrive(admin, fingerprint=group["fingerprint"]))["eligible"] == 1
    assert (await redrive(admin, fingerprint=group["fingerprint"]))["eligible"] == 0


async def test_a_dry_run_says_what_is_eligible_what_is_not_and_what_it_costs(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    jobs = [await submit_job(ada, FAILING) for _ in range(3)]
    await world.advance(2)
    (group,) = await read_groups(admin)
    before = await read_balance(ada)
    found = await redrive(admin, fingerprint=group["fingerprint"], dryRun=True)
    assert (found["eligible"], found["cost"], found["refused"]) == (3, 3, [])
    assert sorted(found["jobIds"]) == sorted(job["jobId"] for job in jobs)
    assert await read_balance(ada) == before
    assert (await read_job(ada, jobs[0]))["status"] == "FAILED"


async def test_a_redrive_retries_up_to_its_limit_and_none_twice(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    jobs = [await submit_job(ada, FAILING) for _ in range(3)]
    await world.advance(2)
    (group,) = await read_groups(admin)
    await world.tasks.pause("image-generation-queue")
    first = await redrive(admin, fingerprint=group["fingerprint"], limit=2)
    second = await redrive(admin, fingerprint=group["fingerprint"], limit=2)
    third = await redrive(admin, fingerprint=group["fingerprint"], limit=2)
    assert [one["eligible"] for one in (first, second, third)] == [2, 1, 0]
    assert {(await read_job(ada, job))["status"] for job in jobs} == {"QUEUED"}
    assert (await read_balance(ada))["held"] == 3
    assert [one["open"] for one in await read_groups(admin)] == [0]


async def test_owners_without_credits_and_unclear_purchases_are_omitted_with_the_reason(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    jobs = [await submit_job(ada, FAILING) for _ in range(2)]
    await world.advance(2)
    stored = await world.job(jobs[0]["jobId"])
    assert stored.error is not None
    unclear = stored.error.model_copy(update={"code": "ambiguous_create"})
    await world.put(stored.model_copy(update={"error": unclear}))
    await submit_job(ada, {**image_request("pending", times=1, seconds=999)})
    batch = {"prompts": ["x"] * 10, "options": {"studio": {"mode": "pending", "seconds": 999}}}
    for _ in range(10):
        await ada.post("/api/jobs/batch-generation", json=batch)
    assert (await read_balance(ada))["available"] < 10
    while (await read_balance(ada))["available"]:
        await submit_job(ada, {**image_request("pending", times=1, seconds=999)})
    found = await redrive(admin, jobType="image-generation")
    assert found["eligible"] == 0
    reasons = {one["jobId"]: one["reason"] for one in found["refused"]}
    assert "may have been bought" in reasons[jobs[0]["jobId"]]
    assert "too few credits" in reasons[jobs[1]["jobId"]]


async def test_users_redrive_their_own_jobs_alone(world: World, ada: httpx.AsyncClient) -> None:
    bob = world.as_user("bob")
    own, other = await submit_job(ada, FAILING), await submit_job(bob, FAILING)
    await world.advance(2)
    found = await redrive(ada, jobType="image-generation", dryRun=True)
    assert found["jobIds"] == [own["jobId"]]
    answer = await ada.post(REDRIVE, json={"userId": "bob", "limit": 1})
    expect_problem(answer, 403, "forbidden")
    assert (await read_job(bob, other))["status"] == "FAILED"


@pytest.mark.parametrize(
    ("order", "path"),
    [
        ({"limit": 10}, "fingerprint"),
        ({"code": "x"}, "limit"),
        ({"code": "x", "limit": 0}, "limit"),
        ({"code": "x", "limit": 5, "jobType": "nothing"}, "jobType"),
    ],
)
async def test_a_redrive_without_a_filter_or_a_cap_is_refused_by_field(
    admin: httpx.AsyncClient, order: dict[str, Any], path: str
) -> None:
    assert refused_paths(await admin.post(REDRIVE, json=order)) == {path}


async def test_jobs_that_are_not_to_be_retried_are_refused_with_their_reason(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, FAILING)
    never_began = await submit_job(ada, {**NOOP, "dependsOn": [{"jobId": first["jobId"]}]})
    await world.advance(3)
    found = await redrive(admin, code="dependency_failed")
    assert (found["eligible"], found["jobIds"]) == (0, [])
    (refused,) = found["refused"]
    assert refused["jobId"] == never_began["jobId"]
    assert "never began" in refused["reason"]


async def test_a_job_that_is_retried_by_its_owner_meanwhile_is_refused_and_the_others_are_not(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = await submit_job(ada, FAILING), await submit_job(ada, FAILING)
    await world.advance(2)
    await world.tasks.pause("image-generation-queue")

    async def retry_late(services: Services, caller: Caller, job_id: str, job_type: str) -> Job:
        if job_id == newer["jobId"]:
            assert (await ada.post(newer["urls"]["retry"])).status_code == 202
        return await retry_job(services, caller, job_id, job_type)

    monkeypatch.setattr(dead_letters, "retry_job", retry_late)
    found = await redrive(admin, jobType="image-generation")
    assert found["jobIds"] == [older["jobId"]]
    (refused,) = found["refused"]
    assert refused["jobId"] == newer["jobId"]
    assert "QUEUED" in refused["reason"]
    assert (await read_balance(ada))["held"] == 2


async def test_a_redrive_of_a_range_of_time_leaves_out_the_jobs_before_and_after(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    jobs, times = [], []
    for _ in range(3):
        times.append(world.now().isoformat())
        jobs.append(await submit_job(ada, FAILING))
        await world.advance(60)
    await submit_job(world.as_user("bob"), FAILING)
    await world.advance(2)
    span = {"createdAfter": times[1], "createdBefore": times[2], "dryRun": True}
    (group,) = await read_groups(admin)
    wanted: tuple[dict[str, Any], ...] = (
        {"userId": "ada"},
        {"code": group["code"]},
        {"fingerprint": group["fingerprint"]},
    )
    for each in wanted:
        assert (await redrive(admin, **each, **span))["jobIds"] == [jobs[1]["jobId"]]


async def test_a_failed_job_that_cannot_be_read_is_passed_over(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    damaged, whole = await submit_job(ada, FAILING), await submit_job(ada, FAILING)
    await world.advance(2)
    documents = await read_documents(world)
    documents["jobs"][damaged["jobId"]]["units"] = "three"
    await store_documents(world, documents)
    found = await redrive(admin, jobType="image-generation", dryRun=True)
    assert (found["jobIds"], found["refused"]) == ([whole["jobId"]], [])
