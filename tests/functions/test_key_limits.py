"""The limits of a project's API keys: all of them together have those of one user."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem
from functions.test_limits import IMAGE, NOOP, numbers, submit
from functions.test_project_account import expect_sound_books, grant
from functions.test_project_keys import make_key, use_key
from functions.test_projects import PROJECTS, make_project
from simulation.world import LIMITS, World, running
from taskreel.app.flow.account_counts import recount_account
from taskreel.app.schedules import recurring_jobs
from taskreel.app.webhooks import endpoints
from taskreel.domain.rate_limit import Rate
from taskreel.domain.upload import MOST_UPLOADS
from taskreel.ports import Query, Transaction
from taskreel.rules_setting import parse_limits
from taskreel.store_collections import ACCOUNTS, JOBS

MESSAGE = {"webhookUrl": "https://example.com/hooks", "payload": {"film": 17}}


async def fund_project(world: World, **claims: Any) -> tuple[httpx.AsyncClient, str]:
    """A project with credits of its own, and its owner."""
    ada = world.as_user("ada", **claims)
    film = await make_project(ada)
    await grant(world.as_user("root", role="admin"), film, 100)
    return ada, film


async def test_another_key_brings_no_more_jobs_at_a_time(limited: World) -> None:
    ada, film = await fund_project(limited, tier="basic")
    made = [await make_key(ada, film) for _ in range(3)]
    servers = [use_key(limited, one["token"]) for one in made]
    jobs = [await submit(server) for server in servers]
    assert [job["status"] for job in jobs] == ["QUEUED", "QUEUED", "THROTTLED"]
    assert jobs[2]["error"]["code"] == "user_limit"
    assert f"The API keys of project {film} have 2 jobs under way" in jobs[2]["error"]["message"]
    assert await numbers(limited, f"key:{film}") == (2, 1)
    # Nor does one in place of a key that was revoked, whose jobs go on.
    revoked = await ada.delete(f"{PROJECTS}/{film}/keys/{made[0]['keyId']}")
    assert revoked.status_code == 204
    last = await submit(use_key(limited, (await make_key(ada, film))["token"]))
    assert last["status"] == "THROTTLED"
    position = (await servers[2].get(f"/api/queue/{jobs[2]['jobId']}/position")).json()
    assert position["ahead"] == 0
    # The end of one key's job admits the job of another, in order.
    await limited.advance(60)
    ended = [await limited.job(job["jobId"]) for job in (*jobs, last)]
    assert {str(job.status) for job in ended} == {"COMPLETED"}
    assert await numbers(limited, f"key:{film}") == (0, 0)
    await expect_sound_books(limited)
    # A member's own jobs do not count against it.
    assert (await submit(ada, projectId=film))["status"] == "QUEUED"


async def test_the_books_of_keys_are_sound_where_their_jobs_cost_nothing(limited: World) -> None:
    film = await make_project(limited.as_user("ada"))
    server = use_key(limited, (await make_key(limited.as_user("ada"), film))["token"])
    answer = await server.post("/api/jobs/webhook", json=MESSAGE)
    assert answer.status_code == 202, answer.text
    await expect_sound_books(limited)
    await limited.advance(3600)
    await expect_sound_books(limited)
    assert await numbers(limited, f"key:{film}") == (0, 0)


async def test_the_keys_of_another_project_have_limits_of_their_own(limited: World) -> None:
    ada, film = await fund_project(limited)
    other = await make_project(ada)
    await grant(limited.as_user("root", role="admin"), other, 10)
    for project in (film, other):
        server = use_key(limited, (await make_key(ada, project))["token"])
        found = [(await submit(server))["status"] for _ in range(2)]
        assert found == ["QUEUED", "THROTTLED"], project


async def test_an_operator_gives_all_keys_of_a_project_another_limit(limited: World) -> None:
    ada, film = await fund_project(limited)
    root = limited.as_user("root", role="admin")
    servers = [use_key(limited, (await make_key(ada, film))["token"]) for _ in range(2)]
    assert [(await submit(server))["status"] for server in servers] == ["QUEUED", "THROTTLED"]
    order = {"activeJobs": 2, "reason": "asked"}
    answer = await root.put(f"/api/limits/key:{film}", json=order)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["active"], answer.json()["waiting"]) == (2, 0)
    for server in servers:
        assert (await server.get("/api/limits")).json()["activeJobs"] == 2


async def test_a_slot_of_a_key_that_leaked_is_counted_afresh(limited: World) -> None:
    ada, film = await fund_project(limited)
    server = use_key(limited, (await make_key(ada, film))["token"])
    await submit(server)
    await submit(server)
    shared = await limited.services.store.get(ACCOUNTS, f"key:{film}")
    assert shared is not None
    leaked = shared.model_copy(update={"active": 3, "waiting": 7})

    async def leak(tx: Transaction) -> None:
        tx.set(ACCOUNTS, f"key:{film}", leaked)

    await limited.services.store.transaction(leak)
    assert await recount_account(limited.services, f"key:{film}")
    assert await numbers(limited, f"key:{film}") == (1, 1)


async def test_the_webhooks_of_a_key_get_its_jobs_and_not_those_of_others(limited: World) -> None:
    ada, film = await fund_project(limited)
    one, two = [use_key(limited, (await make_key(ada, film))["token"]) for _ in range(2)]
    made = await one.post("/api/webhook-endpoints", json={"url": "https://example.com/hooks"})
    assert made.status_code == 201, made.text
    jobs = [await limited.job((await submit(client))["jobId"]) for client in (one, two)]
    assert [len(job.webhooks) for job in jobs] == [1, 0]


async def test_another_key_brings_no_more_recurring_jobs(
    limited: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurring_jobs, "MOST_RECURRING_JOBS", 2)
    ada, film = await fund_project(limited)
    order = {"jobType": "image-generation", "data": NOOP, "cronExpression": "@daily"}
    statuses = []
    for _ in range(3):
        server = use_key(limited, (await make_key(ada, film))["token"])
        statuses.append((await server.post("/api/jobs/recurring", json=order)).status_code)
    assert statuses == [201, 201, 409]
    assert (await ada.post("/api/jobs/recurring", json=order)).status_code == 201


async def test_another_key_brings_no_more_uploads(limited: World) -> None:
    ada, film = await fund_project(limited)
    servers = [use_key(limited, (await make_key(ada, film))["token"]) for _ in range(2)]
    order = {"name": "a.png", "contentType": "image/png", "bytes": 1}
    for number in range(MOST_UPLOADS):
        made = await servers[number % 2].post("/api/uploads", json=order)
        assert made.status_code == 201, made.text
    third = use_key(limited, (await make_key(ada, film))["token"])
    refused = await third.post("/api/uploads", json=order)
    expect_problem(refused, 409, "upload_quota")
    assert f"all API keys of project {film} may be 100 files" in refused.json()["detail"]
    # Those of the others stay theirs, and so does what a member may upload.
    assert (await third.get("/api/uploads")).json()["uploads"] == []
    assert (await ada.post("/api/uploads", json=order)).status_code == 201
    assert (await servers[1].delete(f"/api/uploads/{made.json()['uploadId']}")).is_success
    assert (await third.post("/api/uploads", json=order)).status_code == 201
    await limited.advance(86_401)
    assert (await third.post("/api/uploads", json=order)).status_code == 201


async def test_another_key_brings_no_more_webhook_endpoints(
    limited: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "MOST_ENDPOINTS", 2)
    ada, film = await fund_project(limited)
    keys = [await make_key(ada, film) for _ in range(3)]
    servers = [use_key(limited, one["token"]) for one in keys]
    order = {"url": "https://example.com/hooks"}
    answers = [await server.post("/api/webhook-endpoints", json=order) for server in servers]
    assert [answer.status_code for answer in answers] == [201, 201, 409]
    assert f"The API keys of project {film} together have 2" in answers[2].json()["detail"]
    # One of them is still changed, and enabled again only where there is room.
    first = f"/api/webhook-endpoints/{answers[0].json()['endpointId']}"
    for change in ({"description": "orders"}, {"enabled": False}):
        changed = await servers[0].patch(first, json=change)
        assert changed.status_code == 200, changed.text
    assert (await servers[2].post("/api/webhook-endpoints", json=order)).status_code == 201
    assert (await servers[0].patch(first, json={"enabled": True})).status_code == 409
    # Those of a key that was revoked get events of no further jobs, and do not count.
    revoked = await ada.delete(f"{PROJECTS}/{film}/keys/{keys[2]['keyId']}")
    assert revoked.status_code == 204
    assert (await servers[0].patch(first, json={"enabled": True})).status_code == 200
    assert (await ada.post("/api/webhook-endpoints", json=order)).status_code == 201


async def test_all_keys_of_a_project_have_one_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = parse_limits(LIMITS)
    assert limits is not None
    rate = Rate(per_minute=6, burst=3)
    small = limits.model_copy(update={"writes": rate, "reads": rate})
    async with running(tmp_path, monkeypatch, limits=small.model_dump_json(by_alias=True)) as world:
        ada, film = await fund_project(world)
        servers = []
        for _ in range(4):
            await world.advance(60)
            servers.append(use_key(world, (await make_key(ada, film))["token"]))
        read = [(await server.get("/api/jobs")).status_code for server in servers]
        assert read == [200, 200, 200, 429]
        sent = [(await server.post(IMAGE, json=NOOP)).status_code for server in servers]
        assert sent == [202, 202, 202, 429]
        # Other instances count requests in a memory of their own, and submissions in the account.
        shared = await world.services.store.get(ACCOUNTS, f"key:{film}")
        assert shared is not None
        assert shared.writes_at is not None
        assert shared.writes_at - world.now() == 3 * rate.interval


async def test_keys_that_submit_at_once_take_no_more_slots_than_there_are(limited: World) -> None:
    ada, film = await fund_project(limited, tier="pro")
    servers = [use_key(limited, (await make_key(ada, film))["token"]) for _ in range(12)]
    await asyncio.gather(*(submit(server) for server in servers))
    rows = await limited.services.store.query(Query(collection=JOBS))
    assert sum(row.value.slot_of == f"key:{film}" for row in rows) == 5
    assert await numbers(limited, f"key:{film}") == (5, 7)
    await limited.advance(120)
    assert await numbers(limited, f"key:{film}") == (0, 0)
    await expect_sound_books(limited)
