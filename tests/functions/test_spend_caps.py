"""Caps on a user's spend over HTTP: set by admins, seen by the user, exact, and alerted once."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    BATCH,
    IMAGE,
    batch_request,
    expect_problem,
    image_request,
    read_balance,
    read_job,
    refused_paths,
    submit_job,
)
from simulation.world import World
from taskreel.ports import Query
from taskreel.store_collections import AUDIT, WEBHOOK_DELIVERIES

CAPS = "/api/credits/ada/caps"
OWN = "/api/credits/caps"
NOOP = image_request("noop")


async def set_caps(admin: httpx.AsyncClient, **caps: Any) -> dict[str, Any]:
    answer = await admin.put(CAPS, json=caps)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def read_daily(client: httpx.AsyncClient) -> tuple[int, int | None]:
    daily = (await client.get(OWN)).json()["daily"]
    return daily["spent"], daily["remaining"]


async def test_spend_is_counted_without_caps_and_shown(
    world: World, ada: httpx.AsyncClient
) -> None:
    await submit_job(ada, batch_request(3), BATCH)
    found = (await ada.get(OWN)).json()
    today = world.services.clock.now().date()
    tomorrow = datetime.combine(today + timedelta(days=1), datetime.min.time())
    assert (found["userId"], found["timeZone"]) == ("ada", "UTC")
    assert found["daily"] == {
        "period": today.isoformat(),
        "limit": None,
        "spent": 3,
        "remaining": None,
        "resetsAt": f"{tomorrow.isoformat()}Z",
    }
    assert (found["monthly"]["period"], found["monthly"]["spent"]) == (today.isoformat()[:7], 3)


async def test_a_job_that_a_cap_does_not_leave_is_refused_with_its_numbers(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await submit_job(ada, batch_request(3), BATCH)
    await set_caps(admin, daily=5, reason="a trial")
    problem = expect_problem(await ada.post(BATCH, json=batch_request(3)), 402, "spend_cap_reached")
    daily = (await ada.get(OWN)).json()["daily"]
    assert (problem["cap"], problem["limit"], problem["spent"], problem["cost"]) == (
        "daily",
        5,
        3,
        3,
    )
    assert problem["resetsAt"] == daily["resetsAt"]
    assert "2 are left of your daily cap of 5 credits" in problem["detail"]
    quote = await ada.post(f"{BATCH}?validateOnly=true", json=batch_request(3))
    assert quote.json()["credits"] == {
        "available": 97,
        "sufficient": False,
        "reason": problem["detail"],
    }
    await submit_job(ada, batch_request(2), BATCH)
    assert await read_daily(ada) == (5, 0)


async def test_a_new_day_has_its_whole_cap_and_the_month_goes_on(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await pass_time_until(world, "2026-01-10T12:00:00+00:00")
    await set_caps(admin, daily=3, monthly=4)
    await submit_job(ada, batch_request(3), BATCH)
    expect_problem(await ada.post(IMAGE, json=NOOP), 402, "spend_cap_reached")
    await pass_time_until(world, "2026-01-11T00:00:00+00:00")
    await submit_job(ada)
    refused = expect_problem(await ada.post(IMAGE, json=NOOP), 402, "spend_cap_reached")
    assert (refused["cap"], refused["resetsAt"]) == ("monthly", "2026-02-01T00:00:00Z")


async def test_a_release_goes_back_to_the_day_of_its_hold(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await pass_time_until(world, "2026-01-10T23:59:00+00:00")
    await set_caps(admin, daily=3)
    later = batch_request(3, scheduleAt="2026-01-20T00:00:00Z")
    held = await submit_job(ada, later, BATCH)
    await pass_time_until(world, "2026-01-11T00:01:00+00:00")
    await submit_job(ada, batch_request(3), BATCH)
    assert (await ada.delete(held["urls"]["cancel"])).status_code in {200, 202}
    assert (await read_job(ada, held))["credits"]["released"] == 3
    # The new day has none of it; else it could spend six.
    assert await read_daily(ada) == (3, 0)
    expect_problem(await ada.post(IMAGE, json=NOOP), 402, "spend_cap_reached")


async def test_a_cancelled_job_of_today_makes_room(
    ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await set_caps(admin, daily=3)
    held = await submit_job(ada, batch_request(3), BATCH)
    await ada.delete(held["urls"]["cancel"])
    assert await read_daily(ada) == (0, 3)
    await submit_job(ada, batch_request(3), BATCH)


async def test_jobs_at_once_never_exceed_a_cap(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    await set_caps(admin, daily=7)
    answers = await asyncio.gather(*(ada.post(IMAGE, json=NOOP) for _ in range(20)))
    assert sorted(one.status_code for one in answers) == [202] * 7 + [402] * 13
    await world.settle()
    assert (await read_balance(ada))["captured"] == 7


async def test_a_retry_is_refused_as_a_new_job_is(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, image_request("fail-permanent"))
    await world.settle()
    assert (await read_job(ada, job))["status"] == "FAILED"
    await set_caps(admin, daily=0)
    expect_problem(await ada.post(job["urls"]["retry"]), 402, "spend_cap_reached")
    dry = await admin.post(
        "/api/jobs/dead-letters/redrive", json={"userId": "ada", "limit": 9, "dryRun": True}
    )
    assert [one["reason"] for one in dry.json()["refused"]] == [
        "its owner's daily spend cap is reached"
    ]
    await set_caps(admin)
    assert (await ada.post(job["urls"]["retry"])).status_code in {200, 202}


async def test_most_of_a_cap_makes_one_alert_a_period(
    world: World,
    ada: httpx.AsyncClient,
    admin: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await pass_time_until(world, "2026-01-10T12:00:00+00:00")
    for events in (["credits.spend_alert"], ["job.failed"]):
        made = await ada.post(
            "/api/webhook-endpoints",
            json={"url": "https://93.184.216.34/hooks", "events": events},
        )
        assert made.status_code == 201, made.text
    await set_caps(admin, daily=5)
    await submit_job(ada, batch_request(3), BATCH)
    assert await _list_alerts(world) == []
    await submit_job(ada)
    await submit_job(ada)
    (alert,) = await _list_alerts(world)
    assert alert["cap"] == "daily"
    assert (alert["limit"], alert["spent"], alert["period"]) == (5, 4, "2026-01-10")
    logged = [one for one in caplog.records if getattr(one, "action", "") == "spend_alert"]
    assert len(logged) == 1
    await pass_time_until(world, "2026-01-11T12:00:00+00:00")
    await submit_job(ada, batch_request(4), BATCH)
    assert sorted(one["period"] for one in await _list_alerts(world)) == [
        "2026-01-10",
        "2026-01-11",
    ]


async def test_admins_alone_set_caps_and_it_is_audited(
    world: World, ada: httpx.AsyncClient, admin: httpx.AsyncClient
) -> None:
    expect_problem(await ada.put(CAPS, json={"daily": 1}), 403, "forbidden")
    expect_problem(await ada.get(CAPS), 403, "forbidden")
    for wrong in (-1, 1.5, "3", True):
        assert refused_paths(await admin.put(CAPS, json={"daily": wrong})) == {"daily"}
    set_to = await set_caps(admin, daily=5, monthly=50, reason="a trial")
    assert (set_to["daily"]["limit"], set_to["monthly"]["limit"]) == (5, 50)
    assert (await admin.get(CAPS)).json() == set_to
    (entry,) = [row.value for row in await world.services.store.query(Query(collection=AUDIT))]
    assert entry.action == "spend caps set: daily 5, monthly 50"
    assert (entry.subject, entry.reason) == ("ada", "a trial")


async def _list_alerts(world: World) -> list[dict[str, Any]]:
    rows = await world.services.store.query(Query(collection=WEBHOOK_DELIVERIES))
    return [dict(row.value.data) for row in rows if row.value.event == "credits.spend_alert"]


async def pass_time_until(world: World, text: str) -> None:
    await world.advance((datetime.fromisoformat(text) - world.services.clock.now()).total_seconds())
