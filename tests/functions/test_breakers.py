"""Circuit breakers, webhooks, and the administrators' view and orders."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from functions.fake_providers import KITE, ProviderSetup, StartProviders
from functions.job_requests import IMAGE, expect_problem, read_job, submit_job
from providers.bfl.fake import sign_webhook as signed
from providers.fake_provider import Fault
from providers.openai.fake import sign_webhook as response_signed
from taskreel.ports import Query
from taskreel.store_collections import AUDIT, BREAKERS

# ── Circuit breakers ─────────────────────────────────────────────────────────────────────────────


async def broken(setup: ProviderSetup, times: int = 5) -> None:
    """Let enough jobs fail at bfl that its breaker opens."""
    setup.fakes["bfl"].fault = Fault.SERVER_ERROR
    for _ in range(times):
        await submit_job(setup.user(), {**KITE, "retry": {"maxAttempts": 1}})
    await setup.world.settle()


async def breaker(setup: ProviderSetup, model: str = "flux-1.1-pro") -> dict[str, Any]:
    shown = (await setup.user().get("/api/providers")).json()["providers"]
    (bfl,) = [one for one in shown if one["provider"] == "bfl"]
    (found,) = [one["breaker"] for one in bfl["models"] if one["name"] == model]
    return dict(found)


async def test_failures_open_the_breaker_and_jobs_wait_with_an_honest_time(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    await broken(setup)
    assert (await breaker(setup))["state"] == "open"
    asked = len(setup.fakes["bfl"].calls)
    job = await submit_job(setup.user(), KITE)
    assert job["nextAttemptAt"] == (await breaker(setup))["admitsAt"]
    await setup.world.advance(20)
    assert len(setup.fakes["bfl"].calls) == asked
    setup.fakes["bfl"].fault = None
    await setup.world.advance(60)
    done = await read_job(setup.user(), job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
    assert (await breaker(setup))["state"] == "closed"


async def test_a_job_behind_an_open_breaker_says_until_when_it_waits(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    await broken(setup)
    job = await submit_job(setup.user(), KITE)
    until = (await breaker(setup))["admitsAt"]
    assert (job["status"], job["nextAttemptAt"]) == ("QUEUED", until)
    assert (job["error"]["code"], job["error"]["category"]) == ("provider_resting", "rate_limited")
    assert f"until {until[:10]} {until[11:19]} UTC" in job["error"]["message"]
    setup.fakes["bfl"].fault = None
    await setup.world.advance(60)
    assert (await read_job(setup.user(), job))["error"] is None


@pytest.mark.parametrize("fault", [Fault.FAILED, Fault.NO_RESULT])
async def test_one_users_failing_inputs_do_not_close_a_provider(
    start_providers: StartProviders, fault: Fault
) -> None:
    setup = await start_providers("bfl")
    mallory = setup.world.as_user("mallory")
    setup.fakes["bfl"].fault = fault
    for _ in range(12):
        await submit_job(mallory, {**KITE, "retry": {"maxAttempts": 1}})
    await setup.world.advance(20)
    assert (await breaker(setup))["state"] == "closed"
    for user in ("ada", "bob", "cleo"):
        for _ in range(2):
            await submit_job(setup.world.as_user(user), {**KITE, "retry": {"maxAttempts": 1}})
    await setup.world.advance(20)
    assert (await breaker(setup))["state"] == "open"
    (row,) = await setup.world.services.store.query(Query(collection=BREAKERS))
    assert "mallory" not in str(row.data)


async def test_a_job_that_was_chosen_for_before_waits_as_well(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    later = await submit_job(
        setup.user(), {**KITE, "scheduleAt": (setup.world.now() + timedelta(seconds=5)).isoformat()}
    )
    await broken(setup)
    await setup.world.advance(6)
    waiting = await read_job(setup.user(), later)
    assert (waiting["status"], waiting["attempt"], waiting["error"]["code"]) == (
        "RETRYING",
        1,
        "provider_resting",
    )
    assert waiting["nextAttemptAt"] == (await breaker(setup))["admitsAt"]


async def test_half_open_lets_one_probe_through(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl")
    await broken(setup)
    for _ in range(4):
        await submit_job(setup.user(), KITE)
    posts = len([call for call in setup.fakes["bfl"].calls if call.method == "POST"])
    await setup.world.advance(31)
    assert len([call for call in setup.fakes["bfl"].calls if call.method == "POST"]) == posts + 1
    assert (await breaker(setup))["state"] == "open"


async def test_refused_requests_of_one_user_hold_up_no_other_probe(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    await broken(setup)
    mallory = setup.world.as_user("mallory")
    setup.fakes["bfl"].fault = Fault.MODERATION
    refused = await submit_job(mallory, KITE)
    await setup.world.advance(50)
    assert (await read_job(mallory, refused))["error"]["code"] == "moderation"
    # It says nothing of the provider: another probe may begin at once.
    setup.fakes["bfl"].fault = None
    job = await submit_job(setup.user(), KITE)
    await setup.world.advance(15)
    assert (await read_job(setup.user(), job))["status"] == "COMPLETED"
    assert (await breaker(setup))["state"] == "closed"


async def test_a_cancelled_probe_holds_up_no_other(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl")
    await broken(setup)
    setup.fakes["bfl"].fault = None
    mallory = setup.world.as_user("mallory")
    probe = await submit_job(mallory, KITE)
    await setup.world.advance(31)
    assert (await read_job(mallory, probe))["status"] == "PROCESSING"
    assert (await mallory.delete(f"{IMAGE}/{probe['jobId']}")).is_success
    job = await submit_job(setup.user(), KITE)
    await setup.world.advance(20)
    assert (await read_job(setup.user(), job))["status"] == "COMPLETED"


async def test_a_job_for_any_provider_does_not_wait_for_one(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl", "fal")
    await broken(setup)
    done = await setup.run_job({"prompt": "x", "provider": ["bfl", "fal"], "model": "flux-1.1-pro"})
    assert (done["status"], done["servedBy"], done["tried"]) == ("COMPLETED", "fal", [])


async def test_a_list_that_names_the_imitation_goes_on_to_it(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = Fault.SERVER_ERROR
    done = await setup.run_job({"prompt": "x", "provider": ["bfl", "studio"]})
    assert (done["status"], done["servedBy"]) == ("COMPLETED", "studio")
    assert [one["provider"] for one in done["tried"]] == ["bfl"]


@pytest.mark.parametrize("wanted", ["bfl", ["bfl", "fal"], "auto"])
async def test_no_imitation_takes_over_that_was_not_named(
    start_providers: StartProviders, wanted: Any
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = Fault.SERVER_ERROR
    done = await setup.run_job({"prompt": "x", "provider": wanted})
    assert (done["status"], done["servedBy"]) == ("FAILED", "bfl")


@pytest.mark.parametrize("fault", [Fault.RATE_LIMITED, Fault.MODERATION, Fault.PRIVATE_TEXT])
async def test_what_is_not_the_providers_fault_does_not_open_it(
    start_providers: StartProviders, fault: Fault
) -> None:
    setup = await start_providers("bfl")
    setup.fakes["bfl"].fault = fault
    for _ in range(8):
        await submit_job(setup.user(), KITE)
    await setup.world.advance(5)
    assert (await breaker(setup))["state"] == "closed"


async def test_while_all_works_a_breaker_costs_no_write_and_few_reads(
    start_providers: StartProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = await start_providers("bfl")
    queries: list[Any] = []
    store = setup.world.services.store
    asked = store.query

    async def query(wanted: Any) -> Any:
        queries.append(wanted.collection)
        return await asked(wanted)

    monkeypatch.setattr(store, "query", query)
    for _ in range(10):
        await submit_job(setup.user(), KITE)
    await setup.world.advance(4)
    assert queries == [BREAKERS]
    assert await asked(Query(collection=BREAKERS)) == []


async def test_an_admin_opens_and_closes_by_hand_and_it_is_written_down(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    root, url = setup.user("root", role="admin"), "/api/providers/bfl/flux-1.1-pro/breaker"
    opened = await root.post(url, json={"state": "open", "reason": "their outage"})
    assert (opened.json()["state"], opened.json()["byHand"], opened.json()["admitsAt"]) == (
        "open",
        True,
        None,
    )
    refused = expect_problem(await setup.user().post(IMAGE, json=KITE), 422, "no_provider")
    assert "administrator" in refused["detail"]
    assert (await root.post(url, json={"state": None, "reason": "over"})).json()[
        "state"
    ] == "closed"
    await submit_job(setup.user(), KITE)
    written = await setup.world.services.store.query(Query(collection=AUDIT))
    facts = sorted(
        (row.data["action"], row.data["userId"], row.data["subject"], row.data["reason"])
        for row in written
    )
    assert facts == [
        ("breaker automatic", "root", "bfl/flux-1.1-pro", "over"),
        ("breaker open", "root", "bfl/flux-1.1-pro", "their outage"),
    ]


async def test_jobs_wait_while_an_admin_holds_it_open(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl")
    job = await submit_job(setup.user(), KITE)
    root, url = setup.user("root", role="admin"), "/api/providers/bfl/flux-1.1-pro/breaker"
    await root.post(url, json={"state": "open", "reason": "x"})
    await setup.world.advance(1)
    assert (await read_job(setup.user(), job))["status"] == "RETRYING"
    await root.post(url, json={"state": "closed", "reason": "x"})
    await setup.world.advance(600)
    assert (await read_job(setup.user(), job))["status"] == "COMPLETED"


async def test_the_breakers_are_an_admins(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl")
    order = {"state": "open", "reason": "x"}
    url = "/api/providers/bfl/flux-1.1-pro/breaker"
    expect_problem(await setup.user().post(url, json=order), 403, "forbidden")
    expect_problem(await setup.world.api.post(url, json=order), 401, "unauthenticated")
    root = setup.user("root", role="admin")
    expect_problem(await root.post("/api/providers/bfl/acme/breaker", json=order), 404, "not_found")
    expect_problem(
        await root.post(url, json={"state": "half_open", "reason": "x"}), 422, "invalid_request"
    )
    expect_problem(await root.post(url, json={"state": "open"}), 422, "invalid_request")


async def test_the_list_of_providers_shows_models_and_prices_and_no_key(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("bfl")
    answer = await setup.user().get("/api/providers")
    shown = {one["provider"]: one for one in answer.json()["providers"]}
    assert shown["bfl"]["configured"]
    assert (shown["runway"]["configured"], shown["runway"]["servedBy"]) == (False, "studio")
    (ultra,) = [
        model for model in shown["stability"]["models"] if model["name"] == "stable-image-ultra"
    ]
    assert (ultra["usd"], ultra["unit"], ultra["breaker"]["state"]) == (0.08, "image", "closed")
    assert setup.fakes["bfl"].key not in answer.text
    expect_problem(await setup.world.api.get("/api/providers"), 401, "unauthenticated")


# ── Webhooks ─────────────────────────────────────────────────────────────────────────────────────

SECRET = "a-secret-of-ours"
STANDARD_SECRET = "whsec_c2VjcmV0IG9mIG91cnM="


async def test_a_webhook_brings_the_poll_forward(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl", webhook_secrets={"bfl": SECRET})
    ada = setup.user()
    setup.fakes["bfl"].polls = 0
    job = await submit_job(ada, KITE)
    await setup.world.settle()
    (operation,) = setup.fakes["bfl"].operations
    url = setup.fakes["bfl"].calls[0].body["webhook_url"]
    assert url.startswith("http://api.test/api/webhooks/bfl?job=")
    headers, body = signed(operation, SECRET)
    answer = await setup.world.api.post(url, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"hastened": True})
    await setup.world.settle()
    assert (await read_job(ada, job))["status"] == "COMPLETED"
    again = await setup.world.api.post(url, content=body, headers=headers)
    assert (again.status_code, again.json()) == (202, {"hastened": False})


async def test_a_webhook_for_a_whole_account_finds_the_job_by_its_operation(
    start_providers: StartProviders,
) -> None:
    setup = await start_providers("openai", webhook_secrets={"openai": STANDARD_SECRET})
    ada, path = setup.user(), "/api/webhooks/openai"
    job = await submit_job(
        ada, {"task": "text", "input": "A lamp", "provider": "openai"}, "/api/jobs/ai-processing"
    )
    await setup.world.settle()
    (operation,) = setup.fakes["openai"].operations
    setup.fakes["openai"].operations[operation] = 0
    now = int(setup.world.now().timestamp())
    headers, body = response_signed("resp_of_somebody_else", STANDARD_SECRET, now)
    assert (await setup.world.api.post(path, content=body, headers=headers)).json() == {
        "hastened": False
    }
    headers, body = response_signed(operation, STANDARD_SECRET, now)
    expect_problem(
        await setup.world.api.post(path, content=body + b" ", headers=headers), 401, "bad_webhook"
    )
    answer = await setup.world.api.post(path, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (202, {"hastened": True})
    await setup.world.settle()
    assert (await read_job(ada, job))["status"] == "COMPLETED"
    assert (await setup.world.job(job["jobId"])).operation_ids == ()


async def test_a_webhook_that_does_not_hold_does_nothing(start_providers: StartProviders) -> None:
    setup = await start_providers("bfl", webhook_secrets={"bfl": SECRET})
    job = await submit_job(setup.user(), KITE)
    await setup.world.settle()
    before = await setup.world.job(job["jobId"])
    (operation,) = setup.fakes["bfl"].operations
    url = f"/api/webhooks/bfl?job={job['jobId']}.1.0"
    headers, body = signed(operation, "another secret")
    expect_problem(
        await setup.world.api.post(url, content=body, headers=headers), 401, "bad_webhook"
    )
    expect_problem(await setup.world.api.post(url, content=body), 401, "bad_webhook")
    expect_problem(
        await setup.world.api.post("/api/webhooks/runway", content=body, headers=headers),
        404,
        "not_found",
    )
    headers, body = signed("another-operation", SECRET)
    assert (await setup.world.api.post(url, content=body, headers=headers)).json() == {
        "hastened": False
    }
    assert await setup.world.job(job["jobId"]) == before
