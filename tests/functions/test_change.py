from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from functions.job_requests import (
    BATCH,
    NOOP,
    batch_request,
    expect_problem,
    image_request,
    read_balance,
    read_job,
    submit_job,
)
from simulation.world import World
from taskreel.domain.job_status import Status


async def test_cancelling_releases_the_hold(ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, batch_request(5), BATCH)
    cancelled = (await ada.delete(job["urls"]["cancel"])).json()
    assert (cancelled["status"], cancelled["credits"]) == (
        "CANCELLED",
        {"held": 0, "captured": 0, "released": 5},
    )
    assert (await read_balance(ada))["available"] == 100


async def test_cancelling_twice_settles_once_and_removes_the_job(ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada)
    first = await ada.delete(job["urls"]["cancel"])
    again = await ada.delete(job["urls"]["cancel"])
    assert (first.status_code, again.status_code) == (200, 204)
    assert len((await ada.get("/api/credits/ledger")).json()["entries"]) == 2


async def test_a_cancelled_job_is_not_run(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada)
    await ada.delete(job["urls"]["cancel"])
    await world.settle()
    assert world.delivered == [(job["jobId"], 200)]
    assert (await read_job(ada, job))["attempt"] == 0


@pytest.mark.parametrize("waiting", ["SCHEDULED", "RETRYING"])
async def test_a_waiting_job_can_be_cancelled(
    world: World, ada: httpx.AsyncClient, waiting: str
) -> None:
    later = (world.now() + timedelta(hours=1)).isoformat()
    body = (
        {**NOOP, "scheduleAt": later} if waiting == "SCHEDULED" else image_request("fail-temporary")
    )
    job = await submit_job(ada, body)
    await world.settle()
    assert (await read_job(ada, job))["status"] == waiting
    assert (await ada.delete(job["urls"]["cancel"])).json()["status"] == "CANCELLED"
    await world.advance(4000)
    assert (await read_job(ada, job))["status"] == "CANCELLED"


async def test_a_failed_job_is_tried_again_under_the_same_id(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(
        ada, {**image_request("fail-temporary", times=1), "retry": {"maxAttempts": 1}}
    )
    await world.settle()
    failed = await read_job(ada, job)
    assert (failed["status"], failed["error"]["category"]) == ("FAILED", "temporary")
    # What fails on its first attempt fails on that of the next round too; so it is told better.
    stored = await world.job(job["jobId"])
    stored.payload["options"]["studio"]["mode"] = "noop"
    await world.put(stored)
    again = await ada.post(job["urls"]["retry"])
    assert (again.status_code, again.json()["status"], again.json()["credits"]["held"]) == (
        202,
        "QUEUED",
        1,
    )
    await world.settle()
    done = await read_job(ada, job)
    assert (done["jobId"], done["status"], done["error"]) == (job["jobId"], "COMPLETED", None)


async def test_every_round_is_settled_once(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, image_request("fail-permanent"))
    await world.settle()
    for _ in range(2):
        await ada.post(job["urls"]["retry"])
        await world.settle()
    entries = (await ada.get("/api/credits/ledger")).json()["entries"]
    ids = [entry["entryId"] for entry in entries if entry["kind"] == "release"]
    assert sorted(ids) == [f"{job['jobId']}.{round_}" for round_ in (1, 2, 3)]
    assert (await read_balance(ada))["available"] == 100


@pytest.mark.parametrize("status", ["QUEUED", "COMPLETED", "CANCELLED"])
async def test_only_a_failed_job_can_be_retried(
    world: World, ada: httpx.AsyncClient, status: str
) -> None:
    job = await submit_job(ada)
    if status == "COMPLETED":
        await world.settle()
    if status == "CANCELLED":
        await ada.delete(job["urls"]["cancel"])
    refused = expect_problem(await ada.post(job["urls"]["retry"]), 409, "conflict")
    assert refused["jobStatus"] == status
    assert (await read_job(ada, job))["status"] == status


async def test_a_retry_that_cannot_be_paid_changes_nothing(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, image_request("fail-permanent"))
    await world.settle()
    await submit_job(ada, batch_request(100), BATCH)
    expect_problem(await ada.post(job["urls"]["retry"]), 402, "insufficient_credits")
    assert (await read_job(ada, job))["status"] == "FAILED"


async def test_a_retried_job_retains_its_deadline_even_when_its_task_is_lost(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, {**image_request("fail-permanent"), "deadlineSeconds": 30})
    await world.settle()
    await ada.post(job["urls"]["retry"])
    stored = await world.job(job["jobId"])
    assert stored.status is Status.QUEUED
    assert stored.wake_at == stored.finish_by
