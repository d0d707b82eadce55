from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.job_requests import (
    BATCH,
    IMAGE,
    NOOP,
    PAID_TYPES,
    UPSCALE,
    VIDEO,
    batch_request,
    expect_problem,
    read_balance,
    read_job,
    refused_paths,
    submit_job,
)
from simulation.world import BASE, World, running
from taskreel.domain.errors import QueueError
from taskreel.store_collections import ACCOUNTS


async def test_a_new_job_is_accepted_with_its_location_and_urls(ada: httpx.AsyncClient) -> None:
    answer = await ada.post(IMAGE, json={**NOOP, "projectId": "p1", "priority": "high"})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == job["urls"]["self"] == f"{BASE}{IMAGE}/{job['jobId']}"
    assert set(job["urls"]) == {"self", "progress", "result", "events", "cancel", "retry", "replay"}
    assert (job["status"], job["priority"], job["projectId"], job["userId"]) == (
        "QUEUED",
        "high",
        "p1",
        "ada",
    )
    assert job["credits"] == {"held": 1, "captured": 0, "released": 0}


async def test_a_job_goes_the_whole_way(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, {"prompt": "a kite", "options": {"width": 96, "height": 64}})
    await world.settle()
    done = await read_job(ada, job)
    assert (done["status"], done["progress"], done["attempt"]) == ("COMPLETED", 100, 1)
    (artifact,) = done["result"]["artifacts"]
    assert (artifact["name"], artifact["contentType"]) == ("image.png", "image/png")
    assert (artifact["width"], artifact["height"]) == (96, 64)
    assert await read_balance(ada) == {
        "userId": "ada",
        "available": 99,
        "held": 0,
        "captured": 1,
        "granted": 100,
    }


@pytest.mark.parametrize(
    ("path", "body", "cost"),
    [
        (IMAGE, {"prompt": "a kite"}, 1),
        (VIDEO, {"prompt": "a kite"}, 5),
        (UPSCALE, {"imageUrl": "https://example.com/a.png"}, 2),
        (BATCH, batch_request(7), 7),
    ],
)
async def test_each_type_holds_its_price(
    ada: httpx.AsyncClient, path: str, body: dict[str, Any], cost: int
) -> None:
    assert (await submit_job(ada, body, path))["credits"]["held"] == cost
    assert (await read_balance(ada))["held"] == cost


DOCUMENTED = [
    (
        IMAGE,
        {
            "prompt": "x",
            "model": "flux-1.1-pro",
            "provider": "bfl",
            "options": {"width": 1024, "height": 768},
        },
    ),
    (
        VIDEO,
        {
            "prompt": "x",
            "model": "runway-gen4",
            "provider": "runway",
            "imageUrls": ["https://example.com/a.png"],
            "options": {"duration": 5},
        },
    ),
    (
        UPSCALE,
        {
            "imageUrl": "https://example.com/a.png",
            "model": "real-esrgan",
            "provider": "upscale",
            "scale": 4,
        },
    ),
    (
        BATCH,
        {
            "prompts": ["x"],
            "model": "flux-1.1-pro",
            "provider": "bfl",
            "batchSize": 5,
            "options": {"width": 512},
        },
    ),
]


