"""Grants with a priority or an end over HTTP: burned in order, expired by the sweep, once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import httpx

from functions.job_requests import (
    BATCH,
    batch_request,
    expect_problem,
    read_job,
    refused_paths,
    submit_job,
)
from functions.stored_documents import store_documents
from simulation.world import World
from taskreel.app.credits.grants import _expire_in_account, expire_due_grants
from taskreel.store_collections import ACCOUNTS

GRANTS = "/api/credits/ada/grants"


async def grant(
    admin: httpx.AsyncClient, amount: int, key: str | None = None, **fields: Any
) -> dict[str, Any]:
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = await admin.post(GRANTS, json={"amount": amount, **fields}, headers=headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def read_account(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/api/credits")).json()
    parts = ("available", "held", "captured", "expired")
    assert found["granted"] == sum(found.get(name, 0) for name in parts)
    return found


def after(world: World, **times: int) -> str:
    return (world.services.clock.now() + timedelta(**times)).isoformat()


async def test_credits_are_spent_by_priority_then_expiry_then_age(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await grant(admin, 2, priority=90, reason="last")
    await grant(admin, 2, expiresAt=after(world, days=9), reason="later")
    await grant(admin, 2, expiresAt=after(world, days=2), reason="sooner")
    await grant(admin, 2, priority=10, reason="first")
    await submit_job(ada, batch_request(5), BATCH)
    account = await read_account(ada)
    # `first` and `sooner` are spent, and one of `later`; the pool of 100 comes before `last`.
    assert {(one["priority"], one["left"], one["held"]) for one in account["grants"]} == {
        (10, 0, 2),
        (50, 0, 2),
        (50, 1, 1),
        (90, 2, 0),
    }
    await world.settle()
    account = await read_account(ada)
    assert [(one["priority"], one["left"], one["held"]) for one in account["grants"]] == [
        (90, 2, 0),
        (50, 1, 0),
    ]
    assert (account["captured"], account["available"]) == (5, 103)


async def test_a_release_returns_to_its_grants(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await grant(admin, 2, expiresAt=after(world, days=2))
    job = await submit_job(ada, batch_request(5, scheduleAt=after(world, hours=1)), BATCH)
    assert (await read_account(ada))["grants"][0]["held"] == 2
    await ada.delete(job["urls"]["cancel"])
    account = await read_account(ada)
    assert (account["grants"][0]["left"], account["grants"][0]["held"]) == (2, 0)
    assert account["available"] == 102
    assert "burned" not in str(await read_job(ada, job))


async def test_the_remaining_credits_expire_by_the_sweep_once_with_a_ledger_entry(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await grant(admin, 20, expiresAt=after(world, hours=2), reason="a trial")
    await submit_job(ada, batch_request(3), BATCH)
    await world.settle()
    await world.advance(2 * 3600)
    for _ in range(3):
        await world.sweep()
        account = await read_account(ada)
        assert (account["available"], account["captured"], account["expired"]) == (100, 3, 17)
        assert "grants" not in account
    entries = (await ada.get("/api/credits/ledger")).json()["entries"]
    (expiry,) = [one for one in entries if one["kind"] == "expiry"]
    (given,) = [one for one in entries if one.get("reason") == "a trial"]
    assert (expiry["amount"], expiry["reason"]) == (17, given["entryId"])


async def test_a_grant_that_has_ended_is_not_spent_before_the_sweep_comes(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await grant(admin, 20, expiresAt=after(world, seconds=30))
    await world.advance(30)
    assert (await read_account(ada))["available"] == 100
    await submit_job(ada, batch_request(3), BATCH)
    account = await read_account(ada)
    assert (account["available"], account["held"], account["expired"]) == (97, 3, 20)


async def test_what_is_released_after_the_end_of_its_grant_expires_then(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await grant(admin, 3, expiresAt=after(world, hours=1))
    job = await submit_job(ada, batch_request(5, scheduleAt=after(world, hours=5)), BATCH)
    await world.advance(2 * 3600)
    await world.sweep()
    assert (await read_account(ada))["held"] == 5
    await ada.delete(job["urls"]["cancel"])
    account = await read_account(ada)
    assert (account["available"], account["held"], account["expired"]) == (100, 0, 3)
    await world.sweep()
    assert "grants" not in await read_account(ada)
    entries = (await ada.get("/api/credits/ledger")).json()["entries"]
    assert [(one["amount"], one["jobId"]) for one in entries if one["kind"] == "expiry"] == [
        (3, job["jobId"])
    ]


async def test_a_keyed_grant_is_given_once_and_its_terms_are_part_of_it(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    end = after(world, seconds=60)
    await grant(admin, 5, "order-1", expiresAt=end)
    await world.advance(120)
    # Repeated after its end it is no error, and gives nothing again.
    assert (await grant(admin, 5, "order-1", expiresAt=end))["granted"] == 105
    other = await admin.post(GRANTS, json={"amount": 5}, headers={"Idempotency-Key": "order-1"})
    expect_problem(other, 422, "idempotency_key_reused")
    assert (await read_account(ada))["available"] == 100


async def test_terms_that_make_no_sense_are_refused_by_name(
    world: World, admin: httpx.AsyncClient
) -> None:
    past = await admin.post(GRANTS, json={"amount": 1, "expiresAt": after(world, seconds=-1)})
    assert refused_paths(past) == {"expiresAt"}
    for priority in (0, 101, 1.5, "1"):
        wrong = await admin.post(GRANTS, json={"amount": 1, "priority": priority})
        assert refused_paths(wrong) == {"priority"}
    for _ in range(50):
        await grant(admin, 1, priority=1)
    full = await admin.post(GRANTS, json={"amount": 1, "priority": 1})
    expect_problem(full, 409, "conflict")
    await grant(admin, 1)


async def test_an_account_that_cannot_be_read_stops_no_other_from_expiring(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await grant(admin, 5, expiresAt=after(world, days=1))
    stored = await world.services.store.get(ACCOUNTS, "ada")
    assert stored is not None
    broken = {**ACCOUNTS.encode(stored), "userId": "bob", "available": "many"}
    await store_documents(world, {"accounts": {"bob": broken}})
    await world.advance(2 * 86_400)
    counts = await expire_due_grants(world.services)
    assert counts["expiry_unwritten"] == 1
    assert (await read_account(ada))["expired"] == 5
    # It is over: nothing is due, and a sweep that read it before finds so.
    await world.services.store.transaction(partial(_expire_in_account, "ada", world.now()))
    assert (await read_account(ada))["expired"] == 5
