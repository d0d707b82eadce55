"""An account in several documents is one to its user, its administrators and every other reader."""

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
    image_request,
    submit_job,
)
from functions.test_audit import audit, write
from simulation.world import World
from taskreel.app.audit.job_rules import Rule
from taskreel.app.audit.repairs import repair
from taskreel.app.flow.account_counts import recount_account
from taskreel.app.flow.admission import admit_jobs_of_user
from taskreel.domain.account_shards import choose_shard
from taskreel.domain.credits import Account
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Increment, Query
from taskreel.store_collections import ACCOUNTS, JOBS

SHARDS = "/api/accounts/ada/shards"


async def divide(world: World, shards: int, active_jobs: int = 5) -> dict[str, Any]:
    admin = world.as_user("root", role="admin")
    limit = {"activeJobs": active_jobs, "reason": "busy"}
    assert (await admin.put("/api/limits/ada", json=limit)).is_success
    return await resize(world, shards)


async def resize(world: World, shards: int) -> dict[str, Any]:
    admin = world.as_user("root", role="admin")
    answer = await admin.put(SHARDS, json={"shards": shards, "reason": "busy"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def read_documents(world: World) -> list[Account]:
    rows = await world.services.store.query(Query(collection=ACCOUNTS))
    found = [row.value for row in rows if row.value.user_id == "ada"]
    return sorted(found, key=lambda account: account.shard)


async def read_jobs(world: World) -> list[Job]:
    return [row.value for row in await world.services.store.query(Query(collection=JOBS))]


async def test_a_job_is_held_and_settled_in_its_own_document_and_the_user_sees_the_sum(
    world: World,
) -> None:
    ada = world.as_user("ada")
    assert (await divide(world, 4))["shards"] == 4
    assert [one.available for one in await read_documents(world)] == [25] * 4
    ids = [(await submit_job(ada))["jobId"] for _ in range(8)]
    assert {job.job_id: job.account_shard for job in await read_jobs(world)} == {
        id_: choose_shard(id_, 4) for id_ in ids
    }
    balance = (await ada.get("/api/credits")).json()
    assert (balance["available"], balance["held"], balance["granted"]) == (92, 8, 100)
    await world.settle()
    documents = await read_documents(world)
    assert sum(one.captured for one in documents) == 8
    assert max(one.captured for one in documents) < 8
    balance = (await ada.get("/api/credits")).json()
    assert (balance["available"], balance["captured"], balance["granted"]) == (92, 8, 100)
    assert len((await ada.get("/api/credits/ledger")).json()["entries"]) == 9
    spent = (await ada.get("/api/credits/caps")).json()
    assert (spent["daily"]["spent"], spent["monthly"]["spent"]) == (8, 8)
    assert (await audit(world)).violations == []


async def test_all_credits_can_be_spent_and_a_refusal_names_their_sum(world: World) -> None:
    ada = world.as_user("ada")
    await divide(world, 4)
    batch = batch_request(20)
    # More than any document has: 25 each.
    for _ in range(4):
        answer = await ada.post(BATCH, json=batch)
        assert answer.status_code == 202, answer.text
    await submit_all_but_three(ada)
    refused = await ada.post(BATCH, json=batch)
    problem = expect_problem(refused, 402, "insufficient_credits")
    assert (problem["available"], problem["cost"]) == (3, 20)
    quote = await ada.post(f"{IMAGE}?validateOnly=true", json=NOOP)
    assert quote.json()["credits"]["available"] == 3
    for _ in range(3):
        await submit_job(ada)
    problem = expect_problem(await ada.post(IMAGE, json=NOOP), 402, "insufficient_credits")
    assert problem["available"] == 0
    await world.settle()
    assert (await audit(world)).violations == []


async def submit_all_but_three(client: httpx.AsyncClient) -> None:
    while (await client.get("/api/credits")).json()["available"] > 3:
        await submit_job(client)


async def test_as_many_jobs_run_as_the_limit_says_whatever_their_shards(limited: World) -> None:
    ada = limited.as_user("ada")
    await divide(limited, 4, active_jobs=5)
    statuses = [(await submit_job(ada))["status"] for _ in range(9)]
    assert statuses == ["QUEUED"] * 5 + ["THROTTLED"] * 4
    limit = (await ada.get("/api/limits")).json()
    assert (limit["activeJobs"], limit["active"], limit["waiting"]) == (5, 5, 4)
    raised = {"activeJobs": 7, "reason": "a launch"}
    root = limited.as_user("root", role="admin")
    answer = await root.put("/api/limits/ada", json=raised)
    assert (answer.json()["active"], answer.json()["waiting"]) == (7, 2)
    assert (await audit(limited)).violations == []
    await limited.settle()
    assert {job.status for job in await read_jobs(limited)} == {Status.COMPLETED}
    documents = await read_documents(limited)
    assert [(one.active, one.waiting) for one in documents] == [(0, 0)] * 4
    assert sum(one.max_active or 0 for one in documents) == 7


async def test_jobs_under_way_count_when_an_account_is_divided(limited: World) -> None:
    ada = limited.as_user("ada")
    admin = limited.as_user("root", role="admin")
    limit = {"activeJobs": 3, "reason": "busy"}
    assert (await admin.put("/api/limits/ada", json=limit)).is_success
    for _ in range(3):
        await submit_job(ada)
    await resize(limited, 8)
    assert (await submit_job(ada))["status"] == "THROTTLED"
    await limited.settle()
    assert {job.status for job in await read_jobs(limited)} == {Status.COMPLETED}
    assert (await audit(limited)).violations == []


async def test_the_ranks_of_all_shards_together_advance_as_those_of_one_account(
    limited: World,
) -> None:
    documents = [Account(user_id="ada"), Account(user_id="ada", shard=1, shards=4)]
    jobs = await _rank_jobs(limited, documents[0]), await _rank_jobs(limited, documents[1])
    assert jobs[1] == [4 * seconds for seconds in jobs[0]]


async def _rank_jobs(world: World, account: Account) -> list[float]:
    """How many seconds behind the first each of some jobs stands, in a type that is crowded."""
    from taskreel.app.flow.slots import Room, grant_slot

    ranks = []
    now = world.services.clock.now()
    if not await read_jobs(world):
        await submit_job(world.as_user("eve"))
    (sample,) = await read_jobs(world)
    for _ in range(3):
        room = Room(full=None, crowded=True)
        account, ranked = grant_slot(world.services, account, sample, room, now)
        assert ranked.rank is not None
        ranks.append((ranked.rank - now).total_seconds())
    return [rank - ranks[0] for rank in ranks]


async def test_a_united_account_is_one_like_any_other_once_its_jobs_have_ended(
    world: World,
) -> None:
    ada = world.as_user("ada")
    await divide(world, 3)
    for _ in range(9):
        await submit_job(ada)
    busy = {job.account_shard for job in await read_jobs(world)}
    assert busy == {0, 1, 2}
    assert (await resize(world, 1))["documents"] == 3
    first, *others = await read_documents(world)
    assert (first.available, [one.available for one in others]) == (91, [0, 0])
    await submit_job(ada)
    await world.settle()
    assert (await audit(world)).violations == []
    assert (await resize(world, 1))["documents"] == 1
    (account,) = await read_documents(world)
    assert (account.available, account.captured, account.shards) == (90, 10, 0)
    assert account.count_spent(world.now().date().isoformat()) == 10
    caps = {"daily": 20, "reason": "a trial"}
    admin = world.as_user("root", role="admin")
    assert (await admin.put("/api/credits/ada/caps", json=caps)).is_success
    assert (await audit(world)).violations == []


async def test_what_cannot_be_divided_is_refused_with_what_to_do(world: World) -> None:
    admin = world.as_user("root", role="admin")
    order = {"shards": 2, "reason": "busy"}
    problem = expect_problem(await admin.put(SHARDS, json=order), 409, "conflict")
    assert "PUT /api/limits/ada" in problem["detail"]
    await divide(world, 2)
    caps = {"daily": 10, "reason": "a trial"}
    expect_problem(await admin.put("/api/credits/ada/caps", json=caps), 409, "conflict")
    grant = {"amount": 5, "priority": 1}
    expect_problem(await admin.post("/api/credits/ada/grants", json=grant), 409, "conflict")
    limit = {"activeJobs": None, "reason": "over"}
    expect_problem(await admin.put("/api/limits/ada", json=limit), 409, "conflict")
    expect_problem(await admin.put(SHARDS, json={**order, "shards": 17}), 422, "invalid_request")
    project = "/api/accounts/project:film/shards"
    expect_problem(await admin.put(project, json=order), 422, "invalid_request")


async def test_an_order_is_in_the_audit_log_and_changes_nothing_when_it_is_repeated(
    world: World,
) -> None:
    await divide(world, 3)
    before = await read_documents(world)
    again = await resize(world, 3)
    assert (again["shards"], again["documents"], again["isOwn"]) == (3, 3, True)
    assert await read_documents(world) == before
    admin = world.as_user("root", role="admin")
    entries = (await admin.get("/api/audit?text=shards")).json()["entries"]
    assert [one["action"] for one in entries] == ["account shards set: 3"] * 2
    accounts = (await admin.get("/api/accounts")).json()["accounts"]
    assert [(one["userId"], one["available"], one["shards"]) for one in accounts] == [
        ("ada", 100, 3)
    ]
    sums = (await admin.get("/api/accounts/sums")).json()
    assert (sums["users"], sums["available"], sums["granted"]) == (1, 100, 100)
    assert (await admin.get("/api/accounts?prefix=shard:")).json()["accounts"] == []


async def test_a_repeated_submission_finds_its_job_and_a_retry_its_shard(world: World) -> None:
    ada = world.as_user("ada")
    await divide(world, 4)
    failing = image_request("fail-permanent")
    headers = {"idempotency-key": "k1"}
    answers = await asyncio.gather(
        *(ada.post(IMAGE, json=failing, headers=headers) for _ in range(4))
    )
    assert len({one.json()["jobId"] for one in answers}) == 1
    await world.settle()
    (job,) = await read_jobs(world)
    assert job.status is Status.FAILED
    retried = await ada.post(f"{IMAGE}/{job.job_id}/retry")
    assert retried.is_success, retried.text
    await world.settle()
    assert (await ada.get("/api/credits")).json()["available"] == 100
    assert (await audit(world)).violations == []


async def test_leaked_slots_of_a_shard_are_counted_afresh(limited: World) -> None:
    ada = limited.as_user("ada")
    await divide(limited, 3, active_jobs=2)
    for _ in range(4):
        await submit_job(ada)
    wrong = {"active": Increment(1), "waiting": Increment(2)}
    await write(limited, lambda tx: tx.update(ACCOUNTS, "shard:1:ada", wrong))
    report = await audit(limited)
    assert {one.rule for one in report.violations} == {Rule.SLOTS}
    assert {one.subject for one in report.violations} == {"account shard 1"}
    assert await recount_account(limited.services, "ada")
    assert (await audit(limited)).violations == []
    assert not await recount_account(limited.services, "ada")


async def test_a_slot_that_leaked_before_a_division_starts_no_job_above_the_limit(
    limited: World,
) -> None:
    """Found by the simulator: its place was free when it was found, and moved to a waiting job."""
    ada = limited.as_user("ada")
    await divide(limited, 2, active_jobs=2)
    for _ in range(9):
        await submit_job(ada, image_request("slow", seconds=600))
    assert [one.active for one in await read_documents(limited)] == [2, 0]
    for job in await read_jobs(limited):
        if job.account_shard == 0 and job.slot_of is None:
            assert (await ada.post(f"{IMAGE}/{job.job_id}/cancel")).is_success
    assert [one.waiting > 0 for one in await read_documents(limited)] == [False, True]
    leaked = {"active": Increment(2)}
    await write(limited, lambda tx: tx.update(ACCOUNTS, "shard:1:ada", leaked))
    await resize(limited, 2)
    assert [one.max_active for one in await read_documents(limited)] == [1, 1]
    assert await recount_account(limited.services, "ada")
    await admit_jobs_of_user(limited.services, "ada")
    documents = await read_documents(limited)
    assert sum(one.active for one in documents) == 2
    assert [one.max_active for one in documents] == [2, 0]
    assert (await audit(limited)).violations == []


async def test_a_hold_of_no_job_is_found_and_released_in_its_document(world: World) -> None:
    await divide(world, 3)
    await submit_job(world.as_user("ada"), image_request("slow", seconds=60))
    lost = {"held": Increment(4), "available": Increment(-4)}
    await write(world, lambda tx: tx.update(ACCOUNTS, "shard:2:ada", lost))
    (violation,) = (await audit(world)).violations
    assert (violation.rule, violation.subject) == (Rule.HOLDS, "account shard 2")
    assert "4 credits" in (await repair(world.services, violation) or "")
    assert (await audit(world)).violations == []


async def test_a_document_that_is_lost_is_found(world: World) -> None:
    await divide(world, 3)
    await write(world, lambda tx: tx.delete(ACCOUNTS, "shard:1:ada"))
    rules = {one.rule for one in (await audit(world)).violations}
    assert Rule.SHARDS in rules


async def test_an_erasure_moves_all_documents_to_one(world: World) -> None:
    ada = world.as_user("ada")
    await divide(world, 4)
    for _ in range(5):
        await submit_job(ada)
    await world.settle()
    report = await erase(world)
    assert report["proof"]["found"] == {}
    accounts = [row.value for row in await world.services.store.query(Query(collection=ACCOUNTS))]
    (moved,) = [one for one in accounts if one.user_id == report["pseudonym"]]
    assert (moved.granted, moved.available, moved.captured) == (100, 95, 5)
    assert moved.shard_documents == 0
    assert not [one for one in accounts if one.user_id == "ada"]
    assert (await audit(world)).violations == []


async def test_an_erasure_moves_all_documents_of_an_account_that_is_divided_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await divide(world, 1)
    store = world.services.store
    read_all = store.get_all

    async def divide_first(collection: Any, ids: Any) -> Any:
        monkeypatch.setattr(store, "get_all", read_all)
        await resize(world, 4)
        return await read_all(collection, ids)

    monkeypatch.setattr(store, "get_all", divide_first)
    report = await erase(world)
    assert report["proof"]["found"] == {}
    rows = await world.services.store.query(Query(collection=ACCOUNTS))
    assert [(row.id, row.value.granted) for row in rows] == [(report["pseudonym"], 100)]


async def erase(world: World) -> dict[str, Any]:
    admin = world.as_user("root", role="admin")
    report: dict[str, Any] = {"phase": "begins"}
    for _ in range(20):
        answer = await admin.post("/api/accounts/ada/erasure", json={"reason": "asked"})
        assert answer.is_success, answer.text
        report = answer.json()
        if report["phase"] == "done":
            break
    return report


async def test_webhooks_and_schedules_of_a_sharded_account_work_as_before(limited: World) -> None:
    ada = limited.as_user("ada")
    await divide(limited, 4, active_jobs=1)
    endpoint = {"url": "https://example.com/hooks", "events": ["job.*"]}
    assert (await ada.post("/api/webhook-endpoints", json=endpoint)).is_success
    order = {"jobType": "image-generation", "data": NOOP, "delay": 5000}
    assert (await ada.post("/api/jobs/delayed", json=order)).is_success
    first = await submit_job(ada)
    depends = {**NOOP, "dependsOn": [{"jobId": first["jobId"]}]}
    assert (await submit_job(ada, depends))["status"] == "BLOCKED"
    await limited.advance(30)
    jobs = await read_jobs(limited)
    assert {job.status for job in jobs} == {Status.COMPLETED}
    assert all(job.webhooks for job in jobs)
    assert (await audit(limited)).violations == []


async def test_uniting_the_account_of_a_new_user_leaves_them_their_first_credits(
    world: World,
) -> None:
    await resize(world, 1)
    ada = world.as_user("ada")
    await submit_job(ada)
    await world.settle()
    balance = (await ada.get("/api/credits")).json()
    assert (balance["granted"], balance["captured"]) == (100, 1)
    assert (await audit(world)).violations == []