@pytest.mark.parametrize(("path", "body"), DOCUMENTED)
async def test_documented_requests_are_accepted_and_say_who_serves_them(
    ada: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    job = await submit_job(ada, body, path)
    assert job["servedBy"] == "studio"
    assert job["payload"]["model"] == body["model"]


@pytest.mark.parametrize(("path", "body"), DOCUMENTED)
async def test_without_a_stand_in_a_provider_without_key_is_refused_and_its_key_named(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    async with running(tmp_path, monkeypatch, stand_in_provider=None) as world:
        refused = expect_problem(
            await world.as_user().post(path, json=body), 422, "provider_not_configured"
        )
        assert "_API_" in refused["detail"]
        assert refused["errors"][0]["path"] == "provider"
        local = {**body, "provider": "local"}
        assert (await submit_job(world.as_user(), local, path))["servedBy"] == "studio"


async def test_an_unknown_provider_is_refused_with_those_there_are(ada: httpx.AsyncClient) -> None:
    refused = await ada.post(IMAGE, json={"prompt": "x", "provider": "no-such-provider"})
    assert refused_paths(refused) == {"provider"}
    assert "studio" in refused.json()["detail"]


@pytest.mark.parametrize("example", range(4))
async def test_the_examples_of_the_types_are_accepted(ada: httpx.AsyncClient, example: int) -> None:
    listed = (await ada.get("/api/jobs/types")).json()["jobTypes"]
    free = [one for one in listed if one["jobType"] not in PAID_TYPES]  # test_paid_types.py
    await submit_job(ada, free[example]["example"], f"/api/jobs/{free[example]['jobType']}")


async def test_too_few_credits_say_balance_and_cost_and_create_nothing(
    ada: httpx.AsyncClient,
) -> None:
    await submit_job(ada, batch_request(98), BATCH)
    refused = expect_problem(
        await ada.post(VIDEO, json={"prompt": "x"}), 402, "insufficient_credits"
    )
    assert (refused["available"], refused["cost"]) == (2, 5)
    assert len((await ada.get("/api/jobs")).json()["jobs"]) == 1
    assert (await read_balance(ada))["held"] == 98


async def test_submissions_at_once_never_hold_more_than_there_is(ada: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(ada.post(BATCH, json=batch_request(30)) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [402] * 7
    assert await read_balance(ada) == {
        "userId": "ada",
        "available": 10,
        "held": 90,
        "captured": 0,
        "granted": 100,
    }


async def test_validate_only_tells_the_cost_and_creates_nothing(
    world: World, ada: httpx.AsyncClient
) -> None:
    answer = await ada.post(f"{VIDEO}?validateOnly=true", json={"prompt": "x"})
    assert answer.status_code == 200
    assert answer.json() == {
        "valid": True,
        "cost": 5,
        "credits": {"available": 100, "sufficient": True},
        "servedBy": "studio",
        "usd": 0,
    }
    assert (await ada.get("/api/jobs")).json()["jobs"] == []
    assert (await world.services.store.get(ACCOUNTS, "ada")) is None


async def test_validate_only_refuses_what_submitting_would_refuse(ada: httpx.AsyncClient) -> None:
    assert refused_paths(await ada.post(f"{IMAGE}?validateOnly=true", json={"prompt": ""})) == {
        "prompt"
    }


async def test_prefer_wait_answers_with_the_finished_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    asking = asyncio.create_task(ada.post(IMAGE, json=NOOP, headers={"Prefer": "wait=20"}))
    await world.rest()
    await world.settle()
    answer = await asking
    assert (answer.status_code, answer.json()["status"]) == (200, "COMPLETED")
    assert answer.headers["preference-applied"] == "wait=20"


async def test_prefer_wait_ends_without_the_job(ada: httpx.AsyncClient) -> None:
    answer = await ada.post(IMAGE, json=NOOP, headers={"Prefer": "wait=0.05"})
    assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")


async def test_a_preference_that_is_not_ours_is_not_said_to_be_applied(
    ada: httpx.AsyncClient,
) -> None:
    answer = await ada.post(IMAGE, json=NOOP, headers={"Prefer": "respond-async"})
    assert "preference-applied" not in answer.headers


async def test_a_scheduled_job_runs_at_its_time(world: World, ada: httpx.AsyncClient) -> None:
    at = world.now() + timedelta(hours=2)
    job = await submit_job(ada, {**NOOP, "scheduleAt": at.isoformat()})
    assert job["status"] == "SCHEDULED"
    await world.advance(7100)
    assert (await read_job(ada, job))["status"] == "SCHEDULED"
    await world.advance(110)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_a_job_scheduled_beyond_what_the_queue_takes_is_sent_by_the_sweep(
    world: World, ada: httpx.AsyncClient
) -> None:
    day = 86_400
    job = await submit_job(
        ada, {**NOOP, "scheduleAt": (world.now() + timedelta(days=40)).isoformat()}
    )
    await world.advance(11.5 * day)
    assert await world.sweep() == {"rescued": 1}
    await world.advance(28 * day)
    assert (await read_job(ada, job))["status"] == "SCHEDULED"
    await world.advance(day)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59Z", "3000-01-01T00:00:00Z"])
async def test_a_schedule_beyond_reason_is_refused(ada: httpx.AsyncClient, when: str) -> None:
    assert refused_paths(await ada.post(IMAGE, json={**NOOP, "scheduleAt": when})) == {"scheduleAt"}


async def test_a_schedule_in_the_past_is_now(ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, {**NOOP, "scheduleAt": "2020-01-01T00:00:00Z"})
    assert job["status"] == "QUEUED"


async def test_a_project_outside_the_token_is_forbidden(world: World) -> None:
    limited = world.as_user("ada", projects=["p1"])
    assert (await limited.post(IMAGE, json={**NOOP, "projectId": "p1"})).status_code == 202
    expect_problem(await limited.post(IMAGE, json={**NOOP, "projectId": "p2"}), 403, "forbidden")


async def _refuse(_: object) -> None:
    raise QueueError("The queues cannot be reached.")


async def test_a_project_is_a_name_and_no_reference(ada: httpx.AsyncClient) -> None:
    answer = await ada.post(IMAGE, json={**NOOP, "projectId": "{{story.id}}"})
    problem = expect_problem(answer, 422, "invalid_request")
    assert problem["errors"][0]["path"] == "projectId"


async def test_a_queue_that_cannot_be_reached_does_not_stop_a_submission(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as cut:
        cut.setattr(world.tasks, "enqueue", _refuse)
        job = await submit_job(ada)
    await world.settle()
    assert (await read_job(ada, job))["status"] == "QUEUED"
    await world.advance(121)
    assert await world.sweep() == {"rescued": 1}
    await world.settle()
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_a_paused_queue_is_told_to_the_operator_once_a_sweep(
    world: World, ada: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    queue = "image-generation-queue"
    await world.services.tasks.pause(queue)
    jobs = [await submit_job(ada) for _ in range(3)]
    await world.advance(121)
    assert await world.sweep() == {"waiting": 3}
    told = [
        vars(record) for record in caplog.records if vars(record).get("action") == "queue_paused"
    ]
    assert [
        (each["queue"], "setup-cloud-tasks-queues.sh --resume" in each["advice"]) for each in told
    ] == [(queue, True)]
    await world.services.tasks.resume(queue)
    await world.settle()
    assert {(await read_job(ada, job))["status"] for job in jobs} == {"COMPLETED"}


async def test_a_sweep_goes_on_when_it_may_not_read_a_queue(
    world: World,
    ada: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await world.services.tasks.pause("image-generation-queue")
    await submit_job(ada)
    await world.advance(121)
    monkeypatch.setattr(world.tasks, "stats", _refuse)
    assert await world.sweep() == {"rescued": 1}
    assert "the state of the queue cannot be read" in caplog.text
