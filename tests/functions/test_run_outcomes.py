"""The outcomes of runs, by the answers of their providers: retries, waits, polls and failures."""

from __future__ import annotations

import httpx

from functions.job_requests import (
    BATCH,
    batch_request,
    image_request,
    read_balance,
    read_job,
    submit_job,
)
from simulation.world import World
from taskreel.domain.job_status import Status
from taskreel.domain.unit import UnitState


async def test_a_temporary_failure_is_tried_again_later(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, image_request("fail-temporary", times=2))
    await world.settle()
    retrying = await read_job(ada, job)
    assert (retrying["status"], retrying["attempt"]) == ("RETRYING", 1)
    assert retrying["error"]["category"] == "temporary"
    assert retrying["nextAttemptAt"] is not None
    await world.advance(15)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"], done["error"]) == ("COMPLETED", 3, None)


async def test_out_of_attempts_a_job_fails_and_costs_nothing(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(
        ada, {**image_request("fail-temporary", times=9), "retry": {"maxAttempts": 2}}
    )
    await world.advance(60)
    failed = await read_job(ada, job)
    assert (failed["status"], failed["attempt"], failed["credits"]["released"]) == ("FAILED", 2, 1)
    assert (await read_balance(ada))["available"] == 100


async def test_a_permanent_failure_is_not_tried_again(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, image_request("fail-permanent"))
    await world.advance(600)
    failed = await read_job(ada, job)
    assert (failed["status"], failed["attempt"], failed["error"]["category"]) == (
        "FAILED",
        1,
        "permanent",
    )
    assert len(world.delivered) == 1


async def test_waiting_for_a_rate_limit_is_no_attempt_more(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(
        ada, {**image_request("rate-limit", times=5, seconds=30), "retry": {"maxAttempts": 1}}
    )
    await world.advance(1)
    waiting = await read_job(ada, job)
    assert (waiting["status"], waiting["attempt"], waiting["error"]["category"]) == (
        "RETRYING",
        1,
        "rate_limited",
    )
    await world.advance(160)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
    assert len(world.delivered) == 6


async def test_pending_work_is_polled_by_tasks_and_holds_no_request(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(
        ada, {**image_request("pending", times=3, seconds=60), "retry": {"maxAttempts": 1}}
    )
    await world.settle()
    assert world.delivered == [(job["jobId"], 200)]
    waiting = await world.job(job["jobId"])
    assert (waiting.status, waiting.lease_until) == (Status.PROCESSING, None)
    assert waiting.units[0].state is UnitState.RUNNING
    await world.advance(200)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
    assert len(world.delivered) == 4


async def test_a_delivery_before_its_time_does_not_poll(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, image_request("pending", times=1, seconds=60))
    await world.settle()
    before = await world.job(job["jobId"])
    assert (await world.process(job["jobId"])).status_code == 200
    assert await world.job(job["jobId"]) == before


async def test_work_at_a_provider_is_cancelled_there_with_the_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, image_request("pending", times=3, seconds=60))
    await world.settle()
    await ada.delete(job["urls"]["cancel"])
    await world.settle()
    cancelled = await world.job(job["jobId"])
    assert cancelled.status is Status.CANCELLED
    assert cancelled.units[0].operation is None


async def test_a_crash_of_the_worker_costs_one_attempt_and_not_the_server(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, image_request("crash"))
    await world.settle()
    crashed = await read_job(ada, job)
    assert (crashed["status"], crashed["attempt"], crashed["error"]["code"]) == (
        "RETRYING",
        1,
        "worker_crashed",
    )
    await world.advance(10)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 2)


async def test_a_batch_captures_what_succeeded(world: World, ada: httpx.AsyncClient) -> None:
    job = await submit_job(ada, batch_request(4), BATCH)
    stored = await world.job(job["jobId"])
    broken = stored.units[1].with_changes(state=UnitState.FAILED)
    await world.put(
        stored.with_changes(world.now(), units=(stored.units[0], broken, *stored.units[2:]))
    )
    await world.settle()
    done = await read_job(ada, job)
    assert (done["status"], done["credits"]) == (
        "COMPLETED",
        {"held": 0, "captured": 3, "released": 1},
    )
    assert (await read_balance(ada))["available"] == 97


async def test_a_missing_input_fails_the_job_with_its_reason(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(
        ada, {"imageUrl": "job:job_nobodys/image.png"}, "/api/jobs/image-upscale"
    )
    await world.settle()
    failed = await read_job(ada, job)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "input_not_found")


async def test_a_job_starts_from_a_file_of_another_job_of_the_same_user(
    world: World, ada: httpx.AsyncClient
) -> None:
    image = await submit_job(ada, {"prompt": "x", "options": {"width": 64, "height": 64}})
    await world.settle()
    body = {"imageUrl": f"job:{image['jobId']}/image.png", "scale": 2}
    mine = await submit_job(ada, body, "/api/jobs/image-upscale")
    theirs = await submit_job(world.as_user("bob"), body, "/api/jobs/image-upscale")
    await world.settle()
    (artifact,) = (await read_job(ada, mine))["result"]["artifacts"]
    assert (artifact["width"], artifact["height"]) == (128, 128)
    assert (await world.job(theirs["jobId"])).status is Status.FAILED
