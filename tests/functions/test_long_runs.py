"""Runs that outlast a delivery, which Cloud Tasks ends after half an hour."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from functions.job_requests import expect_problem, image_request, read_job, submit_job
from simulation.world import World
from taskreel.app.jobs.enqueue import LONGEST_DELIVERY
from taskreel.app.worker.long_run import Answer
from taskreel.app.worker.processor import Processor
from taskreel.domain.job_status import Status
from taskreel.ports import Task

HOUR = 3600.0
DELIVERY = LONGEST_DELIVERY.total_seconds()


def slow_job(seconds: float, timeout: int, **more: Any) -> dict[str, Any]:
    return {**image_request("slow", seconds=seconds), "timeoutSeconds": timeout, **more}


@pytest.fixture
def sent(world: World, monkeypatch: pytest.MonkeyPatch) -> Sequence[Task]:
    """The tasks that are enqueued from here on."""
    found: list[Task] = []
    enqueue = world.services.tasks.enqueue

    async def record(task: Task) -> None:
        found.append(task)
        await enqueue(task)

    monkeypatch.setattr(world.services.tasks, "enqueue", record)
    return found


async def test_a_run_of_an_hour_goes_on_in_deliveries_that_follow_one_another(
    world: World, ada: httpx.AsyncClient, sent: Sequence[Task]
) -> None:
    job = await submit_job(ada, slow_job(HOUR, 7200))
    await world.advance(HOUR - 1)
    assert (await read_job(ada, job))["status"] == "PROCESSING"
    await world.advance(2)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)
    # One for each 28 minutes; none lasts longer than the queue waits.
    assert len({task.id for task in sent}) == len(sent) == 3
    assert all(task.deadline.total_seconds() <= 1800 for task in sent)


async def test_a_run_ends_although_its_next_delivery_is_lost(
    world: World, ada: httpx.AsyncClient
) -> None:
    world.cut_off = True
    job = await submit_job(ada, slow_job(HOUR, 7200))
    delivery = asyncio.create_task(world.process(job["jobId"]))
    await world.rest()
    await world.advance(DELIVERY + 1)
    assert (await delivery).json()["answer"] == "finished"
    stored = await world.job(job["jobId"])
    assert stored.status is Status.PROCESSING
    assert stored.lease_until is not None
    assert stored.lease_until > world.now()
    await world.advance(HOUR - DELIVERY)
    done = await read_job(ada, job)
    assert (done["status"], done["attempt"]) == ("COMPLETED", 1)


async def test_the_next_delivery_waits_where_the_run_is_and_is_refused_elsewhere(
    world: World, ada: httpx.AsyncClient
) -> None:
    world.cut_off = True
    job = await submit_job(ada, slow_job(HOUR, 7200))
    here, elsewhere = Processor(world.services), Processor(world.services)
    first = asyncio.create_task(here.process_task(job["jobId"]))
    await world.rest()
    await world.advance(DELIVERY + 1)
    assert await first is Answer.FINISHED
    assert await elsewhere.process_task(job["jobId"]) is Answer.BUSY
    second = asyncio.create_task(here.process_task(job["jobId"]))
    await world.rest()
    assert not second.done()
    await world.advance(HOUR - DELIVERY)
    assert await second is Answer.FINISHED
    assert (await world.job(job["jobId"])).status is Status.COMPLETED


async def test_a_delivery_that_the_platform_cuts_off_leaves_a_long_run_alone(
    world: World, ada: httpx.AsyncClient
) -> None:
    world.cut_off = True
    job = await submit_job(ada, slow_job(60, 7200))
    delivery = asyncio.create_task(Processor(world.services).process_task(job["jobId"]))
    await world.rest()
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    await world.advance(61)
    assert (await world.job(job["jobId"])).status is Status.COMPLETED


async def test_a_stop_between_two_deliveries_releases_the_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    world.cut_off = True
    job = await submit_job(ada, slow_job(HOUR, 7200))
    processor = Processor(world.services)
    delivery = asyncio.create_task(processor.process_task(job["jobId"]))
    await world.rest()
    await world.advance(DELIVERY + 1)
    assert await delivery is Answer.FINISHED
    await processor.stop()
    stored = await world.job(job["jobId"])
    assert (stored.status, stored.lease_until) == (Status.QUEUED, None)


@pytest.mark.parametrize("seconds", [60, 2400])
async def test_a_job_may_have_its_own_longest_attempt(
    world: World, ada: httpx.AsyncClient, seconds: int
) -> None:
    job = await submit_job(ada, slow_job(HOUR, seconds, retry={"maxAttempts": 1}))
    await world.advance(seconds - 1)
    assert (await read_job(ada, job))["status"] == "PROCESSING"
    await world.advance(2)
    failed = await read_job(ada, job)
    assert (failed["status"], failed["attempt"]) == ("FAILED", 1)
    assert failed["error"]["code"] == "attempt_timeout"
    assert f"{seconds} s" in failed["error"]["message"]


@pytest.mark.parametrize("seconds", [0, 7201, "soon"])
async def test_an_attempt_has_one_second_to_two_hours(
    ada: httpx.AsyncClient, seconds: int | str
) -> None:
    body = {"prompt": "a kite", "timeoutSeconds": seconds}
    refused = expect_problem(
        await ada.post("/api/jobs/image-generation", json=body), 422, "invalid_request"
    )
    assert "timeoutSeconds" in str(refused)
