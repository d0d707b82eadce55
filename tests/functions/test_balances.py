from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    BATCH,
    batch_request,
    expect_problem,
    image_request,
    read_balance,
    refused_paths,
    submit_job,
)
from simulation.world import World, running

GRANTS = "/api/credits/ada/grants"


async def test_a_new_user_has_the_initial_credits(ada: httpx.AsyncClient) -> None:
    assert await read_balance(ada) == {
        "userId": "ada",
        "available": 100,
        "held": 0,
        "captured": 0,
        "granted": 100,
    }


async def test_in_production_a_new_user_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch, initial_credits=0) as world:
        ada = world.as_user("ada")
        assert (await read_balance(ada))["available"] == 0
        assert (await world.as_user("root", role="admin").post(GRANTS, json={"amount": 3})).json()[
            "available"
        ] == 3
        await submit_job(ada, batch_request(3), BATCH)


async def test_an_admin_grants_credits(ada: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
    answer = await admin.post(GRANTS, json={"amount": 20, "reason": "a present"})
    assert (answer.status_code, answer.json()["available"], answer.json()["granted"]) == (
        201,
        120,
        120,
    )
    entries = {
        entry["reason"]: entry for entry in (await ada.get("/api/credits/ledger")).json()["entries"]
    }
    assert set(entries) == {"initial credits", "a present"}
    present = entries["a present"]
    assert (present["kind"], present["amount"], present["grantedBy"]) == ("grant", 20, "root")


async def test_no_other_user_grants_credits(ada: httpx.AsyncClient) -> None:
    expect_problem(await ada.post(GRANTS, json={"amount": 20}), 403, "forbidden")
    assert (await read_balance(ada))["granted"] == 100


@pytest.mark.parametrize(
    "body", [{"amount": 0}, {"amount": -5}, {"amount": 1.5}, {"amount": 10**10}]
)
async def test_a_grant_is_a_whole_number_of_credits(
    admin: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    assert refused_paths(await admin.post(GRANTS, json=body)) == {"amount"}


async def test_credits_are_not_granted_to_a_name_that_no_token_can_have(
    admin: httpx.AsyncClient,
) -> None:
    assert refused_paths(await admin.post("/api/credits/__ada__/grants", json={"amount": 1})) == {
        "userId"
    }


async def test_the_ledger_adds_up_to_the_balance(world: World, ada: httpx.AsyncClient) -> None:
    for body in (image_request("noop"), image_request("fail-permanent"), image_request("noop")):
        await submit_job(ada, body)
        await world.advance(1)
    await submit_job(ada, batch_request(4), BATCH)
    found = await read_balance(ada)
    entries = (await ada.get("/api/credits/ledger?limit=100")).json()["entries"]
    totals = {
        kind: sum(e["amount"] for e in entries if e["kind"] == kind)
        for kind in ("grant", "capture", "release")
    }
    assert totals == {"grant": found["granted"], "capture": found["captured"], "release": 1}
    assert found["held"] == 4


async def test_the_ledger_has_pages(world: World, ada: httpx.AsyncClient) -> None:
    for _ in range(4):
        await submit_job(ada)
        await world.advance(1)
    first = (await ada.get("/api/credits/ledger?limit=3")).json()
    second = (await ada.get(f"/api/credits/ledger?limit=3&cursor={first['nextCursor']}")).json()
    ids = [entry["entryId"] for page in (first, second) for entry in page["entries"]]
    assert (len(first["entries"]), len(set(ids)), second["nextCursor"]) == (3, 5, None)


async def test_a_user_sees_only_their_own_ledger(world: World, ada: httpx.AsyncClient) -> None:
    await submit_job(ada)
    assert (await world.as_user("bob").get("/api/credits/ledger")).json()["entries"] == []


async def test_a_grant_is_made_once_for_its_idempotency_key(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    """The same key three times granted three times."""
    key = {"Idempotency-Key": "may-2026"}
    body = {"amount": 20, "reason": "a present"}
    answers = [await admin.post(GRANTS, json=body, headers=key) for _ in range(3)]
    assert {(answer.status_code, answer.json()["granted"]) for answer in answers} == {(201, 120)}
    assert (await read_balance(ada))["granted"] == 120
    entries = (await ada.get("/api/credits/ledger")).json()["entries"]
    assert [entry["amount"] for entry in entries if entry.get("reason") == "a present"] == [20]

    for other in ({**body, "amount": 21}, {"amount": 20}):
        answer = await admin.post(GRANTS, json=other, headers=key)
        expect_problem(answer, 422, "idempotency_key_reused")
    other_user = await admin.post("/api/credits/grace/grants", json=body, headers=key)
    expect_problem(other_user, 422, "idempotency_key_reused")
    assert (await admin.post(GRANTS, json=body)).json()["granted"] == 140


async def test_eighty_grants_at_once_with_one_key_are_one(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    key = {"Idempotency-Key": "once"}
    await asyncio.gather(*(admin.post(GRANTS, json={"amount": 5}, headers=key) for _ in range(80)))
    assert (await read_balance(ada))["granted"] == 105


async def test_an_admin_reads_a_users_balance(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await submit_job(ada)
    answer = await admin.get("/api/credits/ada")
    assert answer.json() == (await ada.get("/api/credits")).json()
    assert answer.json()["held"] == 1
    expect_problem(await ada.get("/api/credits/ada"), 403, "forbidden")
    assert refused_paths(await admin.get("/api/credits/__x__")) == {"userId"}


async def test_an_unknown_parameter_of_a_credits_route_is_refused(
    admin: httpx.AsyncClient,
) -> None:
    """`?userId=alice` was ignored, and the admin's own balance answered."""
    for path in ("/api/credits", "/api/credits/ledger", "/api/credits/ada"):
        assert refused_paths(await admin.get(f"{path}?userID=alice")) == {"userID"}
    answer = await admin.post(f"{GRANTS}?dryRun=true", json={"amount": 1})
    assert refused_paths(answer) == {"dryRun"}
