"""Circuit breakers, webhooks, and what admins see and do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from functions.asking import IMAGE, problem, read, submitted
from functions.market import KITE, Market, Stalls
from providers.fakes import Mischief
from providers.fakes.bfl import signed
from providers.fakes.openai import signed as response_signed
from taskreel.ports import Query

# ── Circuit breakers ─────────────────────────────────────────────────────────────────────────────


async def broken(shop: Market, times: int = 5) -> None:
    """So many jobs find bfl broken that its breaker opens."""
    shop.fakes["bfl"].mischief = Mischief.BROKEN
    for _ in range(times):
        await submitted(shop.user(), {**KITE, "retry": {"maxAttempts": 1}})
    await shop.world.settle()


async def breaker(shop: Market, model: str = "flux-1.1-pro") -> dict[str, Any]:
    shown = (await shop.user().get("/api/providers")).json()["providers"]
    (bfl,) = [one for one in shown if one["provider"] == "bfl"]
    (found,) = [one["breaker"] for one in bfl["models"] if one["name"] == model]
    return dict(found)


async def test_failures_open_the_breaker_and_jobs_wait_with_an_honest_time(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    await broken(shop)
    assert (await breaker(shop))["state"] == "open"
    asked = len(shop.fakes["bfl"].calls)
    job = await submitted(shop.user(), KITE)
    assert job["nextAttemptAt"] == (await breaker(shop))["admitsAt"]
    await shop.world.advance(20)
    assert len(shop.fakes["bfl"].calls) == asked
    shop.fakes["bfl"].mischief = None
    await shop.world.advance(60)
    done = await read(shop.user(), job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
    assert (await breaker(shop))["state"] == "closed"


async def test_a_job_that_was_chosen_for_before_waits_as_well(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    later = await submitted(
        shop.user(), {**KITE, "scheduleAt": (shop.world.now() + timedelta(seconds=5)).isoformat()}
    )
    await broken(shop)
    await shop.world.advance(6)
    waiting = await read(shop.user(), later)
    assert (waiting["status"], waiting["attempt"], waiting["error"]["code"]) == (
        "RETRYING",
        1,
        "provider_resting",
    )
    assert waiting["nextAttemptAt"] == (await breaker(shop))["admitsAt"]


async def test_half_open_lets_one_probe_through(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    await broken(shop)
    for _ in range(4):
        await submitted(shop.user(), KITE)
    posts = len([call for call in shop.fakes["bfl"].calls if call.method == "POST"])
    await shop.world.advance(31)
    assert len([call for call in shop.fakes["bfl"].calls if call.method == "POST"]) == posts + 1
    assert (await breaker(shop))["state"] == "open"


async def test_whoever_takes_anybody_does_not_wait_for_one(stalls: Stalls) -> None:
    shop = await stalls("bfl", "fal")
    await broken(shop)
    done = await shop.ended({"prompt": "x", "provider": ["bfl", "fal"], "model": "flux-1.1-pro"})
    assert (done["status"], done["servedBy"], done["tried"]) == ("COMPLETED", "fal", [])


@pytest.mark.parametrize("mischief", [Mischief.TOO_FAST, Mischief.MODERATION, Mischief.CHATTY])
async def test_what_is_not_the_providers_fault_does_not_open_it(
    stalls: Stalls, mischief: Mischief
) -> None:
    shop = await stalls("bfl")
    shop.fakes["bfl"].mischief = mischief
    for _ in range(8):
        await submitted(shop.user(), KITE)
    await shop.world.advance(5)
    assert (await breaker(shop))["state"] == "closed"


async def test_while_all_works_a_breaker_costs_no_write_and_few_reads(
    stalls: Stalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await stalls("bfl")
    queries: list[str] = []
    store = shop.world.services.store
    asked = store.query

    async def query(wanted: Any) -> Any:
        queries.append(wanted.collection)
        return await asked(wanted)

    monkeypatch.setattr(store, "query", query)
    for _ in range(10):
        await submitted(shop.user(), KITE)
    await shop.world.advance(4)
    assert queries == ["breakers"]
    assert await asked(Query(collection="breakers")) == []


async def test_an_admin_opens_and_closes_by_hand_and_it_is_written_down(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    root, url = shop.user("root", role="admin"), "/api/providers/bfl/flux-1.1-pro/breaker"
    opened = await root.post(url, json={"state": "open", "reason": "their outage"})
    assert (opened.json()["state"], opened.json()["byHand"], opened.json()["admitsAt"]) == (
        "open",
        True,
        None,
    )
    refused = problem(await shop.user().post(IMAGE, json=KITE), 422, "no_provider")
    assert "administrator" in refused["detail"]
    assert (await root.post(url, json={"state": None, "reason": "over"})).json()[
        "state"
    ] == "closed"
    await submitted(shop.user(), KITE)
    written = await shop.world.services.store.query(Query(collection="audit"))
    facts = sorted(
        (row.data["action"], row.data["userId"], row.data["subject"], row.data["reason"])
        for row in written
    )
    assert facts == [
        ("breaker automatic", "root", "bfl/flux-1.1-pro", "over"),
        ("breaker open", "root", "bfl/flux-1.1-pro", "their outage"),
    ]


async def test_jobs_wait_while_an_admin_keeps_it_open(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    job = await submitted(shop.user(), KITE)
    root, url = shop.user("root", role="admin"), "/api/providers/bfl/flux-1.1-pro/breaker"
    await root.post(url, json={"state": "open", "reason": "x"})
    await shop.world.advance(1)
    assert (await read(shop.user(), job))["status"] == "RETRYING"
    await root.post(url, json={"state": "closed", "reason": "x"})
    await shop.world.advance(600)
    assert (await read(shop.user(), job))["status"] == "COMPLETED"


async def test_the_breakers_are_an_admins(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    order = {"state": "open", "reason": "x"}
    url = "/api/providers/bfl/flux-1.1-pro/breaker"
    problem(await shop.user().post(url, json=order), 403, "forbidden")
    problem(await shop.world.api.post(url, json=order), 401, "unauthenticated")
    root = shop.user("root", role="admin")
    problem(await root.post("/api/providers/bfl/acme/breaker", json=order), 404, "not_found")
    problem(
        await root.post(url, json={"state": "half_open", "reason": "x"}), 422, "invalid_request"
    )
    problem(await root.post(url, json={"state": "open"}), 422, "invalid_request")


async def test_the_list_of_providers_shows_models_and_prices_and_no_key(stalls: Stalls) -> None:
    shop = await stalls("bfl")
    answer = await shop.user().get("/api/providers")
    shown = {one["provider"]: one for one in answer.json()["providers"]}
    assert shown["bfl"]["configured"]
    assert (shown["runway"]["configured"], shown["runway"]["servedBy"]) == (False, "studio")
    (ultra,) = [
        model for model in shown["stability"]["models"] if model["name"] == "stable-image-ultra"
    ]
    assert (ultra["usd"], ultra["unit"], ultra["breaker"]["state"]) == (0.08, "image", "closed")
    assert shop.fakes["bfl"].key not in answer.text
    problem(await shop.world.api.get("/api/providers"), 401, "unauthenticated")


# ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────

SECRET = "a-secret-of-ours"
STANDARD_SECRET = "whsec_c2VjcmV0IG9mIG91cnM="


async def test_a_webhook_brings_the_poll_forward(stalls: Stalls) -> None:
    shop = await stalls("bfl", webhook_secrets={"bfl": SECRET})
    ada = shop.user()
    shop.fakes["bfl"].polls = 0
    job = await submitted(ada, KITE)
    await shop.world.settle()
    (operation,) = shop.fakes["bfl"].operations
    url = shop.fakes["bfl"].calls[0].body["webhook_url"]
    assert url.startswith("http://api.test/api/webhooks/bfl?job=")
    headers, body = signed(operation, SECRET)
    answer = await shop.world.api.post(url, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"hastened": True})
    await shop.world.settle()
    assert (await read(ada, job))["status"] == "COMPLETED"
    again = await shop.world.api.post(url, content=body, headers=headers)
    assert (again.status_code, again.json()) == (202, {"hastened": False})


async def test_a_webhook_for_a_whole_account_finds_the_job_by_its_operation(stalls: Stalls) -> None:
    shop = await stalls("openai", webhook_secrets={"openai": STANDARD_SECRET})
    ada, path = shop.user(), "/api/webhooks/openai"
    job = await submitted(
        ada, {"task": "text", "input": "A lamp", "provider": "openai"}, "/api/jobs/ai-processing"
    )
    await shop.world.settle()
    (operation,) = shop.fakes["openai"].operations
    shop.fakes["openai"].operations[operation] = 0
    now = int(shop.world.now().timestamp())
    headers, body = response_signed("resp_of_somebody_else", STANDARD_SECRET, now)
    assert (await shop.world.api.post(path, content=body, headers=headers)).json() == {
        "hastened": False
    }
    headers, body = response_signed(operation, STANDARD_SECRET, now)
    problem(
        await shop.world.api.post(path, content=body + b" ", headers=headers), 401, "bad_webhook"
    )
    answer = await shop.world.api.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"hastened": True})
    await shop.world.settle()
    assert (await read(ada, job))["status"] == "COMPLETED"
    assert (await shop.world.job(job["jobId"])).document()["operationIds"] == ()


async def test_a_webhook_that_does_not_hold_does_nothing(stalls: Stalls) -> None:
    shop = await stalls("bfl", webhook_secrets={"bfl": SECRET})
    job = await submitted(shop.user(), KITE)
    await shop.world.settle()
    before = await shop.world.job(job["jobId"])
    (operation,) = shop.fakes["bfl"].operations
    url = f"/api/webhooks/bfl?job={job['jobId']}.1.0"
    headers, body = signed(operation, "another secret")
    problem(await shop.world.api.post(url, content=body, headers=headers), 401, "bad_webhook")
    problem(await shop.world.api.post(url, content=body), 401, "bad_webhook")
    problem(
        await shop.world.api.post("/api/webhooks/runway", content=body, headers=headers),
        404,
        "not_found",
    )
    headers, body = signed("another-operation", SECRET)
    assert (await shop.world.api.post(url, content=body, headers=headers)).json() == {
        "hastened": False
    }
    assert await shop.world.job(job["jobId"]) == before
