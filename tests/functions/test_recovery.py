"""The start of a process that owns store and queues, after another one was killed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from functions.call_counts import count_calls
from functions.job_requests import image_request, read_job, submit_job
from functions.stored_documents import read_documents, store_documents
from simulation.world import World
from taskreel.adapters.local.sqlite import SqliteStore
from taskreel.app.services import Services
from taskreel.app.worker import recovery
from taskreel.app.worker.recovery import recover_jobs
from taskreel.domain.job import Job
from taskreel.domain.job_status import Status
from taskreel.ports import Row, Task


async def kill_and_start(world: World) -> int:
    """Lose the queues with the memory of their process; what ran ends without a write."""
    attempts = [each for queue in world.tasks._queues.values() for each in queue._dispatches]
    stored = [await world.job(attempt.queued.task.job_id) for attempt in attempts]
    for queue in world.tasks._queues.values():
        queue.purge_tasks()
        queue._finished._newer.clear()
        queue._dispatches.clear()
    for attempt in attempts:
        assert attempt.run is not None
        attempt.run.cancel()
    await world.advance(0.2)
    for job in stored:
        await world.put(job)  # a run that is cancelled releases its lease, a killed one does not
    return await recover_jobs(world.services, world.now())


def untraced(tasks: Sequence[Task]) -> list[Task]:
    """The tasks by their ids, without the requests that made them."""
    found = [replace(task, trace_id=None, trace_parent=None) for task in tasks]
    return sorted(found, key=lambda task: task.id)


SLOW = image_request("slow", seconds=60)
FAILING = image_request("fail-temporary", times=1)
RETRY = {"minBackoffSeconds": 30, "maxBackoffSeconds": 30}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (image_request("noop"), Status.QUEUED),
        ({**FAILING, "retry": RETRY}, Status.RETRYING),
        (image_request("pending", times=1, seconds=30), Status.PROCESSING),
    ],
)
async def test_a_job_whose_task_was_in_memory_goes_on_when_it_is_due(
    world: World, ada: httpx.AsyncClient, body: dict[str, Any], status: Status
) -> None:
    if status is Status.QUEUED:
        await world.tasks.pause("image-generation-queue")
    job = await submit_job(ada, body)
    await world.settle()
    waiting = await world.job(job["jobId"])
    assert waiting.status is status
    assert await kill_and_start(world) == 1
    await world.tasks.resume("image-generation-queue")
    due_at = waiting.next_attempt_at or world.now()  # a retry's wait is random: 30 s ± 20 %
    await world.advance((due_at - world.now()).total_seconds() + 1)
    assert (await read_job(ada, job))["status"] == "COMPLETED"
    assert world.queued_tasks() == []


async def test_the_lease_of_a_killed_run_is_not_waited_for(
    world: World, ada: httpx.AsyncClient
) -> None:
    job = await submit_job(ada, SLOW)
    await world.advance(2)
    before = await world.job(job["jobId"])
    assert before.lease_until is not None
    assert await kill_and_start(world) == 1
    await world.settle()
    after = await world.job(job["jobId"])
    assert (after.status, after.fence, after.lost_runs) == (Status.PROCESSING, before.fence + 1, 1)
    assert after.lease_until is not None
    await world.advance(61)
    assert (await read_job(ada, job))["status"] == "COMPLETED"


async def test_a_run_of_the_new_process_retains_its_lease(
    world: World, ada: httpx.AsyncClient
) -> None:
    started_at = world.now() - timedelta(seconds=1)
    job = await submit_job(ada, SLOW)
    await world.advance(2)
    before = await world.job(job["jobId"])
    assert await recover_jobs(world.services, started_at) == 0
    assert await world.job(job["jobId"]) == before


async def test_jobs_that_wait_for_others_have_no_task_to_recover(
    world: World, ada: httpx.AsyncClient
) -> None:
    first = await submit_job(ada, SLOW)
    second = await submit_job(
        ada, {**image_request("noop"), "dependsOn": [{"jobId": first["jobId"]}]}
    )
    await world.advance(2)
    assert await kill_and_start(world) == 1
    await world.advance(70)
    assert {(await read_job(ada, job))["status"] for job in (first, second)} == {"COMPLETED"}


async def test_more_jobs_than_a_page_are_all_recovered(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskreel.app.worker.recovery._PAGE", 4)
    await world.tasks.pause("image-generation-queue")
    jobs = [await submit_job(ada) for _ in range(10)]
    assert await kill_and_start(world) == 10
    await world.tasks.resume("image-generation-queue")
    await world.advance(5)
    assert {(await read_job(ada, job))["status"] for job in jobs} == {"COMPLETED"}


async def test_jobs_that_no_run_has_begun_are_not_decoded_at_a_start(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.tasks.pause("image-generation-queue")
    jobs = [await submit_job(ada) for _ in range(20)]
    later = (world.now() + timedelta(hours=1)).isoformat()
    own = {**image_request("noop"), "timeoutSeconds": 77, "scheduleAt": later}
    jobs.append(await submit_job(ada, own))
    before = untraced(world.queued_tasks())
    with monkeypatch.context() as patched:
        decoded: list[Any] = []
        patched.setattr(SqliteStore, "read_value", lambda *asked: decoded.append(asked))
        patched.setattr(Row, "value", property(decoded.append))
        assert await kill_and_start(world) == 21
        assert decoded == []
    # Each task is what it was: an hour later it is due, and has its own time limit.
    assert untraced(world.queued_tasks()) == before
    await world.tasks.resume("image-generation-queue")
    await world.advance(3601)
    assert {(await read_job(ada, job))["status"] for job in jobs} == {"COMPLETED"}


async def test_a_start_takes_few_calls_for_each_open_job(
    world: World, ada: httpx.AsyncClient
) -> None:
    await world.tasks.pause("image-generation-queue")
    job = await submit_job(ada)
    stored = (await read_documents(world, ["jobs"]))["jobs"][job["jobId"]]
    copies = {f"{job['jobId']}{number}": stored for number in range(300)}
    jobs = {id_: {**document, "jobId": id_} for id_, document in copies.items()}
    await store_documents(world, {"jobs": jobs})
    with count_calls() as counts:
        assert await kill_and_start(world) == 301
    # Of 100,000 open jobs they decide on the time of a start.
    assert (counts["call"] + counts["c_call"]) / 301 <= 56, counts


@pytest.mark.parametrize(
    ("damage", "recovered"),
    [
        # Of a part that the task is not made of: its delivery finds out.
        ({"units": "three"}, 2),
        ({"createdAt": "yesterday"}, 1),
        ({"delivery": "second"}, 1),
    ],
)
async def test_a_document_that_cannot_be_read_stops_no_other_from_being_recovered(
    world: World, ada: httpx.AsyncClient, damage: dict[str, Any], recovered: int
) -> None:
    await world.tasks.pause("image-generation-queue")
    damaged, whole = await submit_job(ada), await submit_job(ada)
    documents = await read_documents(world)
    documents["jobs"][damaged["jobId"]].update(damage)
    await store_documents(world, documents)
    assert await kill_and_start(world) == recovered
    await world.tasks.resume("image-generation-queue")
    await world.advance(5)
    assert (await read_job(ada, whole))["status"] == "COMPLETED"


async def test_a_job_that_has_gone_on_since_it_was_found_is_not_changed(
    world: World, ada: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit_job(ada, SLOW)
    await world.advance(2)
    end_lease = recovery._end_lease

    async def cancel_meanwhile(services: Services, found: Job) -> Job | None:
        assert (await ada.delete(job["urls"]["cancel"])).status_code == 200
        return await end_lease(services, found)

    monkeypatch.setattr(recovery, "_end_lease", cancel_meanwhile)
    await kill_and_start(world)
    await world.advance(120)
    assert (await read_job(ada, job))["status"] == "CANCELLED"
